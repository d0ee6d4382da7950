#pragma once

// The calls of this folder by file; content_operations() joins them.

#include <span>

#include "fileserver/operations/file_call.hpp"

namespace fileserver {

[[nodiscard]] std::span<const FileOperation> fetch_operations();
[[nodiscard]] std::span<const FileOperation> store_operations();
[[nodiscard]] std::span<const FileOperation> staging_operations();
[[nodiscard]] std::span<const FileOperation> past_operations();
[[nodiscard]] std::span<const FileOperation> dump_operations();

}  // namespace fileserver
