#pragma once

#include <string>
#include <string_view>

#include "common/io/atomic_file.hpp"

namespace io_test {

// What the file holds, or "<code>" of why it cannot be read.
inline std::string content_of(common::io::FileIo& io, std::string_view path) {
  const auto bytes = common::io::read_whole_file(io, path, 1000);
  if (!bytes)
    return "<" + std::string(common::to_string(bytes.error().code)) + ">";
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

}  // namespace io_test
