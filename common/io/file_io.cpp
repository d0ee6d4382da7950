#include "common/io/file_io.hpp"

namespace common::io {

Status File::allocate(std::uint64_t /*size*/) {
  return {};
}

void File::start_writeback(std::uint64_t /*offset*/, std::uint64_t /*length*/) {}

void File::drop_cached() {}

Status File::read_exactly(std::uint64_t offset, std::span<std::byte> into) {
  TROTH_TRY(const std::size_t got, read_at(offset, into));
  if (got != into.size()) {
    return fail(ErrorCode::Corrupt, "the file ends at byte {} where {} bytes at {} were expected",
                offset + got, into.size(), offset);
  }
  return {};
}

Status FileIo::rename_durably(std::string_view from, std::string_view to) {
  TROTH_TRY_VOID(rename(from, to));
  TROTH_TRY_VOID(sync_directory(parent_of(to)));
  if (parent_of(from) != parent_of(to))
    TROTH_TRY_VOID(sync_directory(parent_of(from)));
  return {};
}

Status check_path(std::string_view path, RootPath root) {
  if (path.empty()) {
    if (root == RootPath::Allowed)
      return {};
    return fail(ErrorCode::InvalidArgument, "the path is empty");
  }
  if (path.size() > kMaxPathLength) {
    return fail(ErrorCode::InvalidArgument, "the path has {} bytes, more than {}", path.size(),
                kMaxPathLength);
  }
  if (path.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::InvalidArgument, "the path holds a NUL byte");
  }
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (name.empty() || name == "." || name == ".." || name.size() > kMaxNameLength) {
      return fail(ErrorCode::InvalidArgument,
                  "\"{}\" is not a path of plain names below its root directory", path);
    }
    begin = end + 1;
  }
  return {};
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace common::io
