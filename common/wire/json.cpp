#include "common/wire/json.hpp"

#include <exception>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace common::wire {
namespace {

using Json = nlohmann::json;

// Builds the value from nlohmann's parse events, stopping at the first that breaks a limit. The
// member functions' names and signatures are nlohmann's SAX interface.
class BoundedBuilder {
 public:
  explicit BoundedBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool binary(Json::binary_t&) { return stop(ErrorCode::Protocol, "binary data in JSON"); }
  bool string(std::string& value) {
    if (value.size() > limits_.text_bytes)
      return text_too_long();
    return add(std::move(value));
  }

  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    if (name.size() > limits_.text_bytes)
      return text_too_long();
    const auto [member, is_new] = open_.back()->emplace(std::move(name), nullptr);
    if (!is_new) {
      return stop(ErrorCode::Protocol,
                  fmt::format("key '{}' appears twice", printable(member.key())));
    }
    member_ = &member.value();
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return stop(ErrorCode::Protocol, fmt::format("not JSON at byte {}", position));
  }

  Result<Json> finish(bool complete) {
    if (complete && !error_)
      return std::move(root_);
    if (error_)
      return tl::unexpected(std::move(*error_));
    return fail(ErrorCode::Protocol, "not JSON");
  }

 private:
  // Short and without control characters, for an error message.
  static std::string printable(std::string_view text) {
    constexpr std::size_t kShown = 40;
    std::string shown;
    for (const char c : text.substr(0, kShown))
      shown += c < ' ' || c == 0x7F ? '?' : c;
    return shown;
  }

  bool stop(ErrorCode code, std::string message) {
    if (!error_)
      error_ = Error{code, std::move(message)};
    return false;
  }
  bool text_too_long() {
    return stop(ErrorCode::TooLarge,
                fmt::format("a JSON string is over {} bytes", limits_.text_bytes));
  }

  Json* place(Json value) {
    if (++values_ > limits_.values) {
      stop(ErrorCode::TooLarge, fmt::format("JSON with over {} values", limits_.values));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    *member_ = std::move(value);
    return member_;
  }

  template <typename T>
  bool add(T value) {
    return place(Json(std::move(value))) != nullptr;
  }

  bool open(Json container) {
    if (open_.size() == limits_.depth) {
      return stop(ErrorCode::TooLarge, fmt::format("JSON nests over {} deep", limits_.depth));
    }
    Json* placed = place(std::move(container));
    if (placed == nullptr)
      return false;
    // Stays valid: a parent does not grow while a child of it is open.
    open_.push_back(placed);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  JsonLimits limits_;
  Json root_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;  // of the innermost object: where the value of the last key goes
  std::size_t values_ = 0;
  std::optional<Error> error_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(ErrorCode::TooLarge, "{} bytes of JSON, at most {} allowed", text.size(),
                limits.bytes);
  }
  // nlohmann takes a NUL byte for the end of the text and skips a byte order mark. Neither is JSON.
  if (text.find('\0') != text.npos || text.substr(0, 1) == "\xEF") {
    return fail(ErrorCode::Protocol, "not JSON: a NUL byte or a byte order mark");
  }
  BoundedBuilder builder(limits);
  bool complete = false;
  try {
    complete = Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const std::bad_alloc&) {
    return tl::unexpected(Error{ErrorCode::ResourceExhausted, "memory is short"});
  } catch (const std::exception&) {
    return fail(ErrorCode::Protocol, "not JSON");
  }
  return builder.finish(complete);
}

Result<std::string> dump_json(const Json& value, bool ascii_only) {
  try {
    return value.dump(-1, ' ', ascii_only);
  } catch (const std::exception&) {
    return fail(ErrorCode::InvalidArgument, "a text for JSON is not UTF-8");
  }
}

}  // namespace common::wire
