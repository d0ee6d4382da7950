#include "common/fileproto/fields.hpp"

#include <algorithm>

#include "common/wire/hex.hpp"
#include "common/wire/name.hpp"

namespace common::fileproto::codec {
namespace {

std::string path_text(const Path& at) {
  std::vector<const Path*> steps;
  for (const Path* step = &at; step != nullptr; step = step->up)
    steps.push_back(step);
  std::string text;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if ((*step)->up == nullptr)
      continue;  // the message itself
    if ((*step)->name.empty())
      text += fmt::format("[{}]", (*step)->index);
    else
      text += (text.empty() ? "" : ".") + std::string((*step)->name);
  }
  return text.empty() ? "message" : text;
}

// Short and without control characters.
std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 40))
    shown += c < ' ' || c == 0x7F ? '?' : c;
  return shown;
}

}  // namespace

void FieldWriter::errno_name(std::string_view name, int value) {
  if (const std::string_view known = common::errno_name(value); !known.empty())
    out_.field(name, known);
}

void FieldWriter::write_hex(std::string_view name, ByteView value) {
  out_.field(name, std::string_view(wire::to_hex(value)));
}

void Reading::fail(const Path& at, std::string_view expected, ErrorCode code) {
  if (!error_)
    error_ = Error{code, fmt::format("field '{}': expected {}", path_text(at), expected)};
}

void Reading::fail(const Path& at, Error error) {
  if (!error_)
    error_ = error.in(fmt::format("field '{}'", path_text(at)));
}

Status Reading::status() const {
  if (error_)
    return tl::unexpected<Error>(*error_);
  return {};
}

void read_unsigned(Reading& reading, const Path& at, const Json& value, std::uint64_t most,
                   std::uint64_t& into) {
  const auto number = unsigned_of(value);
  if (!number)
    reading.fail(at, "an unsigned integer");
  else if (*number > most)
    reading.fail(at, fmt::format("at most {}", most));
  else
    into = *number;
}

void read_signed(Reading& reading, const Path& at, const Json& value, std::int64_t& into) {
  if (const auto number = signed_of(value))
    into = *number;
  else
    reading.fail(at, "a 64-bit integer");
}

void read_fid(Reading& reading, const Path& at, const Json& value, Fid& into) {
  if (!is_list(value) || count(value) != 2)
    return reading.fail(at, "[volume, node]");
  read_number(reading, at, item(value, 0), kAny, into.volume);
  read_number(reading, at, item(value, 1), kAny, into.node);
  if (into.volume.value == 0 || into.node.value == 0)
    reading.fail(at, "neither to be 0");
}

void read_boolean(Reading& reading, const Path& at, const Json& value, bool& into) {
  if (const auto given = boolean_of(value))
    into = *given;
  else
    reading.fail(at, "true or false");
}

void read_bytes(Reading& reading, const Path& at, const Json& value, std::size_t most,
                std::size_t least, std::string& into) {
  // Decoded first, so that what is too long is told from what is no name at all.
  auto decoded = wire::decode_name(value, std::numeric_limits<std::size_t>::max() / 2);
  if (!decoded)
    return reading.fail(at, decoded.error().message);
  if (decoded->size() > most)
    return reading.fail(at, fmt::format("at most {} bytes", most), ErrorCode::TooLarge);
  if (decoded->size() < least)
    return reading.fail(at, fmt::format("at least {} bytes", least));
  into = std::move(*decoded);
}

void read_file_name(Reading& reading, const Path& at, const Json& value, std::string& into) {
  read_bytes(reading, at, value, std::numeric_limits<std::size_t>::max(), 0, into);
  if (!reading.ok())
    return;
  if (Status checked = check_file_name(into); !checked)
    reading.fail(at, std::move(checked.error()));
}

void read_text(Reading& reading, const Path& at, const Json& value, std::size_t most,
               std::string& into) {
  const std::string* text = text_of(value);
  if (text == nullptr)
    reading.fail(at, "a string");
  else if (text->size() > most)
    reading.fail(at, fmt::format("at most {} bytes", most), ErrorCode::TooLarge);
  else
    into = *text;
}

