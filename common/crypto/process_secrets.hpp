#pragma once

#include "common/result.hpp"

namespace common::crypto {

// Keeps this process's memory out of core files and away from other processes of the same user:
// RLIMIT_CORE 0 and PR_SET_DUMPABLE 0. Called once by the main of a program that holds long-lived
// keys, before it reads them. Afterwards only root can attach a debugger.
Status keep_memory_private();

}  // namespace common::crypto
