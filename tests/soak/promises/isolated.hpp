#pragma once

#include <functional>
#include <string>

namespace promises_real {

// Runs `inside` in a process, mount and network namespace of its own, with a directory in memory
// that nobody else sees. All that it starts and makes ends with it, and it ends with this process,
// however that ends. Returns its exit code; 77 with a reason on stdout where namespaces cannot be
// made. To be called while there is one thread.
int run_isolated(const std::function<int(const std::string& scratch)>& inside);

}  // namespace promises_real
