// The changes of contents as calls, and all calls of this folder.

#include <vector>

#include "fileserver/content/content_families.hpp"
#include "fileserver/operations/file_change.hpp"

namespace fileserver {

std::span<const FileOperation> store_operations() {
  using common::rpc::OperationClass;
  // A head of 64 KiB, bytes of 1 MiB, and what frames them.
  constexpr std::uint64_t kWithBytes = (1 << 20) + (64 << 10) + 4;
  static constexpr FileOperation kOperations[] = {
      // With a staging there are no bytes, and the edits may be many.
      {.name = "store",
       .run = run_change<fileproto::Store>,
       .needs_id = true,
       .body_cap = kWithBytes},
      {.name = "append",
       .run = run_change<fileproto::Append>,
       .needs_id = true,
       .body_cap = kWithBytes},
      {.name = "allocate", .run = run_change<fileproto::Allocate>, .needs_id = true},
      {.name = "copy-range", .run = run_change<fileproto::CopyRange>, .needs_id = true},
      {.name = "restore", .run = run_change<fileproto::Restore>, .needs_id = true},
  };
  return kOperations;
}

std::span<const FileOperation> content_operations() {
  static const std::vector<FileOperation> all = [] {
    std::vector<FileOperation> joined;
    for (const auto family : {fetch_operations(), store_operations(), staging_operations(),
                              past_operations(), dump_operations()})
      joined.insert(joined.end(), family.begin(), family.end());
    return joined;
  }();
  return all;
}

}  // namespace fileserver
