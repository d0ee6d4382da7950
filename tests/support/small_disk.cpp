#include "tests/support/small_disk.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>

namespace test_support {

namespace fs = std::filesystem;
using common::ErrorCode;
using common::fail;

common::Result<SmallDisk> SmallDisk::over(const fs::path& directory, std::uint64_t bytes) {
  std::error_code error;
  const fs::path kept = directory.parent_path() / (directory.filename().string() + ".kept");
  fs::copy(directory, kept, fs::copy_options::recursive, error);
  if (error)
    return common::fail_errno(error.value(), "copy {}", directory.string());
  const std::string options = fmt::format("mode=700,size={}", bytes);
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("troth-small", directory.c_str(), "tmpfs", 0, options.c_str()) != 0)
    return fail(ErrorCode::Unsupported, "no file system of our own can be mounted here: errno {}",
                errno);
  SmallDisk disk(directory);
  fs::copy(kept, directory, fs::copy_options::recursive, error);
  if (error)
    return common::fail_errno(error.value(), "copy {} back", directory.string());
  fs::remove_all(kept, error);
  return disk;
}

SmallDisk::~SmallDisk() {
  if (!directory_.empty())
    static_cast<void>(::umount2(directory_.c_str(), MNT_DETACH));
}

}  // namespace test_support
