#pragma once

// For tests only (in a library of its own): lets SQLite's n-th allocation from now on fail.

#include <cstdint>

namespace common::db {

// Puts a counting allocator under SQLite; once per process, before anything opens a database.
// Whether it could.
[[nodiscard]] bool install_allocation_faults();

// The allocation number `nth` (from 1) from now on fails, and `times - 1` after it; in any thread.
void fail_allocations(std::uint64_t nth, std::uint64_t times = 1);

// No more failures; returns how many there were since fail_allocations().
std::uint64_t stop_failing_allocations();

}  // namespace common::db
