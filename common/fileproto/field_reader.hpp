#pragma once

// Reads fields, within their bounds; see fields.hpp. For the sources of this folder only.

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/fileproto/field_types.hpp"
#include "common/fileproto/json_access.hpp"
#include "common/fileproto/node.hpp"

namespace common::fileproto::codec {

// Where a value stands in the message, for the sentence of a failure only.
struct Path {
  const Path* up = nullptr;
  std::string_view name;  // of a field
  std::size_t index = 0;  // of an item, where there is no name
};

// The first failure of a message; after it nothing is read any more.
class Reading {
 public:
  [[nodiscard]] bool ok() const { return !error_; }
  [[nodiscard]] bool strict() const { return strict_; }
  void be_strict() { strict_ = true; }
  void fail(const Path& at, std::string_view expected, ErrorCode code = ErrorCode::Protocol);
  void fail(const Path& at, Error error);
  [[nodiscard]] Status status() const;

 private:
  std::optional<Error> error_;
  bool strict_ = false;
};

// One value that is there: into `into`, or a failure.
void read_unsigned(Reading& reading, const Path& at, const Json& value, std::uint64_t most,
                   std::uint64_t& into);
void read_signed(Reading& reading, const Path& at, const Json& value, std::int64_t& into);
void read_boolean(Reading& reading, const Path& at, const Json& value, bool& into);
void read_fid(Reading& reading, const Path& at, const Json& value, Fid& into);
void read_file_name(Reading& reading, const Path& at, const Json& value, std::string& into);
void read_bytes(Reading& reading, const Path& at, const Json& value, std::size_t most,
                std::size_t least, std::string& into);
void read_text(Reading& reading, const Path& at, const Json& value, std::size_t most,
               std::string& into);
void read_hex(Reading& reading, const Path& at, const Json& value, std::span<std::byte> into);
void read_letters(Reading& reading, const Path& at, const Json& value,
                  std::span<const Letter> known, std::uint8_t& into);

template <typename T>
void read_number(Reading& reading, const Path& at, const Json& value, std::uint64_t most, T& into) {
  if constexpr (std::is_signed_v<typename NumberOf<T>::Rep>) {
    std::int64_t number = 0;
    read_signed(reading, at, value, number);
    into = NumberOf<T>::make(number);
  } else {
    std::uint64_t number = 0;
    read_unsigned(reading, at, value, std::min(most, NumberOf<T>::kMost), number);
    into = NumberOf<T>::make(static_cast<typename NumberOf<T>::Rep>(number));
  }
}

inline constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();

class FieldReader {
 public:
  static constexpr bool kReads = true;
  // `value` and `at` outlive the reader.
  FieldReader(Reading& reading, const Json& value, const Path& at);

  // Of this object and all within it.
  void refuse_others() { reading_.be_strict(); }
  // The last call of an object.
  void finish();
  void require(bool holds, std::string_view field, std::string_view expected);
  [[nodiscard]] bool has(std::string_view name) const;
  // Whether the field is there and is this text; it counts as read then.
  [[nodiscard]] bool is_text(std::string_view name, std::string_view text);
  // The text of a field that says what the others are; empty after a failure.
  std::string_view constant(std::string_view name);
  void fail(std::string_view field, std::string_view expected) {
    reading_.fail(Path{&at_, field}, expected);
  }

