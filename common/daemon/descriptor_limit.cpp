#include "common/daemon/descriptor_limit.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

namespace common::daemon {

std::optional<std::string> raise_descriptor_limit(std::uint64_t needed) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return std::nullopt;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
      ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= needed)
    return std::nullopt;
  return fmt::format(
      "at most {} files may be open but the configured connections need {}; raise LimitNOFILE or "
      "lower [limits] connections",
      limit.rlim_cur, needed);
}

}  // namespace common::daemon
