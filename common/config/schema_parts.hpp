#pragma once

// What a schema is made of, shared by schema.cpp (declaring), load.cpp (reading) and help.cpp.

#include <functional>
#include <string>

#include "common/config/schema.hpp"

namespace common::config {

struct Schema::SectionInfo {
  std::string name;
  std::string help;
};

struct Schema::Setting {
  std::string section;
  std::string key;
  std::string help;
  std::string expected;      // "a whole number from 1 to 10"
  std::string default_text;  // as one would write it in the file
  Presence presence = Presence::Optional;

  // Checks a value and returns what sets the target to it. A failure's message is only what was
  // expected; the loader says where and what was found. `directory` is where relative paths begin.
  using Commit = std::function<void()>;
  std::function<Result<Commit>(const RawValue& value, const std::string& directory)> accept;

  std::string origin = {};  // set by a successful load

  [[nodiscard]] std::string variable() const;
};

}  // namespace common::config
