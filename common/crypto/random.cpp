#include "common/crypto/random.hpp"

#include <sys/random.h>

#include <array>
#include <cerrno>

namespace common::crypto {

Status random_bytes(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR)
        continue;
      return fail_errno(errno, "getrandom");
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<std::uint64_t> random_u64() {
  std::uint64_t value = 0;
  TROTH_TRY_VOID(random_bytes(std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

Result<OperationId> new_operation_id() {
  std::array<std::uint64_t, 2> halves{};
  TROTH_TRY_VOID(random_bytes(std::as_writable_bytes(std::span(halves))));
  return OperationId{.high = halves[0], .low = halves[1] == 0 ? 1 : halves[1]};
}

}  // namespace common::crypto
