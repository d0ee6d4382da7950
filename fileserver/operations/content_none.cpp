// Contents of files are served by another part of the file server; where it is not linked, these
// calls do not exist.

#include "fileserver/operations/file_change.hpp"

namespace fileserver {

std::span<const FileOperation> content_operations() {
  return {};
}

std::unique_ptr<Step> make_content_step(const fileproto::Change&, common::ByteView) {
  return nullptr;
}

}  // namespace fileserver
