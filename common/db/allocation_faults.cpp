#include "common/db/allocation_faults.hpp"

#include <sqlite3.h>

#include <atomic>

namespace common::db {
namespace {

// SQLite's allocator is the process's, and has no place for an argument of ours.
sqlite3_mem_methods real_methods;
std::atomic<std::int64_t> until_failure{0};  // counts down; failing while in (-times, 0]
std::atomic<std::int64_t> failing{0};        // times, or 0 while switched off
std::atomic<std::uint64_t> failed{0};

bool strikes() {
  const std::int64_t times = failing.load();
  if (times == 0)
    return false;
  const std::int64_t left = until_failure.fetch_sub(1) - 1;
  if (left > 0 || left <= -times)
    return false;
  failed.fetch_add(1);
  return true;
}

void* allocate(int size) {
  return strikes() ? nullptr : real_methods.xMalloc(size);
}
void* reallocate(void* block, int size) {
  return strikes() ? nullptr : real_methods.xRealloc(block, size);
}

}  // namespace

bool install_allocation_faults() {
  if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_methods) != SQLITE_OK)
    return false;
  if (real_methods.xMalloc == nullptr)
    return false;
  sqlite3_mem_methods ours = real_methods;
  ours.xMalloc = allocate;
  ours.xRealloc = reallocate;
  return sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) == SQLITE_OK;
}

void fail_allocations(std::uint64_t nth, std::uint64_t times) {
  failed.store(0);
  until_failure.store(static_cast<std::int64_t>(nth));
  failing.store(static_cast<std::int64_t>(times));
}

std::uint64_t stop_failing_allocations() {
  failing.store(0);
  return failed.load();
}

}  // namespace common::db
