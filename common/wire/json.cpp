#include "common/wire/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/utf8.hpp"

namespace common::wire {
namespace {

using Json = nlohmann::json;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Short and without control characters, for an error message.
std::string printable(std::string_view text) {
  constexpr std::size_t kShown = 40;
  std::string shown;
  for (const char c : text.substr(0, kShown))
    shown += c < ' ' || c == 0x7F ? '?' : c;
  return shown;
}

// Reads a text (RFC 8259) and builds its value, stopping at the first that is wrong or breaks a
// limit. Every step answers whether to go on. A call's head and its answer come through here, so
// no character is looked at more often than need be, and nothing is kept but the value.
class BoundedReader {
 public:
  BoundedReader(std::string_view text, const JsonLimits& limits) : text_(text), limits_(limits) {
    open_.reserve(std::min<std::size_t>(limits.depth, 8));
  }

  Result<Json> read() {
    skip_space();
    bool good = value();
    while (good && !open_.empty())
      good = next_in_container();
    if (good) {
      skip_space();
      good = at_ == text_.size() || not_json();
    }
    if (good)
      return std::move(root_);
    return tl::unexpected(std::move(error_));
  }

 private:
  bool stop(ErrorCode code, std::string message) {
    error_ = Error{code, std::move(message)};
    return false;
  }
  bool not_json() { return stop(ErrorCode::Protocol, fmt::format("not JSON at byte {}", at_ + 1)); }

  // The character here; NUL, which no text has, at the end.
  [[nodiscard]] char here() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (here() == ' ' || here() == '\n' || here() == '\r' || here() == '\t')
      ++at_;
  }

  // What follows in the innermost container: an element, or its end.
  bool next_in_container() {
    const bool is_object = open_.back()->is_object();
    skip_space();
    if (here() == (is_object ? '}' : ']')) {
      ++at_;
      open_.pop_back();
      is_fresh_ = false;
      return true;
    }
    if (!is_fresh_) {
      if (here() != ',')
        return not_json();
      ++at_;
      skip_space();
    }
    is_fresh_ = false;
    return (!is_object || key()) && value();
  }

  bool key() {
    std::string name;
    if (here() != '"')
      return not_json();
    if (!string(name))
      return false;
    auto& members = *open_.back()->get_ptr<Json::object_t*>();
    const auto [member, is_new] = members.try_emplace(std::move(name));
    if (!is_new) {
      return stop(ErrorCode::Protocol,
                  fmt::format("key '{}' appears twice", printable(member->first)));
    }
    member_ = &member->second;
    skip_space();
    if (here() != ':')
      return not_json();
    ++at_;
    skip_space();
    return true;
  }

  bool value() {
    switch (here()) {
      case '{':
        ++at_;
        return open(Json::object());
      case '[':
        ++at_;
        return open(Json::array());
      case '"': {
        std::string text;
        return string(text) && add(std::move(text));
      }
      case 't':
        return word("true") && add(true);
      case 'f':
        return word("false") && add(false);
      case 'n':
        return word("null") && add(nullptr);
      default:
        return number();
    }
  }

  bool word(std::string_view expected) {
    for (const char c : expected) {
      if (here() != c)
        return not_json();
      ++at_;
    }
    return true;
  }

  // --- numbers ---

  bool digits() {
    if (!is_digit(here()))
      return not_json();
    while (is_digit(here()))
      ++at_;
    return true;
  }

  bool number() {
    const std::size_t begin = at_;
    if (here() == '-')
      ++at_;
    if (here() == '0')
      ++at_;
    else if (!digits())
      return false;
    bool is_whole = true;
    if (here() == '.') {
      is_whole = false;
      ++at_;
      if (!digits())
        return false;
    }
    if (here() == 'e' || here() == 'E') {
      is_whole = false;
      ++at_;
      if (here() == '+' || here() == '-')
        ++at_;
      if (!digits())
        return false;
    }
    const std::string_view all = text_.substr(begin, at_ - begin);
    return is_whole ? whole_number(all) : real_number(all);
  }

  // What fits in no integer becomes a real number.
  bool whole_number(std::string_view all) {
    const char* const end = all.data() + all.size();
    if (all.front() == '-') {
      std::int64_t number = 0;
      if (std::from_chars(all.data(), end, number).ec == std::errc())
        return add(number);
    } else {
      std::uint64_t number = 0;
      if (std::from_chars(all.data(), end, number).ec == std::errc())
        return add(number);
    }
    return real_number(all);
  }

  bool real_number(std::string_view all) {
    double number = 0;
    const auto parsed = std::from_chars(all.data(), all.data() + all.size(), number);
    // Too small is nothing, too large is no number; from_chars does not tell them apart.
    if (parsed.ec == std::errc::result_out_of_range)
      number = std::strtod(std::string(all).c_str(), nullptr);
    else if (parsed.ec != std::errc())
      return not_json();
    return std::isfinite(number) ? add(number) : not_json();
  }

