#pragma once

// A server's volumes in a directory of their own.

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>

#include "fileserver/volumes/volume_set.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace test_support {

// A disk that can be made to fail.
class FailingDisk final : public common::db::DiskProbe {
 public:
  // The mark follows a commit at its own time: a write of one that was before must not fail.
  int on_write(common::db::DiskFile file, std::uint64_t, std::span<const std::byte>) override {
    return fails || (writes_fail && file != common::db::DiskFile::Mark) ? EIO : 0;
  }
  int on_sync(common::db::DiskFile) override { return fails ? EIO : 0; }
  int on_truncate(common::db::DiskFile, std::uint64_t) override { return fails ? EIO : 0; }

  std::atomic<bool> fails{false};
  std::atomic<bool> writes_fail{false};
};

class VolumeSetFixture {
 public:
  VolumeSetFixture() {
    options.directory = directory.path().string();
    options.scrub_bytes_per_second = 0;
  }

  void start() {
    auto opened = fileserver::VolumeSet::open(options, clock);
    REQUIRE_OK(opened);
    set = *std::move(opened);
  }
  // In order, as a server that is told to stop.
  void stop() {
    set->close(soon());
    CHECK_OK(set->registry().close(true));
    set.reset();
  }
  fileserver::VolumeEntryPtr make(std::string name, bool sealed = false) {
    fileserver::VolumeSet::Creation wanted;
    wanted.name = std::move(name);
    wanted.sealed = sealed;
    auto made = set->create(wanted);
    REQUIRE_OK(made);
    return *made;
  }
  fileserver::store::NodeId make_file(const fileserver::VolumeRef& volume, std::string name) {
    namespace fs = fileserver::store;
    fs::CommitRequest request;
    fs::Create create;
    create.parent = fs::kRootNode;
    create.name = std::move(name);
    request.operations.emplace_back(std::move(create));
    const auto done = volume->commit(request);
    REQUIRE_OK(done);
    return done->created[0];
  }
  fileserver::VolumeRef use(common::VolumeId id) {
    auto found = set->use(id, soon());
    REQUIRE_OK(found);
    return *found;
  }
  fileserver::VolumeReport report(std::string_view name) {
    for (auto& one : set->list()) {
      if (one.entry->name == name)
        return one;
    }
    return {};
  }
  common::Instant soon() const { return clock.now() + kPatience; }

  TempDir directory;
  common::SystemClock clock;
  fileserver::VolumeSetOptions options;
  std::unique_ptr<fileserver::VolumeSet> set;
};

}  // namespace test_support
