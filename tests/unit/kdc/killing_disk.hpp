#pragma once

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "tests/unit/kdc/kdc_fixture.hpp"

namespace kdc_test {

// Kills its own process in place of the n-th thing that is done to the disk.
class KillingDisk final : public common::db::DiskProbe {
 public:
  explicit KillingDisk(int at) : left_(at) {}
  int on_write(common::db::DiskFile, std::uint64_t, std::span<const std::byte>) override {
    return count();
  }
  int on_sync(common::db::DiskFile) override { return count(); }
  int on_truncate(common::db::DiskFile, std::uint64_t) override { return count(); }

 private:
  int count() {
    if (--left_ == 0)
      ::kill(::getpid(), SIGKILL);
    return 0;
  }
  std::atomic<int> left_;
};

}  // namespace kdc_test
