#include "common/crypto/process_secrets.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>

namespace common::crypto {

Status keep_memory_private() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0)
    return fail_errno(errno, "turn core files off");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return fail_errno(errno, "make the process undumpable");
  }
  return {};
}

}  // namespace common::crypto