void read_hex(Reading& reading, const Path& at, const Json& value, std::span<std::byte> into) {
  const std::string* text = text_of(value);
  if (text == nullptr || !wire::from_hex_into(*text, into))
    reading.fail(at, fmt::format("{} hex digits", 2 * into.size()));
}

void read_letters(Reading& reading, const Path& at, const Json& value,
                  std::span<const Letter> known, std::uint8_t& into) {
  const std::string* text = text_of(value);
  std::size_t used = 0;
  into = 0;
  for (const Letter& letter : known) {
    if (text != nullptr && used < text->size() && (*text)[used] == letter.letter) {
      into |= letter.bit;
      ++used;
    }
  }
  if (text == nullptr || used != text->size()) {
    std::string all;
    for (const Letter& letter : known)
      all += letter.letter;
    reading.fail(at, fmt::format("letters of \"{}\" in this order", all));
  }
}

FieldReader::FieldReader(Reading& reading, const Json& value, const Path& at)
    : reading_(reading), value_(value), at_(at) {
  if (reading_.ok() && !is_object(value))
    reading_.fail(at, "an object");
}

const Json* FieldReader::possible(std::string_view name) {
  if (!reading_.ok())
    return nullptr;
  const Json* value = member(value_, name);
  // A table of names that is full only makes finish() stricter.
  if (value != nullptr && seen_count_ < kMostFields)
    seen_[seen_count_++] = name;
  return value;
}

const Json* FieldReader::required(std::string_view name) {
  const Json* value = possible(name);
  if (value == nullptr)
    reading_.fail(Path{&at_, name}, "to be there");
  return value;
}

void FieldReader::finish() {
  if (!reading_.ok() || !reading_.strict() || seen_count_ == count(value_))
    return;
  const std::string other = other_field(value_, std::span(seen_).first(seen_count_));
  if (!other.empty() || count(value_) > seen_count_)
    reading_.fail(at_, Error{ErrorCode::Protocol,
                             fmt::format("field '{}' is not known here", printable(other))});
}

void FieldReader::require(bool holds, std::string_view field, std::string_view expected) {
  if (!holds)
    fail(field, expected);
}

bool FieldReader::has(std::string_view name) const {
  return reading_.ok() && member(value_, name) != nullptr;
}

bool FieldReader::is_text(std::string_view name, std::string_view text) {
  const Json* value = reading_.ok() ? member(value_, name) : nullptr;
  const std::string* found = value == nullptr ? nullptr : text_of(*value);
  return found != nullptr && *found == text && possible(name) != nullptr;
}

std::string_view FieldReader::constant(std::string_view name) {
  const Json* value = required(name);
  const std::string* text = value == nullptr ? nullptr : text_of(*value);
  if (text == nullptr) {
    fail(name, "a string");
    return {};
  }
  return *text;
}

void FieldReader::flag(std::string_view name, bool& into, bool usual) {
  into = usual;
  if (const Json* value = possible(name))
    read_boolean(reading_, Path{&at_, name}, *value, into);
}

void FieldReader::one(std::string_view name, bool& into) {
  std::uint64_t number = 0;
  defaulted(name, number, 0, 1);
  into = number == 1;
}

void FieldReader::errno_name(std::string_view name, int& into) {
  into = 0;
  const Json* value = possible(name);
  if (value == nullptr)
    return;
  if (const std::string* text = text_of(*value))
    into = errno_from_name(*text);
  else
    fail(name, "a string");
}

const Json* ItemReader::next() {
  if (!reading_.ok())
    return nullptr;
  if (index_ >= count(list_)) {
    reading_.fail(at_, fmt::format("more than {} items", index_));
    return nullptr;
  }
  return &item(list_, index_++);
}

void ItemReader::finish() {
  if (reading_.ok() && index_ != count(list_))
    reading_.fail(at_, fmt::format("{} items", index_));
}

}  // namespace common::fileproto::codec
