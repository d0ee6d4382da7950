#include "kdc/password_rules.hpp"

#include <algorithm>
#include <array>

#include "common/utf8.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Status;

// Tried first by everybody who guesses; also caught with digits and marks around them.
constexpr std::array<std::string_view, 24> kCommonest{
    "password", "passwort", "passw0rd", "letmein",  "welcome",  "qwerty",   "qwertz", "azerty",
    "iloveyou", "monkey",   "dragon",   "football", "baseball", "superman", "master", "admin",
    "login",    "secret",   "changeme", "sunshine", "trustno1", "starwars", "abc123", "default"};
constexpr std::string_view kRows[] = {"01234567890123456789", "98765432109876543210",
                                      "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm",
                                      "qwertzuiopasdfghjklyxcvbnm"};

char small(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Compares without regard to case, and without making copies of the password.
bool contains(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char a, char b) { return small(a) == small(b); }) != text.end();
}
bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && contains(a, b);
}

// Without digits and marks at both ends: "Password123!" is "password".
std::string_view core_of(std::string_view text) {
  const auto letter = [](char c) {
    return (small(c) >= 'a' && small(c) <= 'z') || static_cast<unsigned char>(c) >= 0x80;
  };
  while (!text.empty() && !letter(text.back()))
    text.remove_suffix(1);
  while (!text.empty() && !letter(text.front()))
    text.remove_prefix(1);
  return text;
}

bool is_common(std::string_view text) {
  for (const std::string_view word : kCommonest) {
    if (equal(text, word) || equal(core_of(text), word))
      return true;
  }
  return std::any_of(std::begin(kRows), std::end(kRows),
                     [&](std::string_view row) { return contains(row, text); });
}

// With fewer different characters a password is no more than its length.
constexpr std::size_t kFew = 4;

struct Seen {
  std::size_t characters = 0;
  unsigned classes = 0;
  bool valid = true;
  unsigned distinct = 0;  // characters, counted up to kFew
};

Seen look_at(std::string_view text) {
  Seen seen;
  std::array<char32_t, kFew> different{};
  bool lower = false;
  bool upper = false;
  bool digit = false;
  bool other = false;
  while (!text.empty()) {
    const common::Utf8Step step = common::decode_utf8(text);
    if (!step.valid || common::is_control(step.code_point)) {
      seen.valid = false;
      return seen;
    }
    const char32_t c = step.code_point;
    (c >= U'a' && c <= U'z'   ? lower
     : c >= U'A' && c <= U'Z' ? upper
     : c >= U'0' && c <= U'9' ? digit
                              : other) = true;
    const auto end = different.begin() + seen.distinct;
    if (seen.distinct < kFew && std::find(different.begin(), end, c) == end)
      different[seen.distinct++] = c;
    ++seen.characters;
    text.remove_prefix(step.length);
  }
  common::crypto::wipe(std::as_writable_bytes(std::span(different)));
  seen.classes = unsigned{lower} + unsigned{upper} + unsigned{digit} + unsigned{other};
  return seen;
}

}  // namespace

Status check_password(const Policy& policy, std::string_view user,
                      const common::crypto::Secret& password) {
  const auto refuse = [](std::string why) { return fail(ErrorCode::InvalidArgument, "{}", why); };
  const std::string_view text = common::as_text(password.bytes());
  if (text.size() > kMostPasswordBytes)
    return refuse(fmt::format("a password has at most {} bytes", kMostPasswordBytes));
  const Seen seen = look_at(text);
  if (!seen.valid)
    return refuse("a password is text without control characters");
  if (seen.characters < policy.min_length)
    return refuse(fmt::format("the password needs at least {} characters", policy.min_length));
  if (seen.classes < policy.min_classes) {
    return refuse(fmt::format("the password needs {} of: small letters, capitals, digits, others",
                              policy.min_classes));
  }
  if (contains(text, user) && text.size() < user.size() + 6)
    return refuse("the password is little more than the user's name");
  if (seen.distinct < kFew && seen.characters < 64)
    return refuse("the password repeats the same few characters");
  if (is_common(text))
    return refuse("the password is one of those that are guessed first");
  return {};
}

}  // namespace kdc
