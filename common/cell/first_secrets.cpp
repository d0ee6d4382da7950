#include "common/cell/first_secrets.hpp"

#include <algorithm>
#include <array>

#include "common/crypto/random.hpp"
#include "common/ticket/keys.hpp"
#include "common/ticket/keytab.hpp"
#include "common/utf8.hpp"

namespace common::cell {
namespace {

using crypto::Secret;

// 32 characters, 5 bits each: without i, l, o and u.
constexpr std::string_view kReadable = "0123456789abcdefghjkmnpqrstvwxyz";
static_assert(kReadable.size() == 32);
constexpr std::size_t kGroups = 4;
constexpr std::size_t kGroupSize = 4;
constexpr std::size_t kSaltRandom = 16;
// As the KDC takes them: bytes of UTF-8 without control characters.
constexpr std::size_t kMaxPassword = 1024;

Status check_password(const Secret& password) {
  if (password.empty() || password.size() > kMaxPassword)
    return fail(ErrorCode::InvalidArgument, "a password has 1 to {} bytes", kMaxPassword);
  std::string_view rest = as_text(password.bytes());
  while (!rest.empty()) {
    const Utf8Step step = decode_utf8(rest);
    if (!step.valid || is_control(step.code_point)) {
      return fail(ErrorCode::InvalidArgument,
                  "a password is UTF-8 text without control characters");
    }
    rest.remove_prefix(step.length);
  }
  return {};
}

// The cell, a NUL, the user, a NUL and random bytes: equal passwords give different keys.
Result<Bytes> new_salt(std::string_view cell, std::string_view user) {
  Bytes salt;
  for (const std::string_view part : {cell, user}) {
    const ByteView bytes = as_bytes(part);
    salt.insert(salt.end(), bytes.begin(), bytes.end());
    salt.push_back(std::byte{0});
  }
  std::array<std::byte, kSaltRandom> random{};
  TROTH_TRY_VOID(crypto::random_bytes(random));
  salt.insert(salt.end(), random.begin(), random.end());
  return salt;
}

}  // namespace

Result<NewServiceKeys> new_service_keys(const std::string& cell, const std::string& name) {
  TROTH_TRY(Secret key, ticket::new_key());
  TROTH_TRY(auto keytab, ticket::Keytab::make(cell, name));
  TROTH_TRY_VOID(keytab.add(1, key.clone()));
  TROTH_TRY(Secret bytes, ticket::encode_keytab(keytab));
  return NewServiceKeys{{name, std::move(key)}, std::move(bytes)};
}

Result<Secret> new_readable_password() {
  Secret random(kGroups * kGroupSize);
  TROTH_TRY_VOID(crypto::random_bytes(random.writable()));
  Secret password(kGroups * (kGroupSize + 1) - 1);
  std::size_t at = 0;
  for (std::size_t i = 0; i < random.size(); ++i) {
    if (i > 0 && i % kGroupSize == 0)
      password.writable()[at++] = static_cast<std::byte>('-');
    const auto chosen = std::to_integer<std::size_t>(random.bytes()[i]) % kReadable.size();
    password.writable()[at++] = static_cast<std::byte>(kReadable[chosen]);
  }
  return password;
}

Result<FirstContents> new_first_contents(std::string_view cell, std::string_view administrator,
                                         const Secret* password, Secret& random) {
  if (password == nullptr) {
    TROTH_TRY(random, new_readable_password());
    password = &random;
  }
  TROTH_TRY_VOID(check_password(*password));
  FirstContents contents;
  contents.cell = cell;
  contents.administrator = administrator;
  TROTH_TRY(contents.master_key, ticket::new_key());
  TROTH_TRY(contents.salt, new_salt(cell, administrator));
  TROTH_TRY(contents.administrator_key,
            crypto::scrypt(*password, contents.salt, contents.parameters, ticket::kKeyBytes));
  return contents;
}

}  // namespace common::cell
