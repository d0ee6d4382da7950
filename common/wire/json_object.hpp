#pragma once

// Checked access to the fields of a JSON object. For codecs: one reader per object, one line per
// field, and a failure that names the field ("field 'head.version': expected an unsigned integer").

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/result.hpp"

namespace common::wire {

// Borrows the value, which must outlive it. Every failure is Protocol. Fields that nobody asks for
// are ignored, so that a newer peer may add some; a decoder that must not (because ignoring one
// would be unsafe) calls refuse_others().
class JsonObject {
 public:
  // Fails unless `value` is an object. `where` is how errors call it ("head").
  static Result<JsonObject> of(const nlohmann::json& value, std::string_view where);

  [[nodiscard]] bool has(std::string_view field) const;

  // Required fields. Integers must be written as integers and lie in the range given.
  [[nodiscard]] Result<std::uint64_t> u64(
      std::string_view field, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) const;
  [[nodiscard]] Result<std::uint32_t> u32(std::string_view field) const;
  [[nodiscard]] Result<std::int64_t> i64(std::string_view field) const;
  [[nodiscard]] Result<bool> boolean(std::string_view field) const;
  [[nodiscard]] Result<std::string> text(std::string_view field, std::size_t most_bytes) const;
  // A file name or other bytes in the form of name.hpp.
  [[nodiscard]] Result<std::string> name(std::string_view field, std::size_t most_bytes) const;
  [[nodiscard]] Result<JsonObject> object(std::string_view field) const;
  // A list of at most `most` values, whatever they are; never null.
  [[nodiscard]] Result<const nlohmann::json*> list(std::string_view field, std::size_t most) const;

  // The same where the field may be missing. Present with a wrong type is still a failure; null is
  // a wrong type.
  [[nodiscard]] Result<std::optional<std::uint64_t>> try_u64(std::string_view field) const;
  [[nodiscard]] Result<std::optional<bool>> try_boolean(std::string_view field) const;
  [[nodiscard]] Result<std::optional<std::string>> try_text(std::string_view field,
                                                            std::size_t most_bytes) const;

  // Fails if there is any field but these.
  [[nodiscard]] Status refuse_others(std::initializer_list<std::string_view> known) const;

 private:
  JsonObject(const nlohmann::json& value, std::string where)
      : value_(&value), where_(std::move(where)) {}
  [[nodiscard]] Result<const nlohmann::json*> find(std::string_view field) const;
  [[nodiscard]] tl::unexpected<Error> wrong(std::string_view field,
                                            std::string_view expected) const;

  const nlohmann::json* value_;
  std::string where_;
};

}  // namespace common::wire