  template <typename T>
  void number(std::string_view name, T& into, std::uint64_t most = kAny) {
    if (const Json* value = required(name))
      read_number(reading_, Path{&at_, name}, *value, most, into);
  }
  template <typename T>
  void optional(std::string_view name, std::optional<T>& into, std::uint64_t most = kAny) {
    if (const Json* value = possible(name))
      read_number(reading_, Path{&at_, name}, *value, most, into.emplace());
  }
  template <typename T>
  void defaulted(std::string_view name, T& into, std::type_identity_t<T> usual = T{},
                 std::uint64_t most = kAny) {
    into = usual;
    if (const Json* value = possible(name))
      read_number(reading_, Path{&at_, name}, *value, most, into);
  }
  void flag(std::string_view name, bool& into, bool usual = false);
  void one(std::string_view name, bool& into);
  void optional_fid(std::string_view name, std::optional<Fid>& into) {
    if (const Json* value = possible(name))
      read_fid(reading_, Path{&at_, name}, *value, into.emplace());
  }
  void fid(std::string_view name, Fid& into) {
    if (const Json* value = required(name))
      read_fid(reading_, Path{&at_, name}, *value, into);
  }
  void name(std::string_view name, std::string& into) {
    if (const Json* value = required(name))
      read_file_name(reading_, Path{&at_, name}, *value, into);
  }
  void optional_name(std::string_view name, std::optional<std::string>& into) {
    if (const Json* value = possible(name))
      read_file_name(reading_, Path{&at_, name}, *value, into.emplace());
  }
  void name_or_none(std::string_view name, std::string& into) {
    if (const Json* value = possible(name))
      read_file_name(reading_, Path{&at_, name}, *value, into);
  }
  void bytes(std::string_view name, std::string& into, std::size_t most, std::size_t least = 0) {
    if (const Json* value = required(name))
      read_bytes(reading_, Path{&at_, name}, *value, most, least, into);
  }
  void optional_bytes(std::string_view name, std::optional<std::string>& into, std::size_t most) {
    if (const Json* value = possible(name))
      read_bytes(reading_, Path{&at_, name}, *value, most, 1, into.emplace());
  }
  void text(std::string_view name, std::string& into, std::size_t most) {
    if (const Json* value = required(name))
      read_text(reading_, Path{&at_, name}, *value, most, into);
  }
  template <std::size_t N>
  void hex(std::string_view name, std::array<std::byte, N>& into) {
    if (const Json* value = required(name))
      read_hex(reading_, Path{&at_, name}, *value, into);
  }
  template <std::size_t N>
  void optional_hex(std::string_view name, std::optional<std::array<std::byte, N>>& into) {
    if (const Json* value = possible(name))
      read_hex(reading_, Path{&at_, name}, *value, into.emplace());
  }
  template <typename E, std::size_t N>
  void word(std::string_view name, E& into, const std::array<Word<E>, N>& words) {
    if (const Json* value = required(name))
      read_word(*value, name, into, words);
  }
  template <typename E, std::size_t N>
  void word_or_first(std::string_view name, E& into, const std::array<Word<E>, N>& words) {
    into = words[0].value;
    if (const Json* value = possible(name))
      read_word(*value, name, into, words);
  }
  template <std::size_t N>
  void letters(std::string_view name, std::uint8_t& into, const std::array<Letter, N>& known) {
    if (const Json* value = required(name))
      read_letters(reading_, Path{&at_, name}, *value, known, into);
  }
  void errno_name(std::string_view name, int& into);
  template <typename T>
  void object(std::string_view name, T& into) {
    if (const Json* value = required(name))
      read_object(*value, name, into);
  }
  template <typename T>
  void optional_object(std::string_view name, std::optional<T>& into) {
    if (const Json* value = possible(name))
      read_object(*value, name, into.emplace());
  }
  template <typename T, typename Each>
  void list(std::string_view name, std::vector<T>& into, std::size_t most, Each each) {
    if (const Json* value = required(name))
      read_list(*value, name, into, most, each);
  }
  template <typename T, typename Each>
  void list_or_none(std::string_view name, std::vector<T>& into, std::size_t most, Each each) {
    if (const Json* value = possible(name))
      read_list(*value, name, into, most, each);
  }
  template <typename T, typename Each>
  void optional_list(std::string_view name, std::optional<std::vector<T>>& into, std::size_t most,
                     Each each) {
    if (const Json* value = possible(name))
      read_list(*value, name, into.emplace(), most, each);
  }
  template <typename Inside>
  void tuple(std::string_view name, Inside inside);

  // nullptr: not there (a failure if it is required), or something failed before.
  const Json* required(std::string_view name);
  const Json* possible(std::string_view name);
  [[nodiscard]] Reading& reading() { return reading_; }
  [[nodiscard]] const Path& at() const { return at_; }

