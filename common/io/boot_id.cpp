#include "common/io/boot_id.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>

#include "common/io/unique_fd.hpp"

namespace common::io {

Result<BootId> current_boot() {
  constexpr const char* kFile = "/proc/sys/kernel/random/boot_id";
  const UniqueFd fd(::open(kFile, O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "open {}", kFile);
  std::string text(36, '\0');  // 8-4-4-4-12 hex digits
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got < 0)
    return fail_errno(errno, "read {}", kFile);
  text.resize(static_cast<std::size_t>(got));
  std::erase(text, '-');
  BootId boot{};
  if (text.size() != 2 * boot.size())
    return fail(ErrorCode::IoError, "{} holds something else", kFile);
  for (std::size_t i = 0; i < boot.size(); ++i) {
    std::uint8_t value = 0;
    const char* const end = text.data() + 2 * i + 2;
    const auto [stop, error] = std::from_chars(end - 2, end, value, 16);
    if (error != std::errc{} || stop != end)
      return fail(ErrorCode::IoError, "{} holds something else", kFile);
    boot[i] = std::byte{value};
  }
  return boot;
}

}  // namespace common::io
