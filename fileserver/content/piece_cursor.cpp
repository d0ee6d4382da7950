#include "fileserver/content/piece_cursor.hpp"

#include <array>
#include <charconv>

#include "common/crypto/random.hpp"
#include "common/wire/hex.hpp"

namespace fileserver {

common::Result<PieceCursor> parse_cursor(const std::string& text) {
  PieceCursor cursor;
  const std::size_t dash = text.find('-');
  if (dash != std::string::npos) {
    cursor.id = text.substr(0, dash);
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + dash + 1, end, cursor.piece);
    if (error == std::errc() && at == end && cursor.piece > 0)
      return cursor;
  }
  return common::fail(common::ErrorCode::InvalidArgument, "that is no cursor");
}

common::Result<std::string> new_cursor_id() {
  std::array<std::byte, 16> random{};
  TROTH_TRY_VOID(common::crypto::random_bytes(random));
  return common::wire::to_hex(random);
}

}  // namespace fileserver
