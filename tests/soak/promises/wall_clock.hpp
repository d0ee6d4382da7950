#pragma once

// Wall clocks that are wrong: this program's own clock_gettime(), gettimeofday() and time(), which
// all libraries in it call, add what a file says. Nothing else of time is touched: durations are
// measured on other clocks, and must not notice.

#include <cstdint>
#include <string>

namespace promises_real {

// From now on the wall clock of this process is wrong by what stands in the file (8 bytes, ns),
// also when that changes.
void follow_wall_clock(const std::string& path);
// Makes such a file, or changes it.
void set_wall_clock(const std::string& path, std::int64_t offset_ns);

}  // namespace promises_real