 private:
  template <typename E, std::size_t N>
  void read_word(const Json& value, std::string_view name, E& into,
                 const std::array<Word<E>, N>& words) {
    const std::string* text = text_of(value);
    for (const Word<E>& known : words) {
      if (text != nullptr && known.text == *text) {
        into = known.value;
        return;
      }
    }
    fail(name, "one of the words known here");
  }
  template <typename T>
  void read_object(const Json& value, std::string_view name, T& into) {
    const Path at{&at_, name};
    FieldReader inside(reading_, value, at);
    fields(inside, into);
    inside.finish();
  }
  template <typename T, typename Each>
  void read_list(const Json& value, std::string_view name, std::vector<T>& into, std::size_t most,
                 Each each);

  static constexpr std::size_t kMostFields = 32;  // of one object
  Reading& reading_;
  const Json& value_;
  const Path& at_;
  std::array<std::string_view, kMostFields> seen_;
  std::size_t seen_count_ = 0;
};

// The items of a list, one after the other.
class ItemReader {
 public:
  static constexpr bool kReads = true;
  // `list` is one; it and `at` outlive the reader.
  ItemReader(Reading& reading, const Json& list, const Path& at)
      : reading_(reading), list_(list), at_(at) {}

  template <typename T>
  void number(T& into, std::uint64_t most = kAny) {
    if (const Json* value = next())
      read_number(reading_, here(), *value, most, into);
  }
  template <typename T>
  void number_or_null(std::optional<T>& into) {
    const Json* value = next();
    if (value != nullptr && !is_null(*value))
      read_number(reading_, here(), *value, kAny, into.emplace());
  }
  void boolean(bool& into) {
    if (const Json* value = next())
      read_boolean(reading_, here(), *value, into);
  }
  void text(std::string& into, std::size_t most) {
    if (const Json* value = next())
      read_text(reading_, here(), *value, most, into);
  }
  void fid(Fid& into) {
    if (const Json* value = next())
      read_fid(reading_, here(), *value, into);
  }
  void name(std::string& into) {
    if (const Json* value = next())
      read_file_name(reading_, here(), *value, into);
  }
  void bytes(std::string& into, std::size_t most, std::size_t least = 0) {
    if (const Json* value = next())
      read_bytes(reading_, here(), *value, most, least, into);
  }
  template <typename T>
  void object(T& into) {
    if (const Json* value = next()) {
      const Path at = here();
      FieldReader inside(reading_, *value, at);
      fields(inside, into);
      inside.finish();
    }
  }
  template <typename Inside>
  void tuple(Inside inside) {
    const Json* value = next();
    if (value == nullptr)
      return;
    const Path at = here();
    if (!is_list(*value))
      return reading_.fail(at, "a list");
    ItemReader items(reading_, *value, at);
    inside(items);
    items.finish();
  }
  // All items have been read.
  void finish();

 private:
  const Json* next();
  [[nodiscard]] Path here() const { return Path{&at_, {}, index_ - 1}; }

  Reading& reading_;
  const Json& list_;
  const Path& at_;
  std::size_t index_ = 0;
};

template <typename T, typename Each>
void FieldReader::read_list(const Json& value, std::string_view name, std::vector<T>& into,
                            std::size_t most, Each each) {
  const Path at{&at_, name};
  if (!is_list(value))
    return reading_.fail(at, "a list");
  const std::size_t size = count(value);
  if (size > most)
    return reading_.fail(at, fmt::format("at most {} items", most), ErrorCode::TooLarge);
  into.clear();
  into.reserve(size);
  ItemReader items(reading_, value, at);
  for (std::size_t i = 0; i < size && reading_.ok(); ++i)
    each(items, into.emplace_back());
}

template <typename Inside>
void FieldReader::tuple(std::string_view name, Inside inside) {
  const Json* value = required(name);
  if (value == nullptr)
    return;
  const Path at{&at_, name};
  if (!is_list(*value))
    return reading_.fail(at, "a list");
  ItemReader items(reading_, *value, at);
  inside(items);
  items.finish();
}

}  // namespace common::fileproto::codec