  // --- texts ---

  // From its opening quote to behind its closing one.
  bool string(std::string& into) {
    ++at_;
    bool is_ascii = true;
    for (;;) {
      const std::size_t begin = at_;
      while (at_ < text_.size() && is_itself(text_[at_])) {
        is_ascii = is_ascii && static_cast<unsigned char>(text_[at_]) < 0x80;
        ++at_;
      }
      into.append(text_, begin, at_ - begin);
      if (here() == '"')
        break;
      if (here() != '\\' || !escape(into))
        return error_.message.empty() ? not_json() : false;
    }
    ++at_;
    // What is escaped is whole characters, so it joins no halves.
    if (!is_ascii && !is_valid_utf8(into))
      return not_json();
    if (into.size() > limits_.text_bytes) {
      return stop(ErrorCode::TooLarge,
                  fmt::format("a JSON string is over {} bytes", limits_.text_bytes));
    }
    return true;
  }

  static bool is_itself(char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
  }

  bool escape(std::string& into) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    ++at_;
    if (here() == 'u')
      return escaped_code_point(into);
    const std::size_t which = kLetters.find(here());
    if (at_ == text_.size() || which == std::string_view::npos)
      return not_json();
    ++at_;
    into += kMeant[which];
    return true;
  }

  bool escaped_code_point(std::string& into) {
    std::uint32_t first = 0;
    if (!four_hex_digits(first))
      return false;
    if (first >= 0xDC00 && first <= 0xDFFF)
      return not_json();
    if (first >= 0xD800 && first <= 0xDBFF) {
      std::uint32_t second = 0;
      if (here() != '\\')
        return not_json();
      ++at_;
      if (here() != 'u' || !four_hex_digits(second) || second < 0xDC00 || second > 0xDFFF)
        return not_json();
      first = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }
    append_utf8(into, first);
    return true;
  }

  // Behind the letter u.
  bool four_hex_digits(std::uint32_t& into) {
    ++at_;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = here();
      std::uint32_t digit = 0;
      if (is_digit(c))
        digit = static_cast<std::uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<std::uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<std::uint32_t>(c - 'A' + 10);
      else
        return not_json();
      into = into << 4 | digit;
    }
    return true;
  }

  static void append_utf8(std::string& into, std::uint32_t code_point) {
    const auto put = [&](std::uint32_t byte) { into += static_cast<char>(byte); };
    const auto more = [&](unsigned shift) { put(0x80 | (code_point >> shift & 0x3F)); };
    if (code_point < 0x80) {
      put(code_point);
    } else if (code_point < 0x800) {
      put(0xC0 | code_point >> 6);
      more(0);
    } else if (code_point < 0x10000) {
      put(0xE0 | code_point >> 12);
      more(6);
      more(0);
    } else {
      put(0xF0 | code_point >> 18);
      more(12);
      more(6);
      more(0);
    }
  }

  // --- values into their places ---

  template <typename T>
  Json* place(T&& value) {
    if (++values_ > limits_.values) {
      stop(ErrorCode::TooLarge, fmt::format("JSON with over {} values", limits_.values));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::forward<T>(value);
      return &root_;
    }
    if (auto* const list = open_.back()->get_ptr<Json::array_t*>())
      return &list->emplace_back(std::forward<T>(value));
    *member_ = std::forward<T>(value);
    return member_;
  }

  template <typename T>
  bool add(T value) {
    return place(std::move(value)) != nullptr;
  }

  bool open(Json container) {
    if (open_.size() == limits_.depth)
      return stop(ErrorCode::TooLarge, fmt::format("JSON nests over {} deep", limits_.depth));
    Json* const placed = place(std::move(container));
    if (placed == nullptr)
      return false;
    // Stays valid: a parent does not grow while a child of it is open.
    open_.push_back(placed);
    is_fresh_ = true;
    return true;
  }

  const std::string_view text_;
  const JsonLimits& limits_;
  std::size_t at_ = 0;
  Json root_;
  std::vector<Json*> open_;
  bool is_fresh_ = false;   // nothing of the innermost container has come yet
  Json* member_ = nullptr;  // of the innermost object: where the value of the last key goes
  std::size_t values_ = 0;
  Error error_{};
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(ErrorCode::TooLarge, "{} bytes of JSON, at most {} allowed", text.size(),
                limits.bytes);
  }
  try {
    return BoundedReader(text, limits).read();
  } catch (const std::bad_alloc&) {
    return tl::unexpected(Error{ErrorCode::ResourceExhausted, "memory is short"});
  }
}

Result<std::string> dump_json(const Json& value, bool ascii_only) {
  try {
    return value.dump(-1, ' ', ascii_only);
  } catch (const std::exception&) {
    return fail(ErrorCode::InvalidArgument, "a text for JSON is not UTF-8");
  }
}

}  // namespace common::wire
