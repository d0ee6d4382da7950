#pragma once

// Failures of file operations, which a mount reports by their errno.

#include <cerrno>

#include "common/result.hpp"

namespace fileserver::store {

// The code is that of the errno; the sentence is the caller's own.
template <typename... Args>
[[nodiscard]] tl::unexpected<common::Error> fail_posix(int error_number,
                                                       fmt::format_string<Args...> format,
                                                       Args&&... args) {
  return common::fail(common::error_code_from_errno(error_number), format,
                      std::forward<Args>(args)...);
}

}  // namespace fileserver::store
