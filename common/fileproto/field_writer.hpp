#pragma once

// Writes fields; see fields.hpp. For the sources of this folder only.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.hpp"
#include "common/fileproto/field_types.hpp"
#include "common/wire/json_writer.hpp"

namespace common::fileproto::codec {

class ItemWriter;

class FieldWriter {
 public:
  static constexpr bool kReads = false;
  explicit FieldWriter(wire::JsonWriter& out) : out_(out) {}

  void refuse_others() {}
  void require(bool, std::string_view, std::string_view) {}
  void constant(std::string_view name, std::string_view value) { out_.field(name, value); }

  template <typename T>
  void number(std::string_view name, const T& value, std::uint64_t = 0) {
    out_.field(name, NumberOf<T>::get(value));
  }
  template <typename T>
  void optional(std::string_view name, const std::optional<T>& value, std::uint64_t = 0) {
    if (value)
      number(name, *value);
  }
  template <typename T>
  void defaulted(std::string_view name, const T& value, std::type_identity_t<T> usual = T{},
                 std::uint64_t = 0) {
    if (value != usual)
      number(name, value);
  }
  void flag(std::string_view name, bool value, bool usual = false) {
    if (value != usual)
      out_.field(name, value);
  }
  void one(std::string_view name, bool value) {
    if (value)
      out_.field(name, 1);
  }
  void optional_fid(std::string_view name, const std::optional<Fid>& value) {
    if (value)
      fid(name, *value);
  }
  void fid(std::string_view name, const Fid& value) {
    out_.begin_list(name).item(value.volume.value).item(value.node.value).end();
  }
  void name(std::string_view name, const std::string& value) { out_.bytes(name, value); }
  void optional_name(std::string_view name, const std::optional<std::string>& value) {
    if (value)
      out_.bytes(name, *value);
  }
  // Empty stands for none.
  void name_or_none(std::string_view name, const std::string& value) {
    if (!value.empty())
      out_.bytes(name, value);
  }
  void bytes(std::string_view name, const std::string& value, std::size_t = 0, std::size_t = 0) {
    out_.bytes(name, value);
  }
  void optional_bytes(std::string_view name, const std::optional<std::string>& value,
                      std::size_t = 0) {
    if (value)
      out_.bytes(name, *value);
  }
  void text(std::string_view name, const std::string& value, std::size_t) {
    out_.field(name, std::string_view(value));
  }
  template <std::size_t N>
  void hex(std::string_view name, const std::array<std::byte, N>& value) {
    write_hex(name, value);
  }
  template <std::size_t N>
  void optional_hex(std::string_view name, const std::optional<std::array<std::byte, N>>& value) {
    if (value)
      write_hex(name, *value);
  }
  template <typename E, std::size_t N>
  void word(std::string_view name, E value, const std::array<Word<E>, N>& words) {
    for (const Word<E>& known : words) {
      if (known.value == value)
        out_.field(name, known.text);
    }
  }
  // Left out if it is the first.
  template <typename E, std::size_t N>
  void word_or_first(std::string_view name, E value, const std::array<Word<E>, N>& words) {
    if (value != words[0].value)
      word(name, value, words);
  }
  template <std::size_t N>
  void letters(std::string_view name, std::uint8_t bits, const std::array<Letter, N>& known) {
    std::string text;
    for (const Letter& letter : known) {
      if ((bits & letter.bit) != 0)
        text += letter.letter;
    }
    out_.field(name, std::string_view(text));
  }
  void errno_name(std::string_view name, int value);
  template <typename T>
  void object(std::string_view name, T& value) {
    out_.begin_object(name);
    fields(*this, value);
    out_.end();
  }
  template <typename T>
  void optional_object(std::string_view name, std::optional<T>& value) {
    if (value)
      object(name, *value);
  }
  template <typename T, typename Each>
  void list(std::string_view name, std::vector<T>& values, std::size_t, Each each);
  // Left out if it is empty.
  template <typename T, typename Each>
  void list_or_none(std::string_view name, std::vector<T>& values, std::size_t most, Each each) {
    if (!values.empty())
      list(name, values, most, each);
  }
  template <typename T, typename Each>
  void optional_list(std::string_view name, std::optional<std::vector<T>>& values, std::size_t most,
                     Each each) {
    if (values)
      list(name, *values, most, each);
  }
  template <typename Inside>
  void tuple(std::string_view name, Inside inside);

  wire::JsonWriter& out() { return out_; }

 private:
  void write_hex(std::string_view name, ByteView value);
  wire::JsonWriter& out_;
};

class ItemWriter {
 public:
  static constexpr bool kReads = false;
  explicit ItemWriter(wire::JsonWriter& out) : out_(out) {}

  template <typename T>
  void number(const T& value, std::uint64_t = 0) {
    out_.item(NumberOf<T>::get(value));
  }
  template <typename T>
  void number_or_null(const std::optional<T>& value) {
    if (value)
      number(*value);
    else
      out_.null();
  }
  void boolean(bool value) { out_.item(value); }
  void text(std::string_view value, std::size_t = 0) { out_.item(value); }
  void fid(const Fid& value) {
    out_.begin_list().item(value.volume.value).item(value.node.value).end();
  }
  void name(const std::string& value) { out_.bytes({}, value); }
  void bytes(const std::string& value, std::size_t = 0, std::size_t = 0) { out_.bytes({}, value); }
  template <typename T>
  void object(T& value) {
    out_.begin_object();
    FieldWriter inside(out_);
    fields(inside, value);
    out_.end();
  }
  template <typename Inside>
  void tuple(Inside inside) {
    out_.begin_list();
    inside(*this);
    out_.end();
  }

 private:
  wire::JsonWriter& out_;
};

template <typename T, typename Each>
void FieldWriter::list(std::string_view name, std::vector<T>& values, std::size_t, Each each) {
  out_.begin_list(name);
  ItemWriter item(out_);
  for (T& value : values)
    each(item, value);
  out_.end();
}

template <typename Inside>
void FieldWriter::tuple(std::string_view name, Inside inside) {
  out_.begin_list(name);
  ItemWriter item(out_);
  inside(item);
  out_.end();
}

}  // namespace common::fileproto::codec
