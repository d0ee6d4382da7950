#pragma once

// A volume with random contents beside its model, and the way through a dump and back.

#include "fileserver/dump/dumper.hpp"
#include "fileserver/dump/loader.hpp"
#include "tests/support/store_driver.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace test_support {

namespace dump = fileserver::dump;

struct Source {
  explicit Source(std::uint64_t seed, bool sealed = false) {
    options.segment_bytes = 1 << 20;
    options.reserve_ahead = 500;
    options.readers = 2;
    options.retention = {std::chrono::seconds(0), 40};
    if (sealed) {
      key = common::crypto::Secret(32);
      for (std::byte& byte : key.writable())
        byte = static_cast<std::byte>(seed + 1);
      options.key = &key;
    }
    std::filesystem::create_directory(directory / "original");
    auto made = store::Volume::create(directory / "original", common::VolumeId{7}, options, clock);
    REQUIRE_OK(made);
    volume = *std::move(made);
    const auto root = volume->attributes(store::kRootNode);
    REQUIRE_OK(root);
    model = std::make_unique<StoreModel>(root->version, root->mtime);
    DriverOptions how;
    how.seed = seed;
    how.largest = 400'000;
    how.clock = &clock;
    driver = std::make_unique<StoreDriver>(*volume, *model, how);
  }

  void steps(int count) {
    for (int i = 0; i < count; ++i)
      REQUIRE_OK(driver->step());
  }
  // Trims and collects until there is nothing to do.
  void upkeep() {
    for (bool more = true; more;) {
      const auto done = volume->maintain();
      REQUIRE_OK(done);
      more = *done;
    }
    REQUIRE_OK(driver->absorb());
  }
  std::string path(std::string_view name) const { return directory / name; }
  dump::DumpOptions how(dump::What what = dump::What::History) {
    dump::DumpOptions how;
    how.what = what;
    how.key = options.key;
    return how;
  }
  dump::LoadOptions into() {
    dump::LoadOptions into;
    into.volume = options;
    into.volume.retention.keep_commits = 1'000'000;
    into.key = options.key;
    return into;
  }

  TempDir directory;
  ScriptedClock clock;
  common::crypto::Secret key;
  store::VolumeOptions options;
  std::unique_ptr<store::Volume> volume;
  std::unique_ptr<StoreModel> model;
  std::unique_ptr<StoreDriver> driver;
};

inline common::Result<Bytes> dump_all(store::Volume& volume, dump::DumpOptions options,
                                      const common::Clock& clock,
                                      const std::function<void()>& between = {}) {
  TROTH_TRY(const auto dumper, dump::Dumper::begin(volume, std::move(options), clock));
  Bytes all;
  for (;;) {
    TROTH_TRY(const ByteView record, dumper->next());
    if (record.empty())
      return all;
    all.insert(all.end(), record.begin(), record.end());
    if (between)
      between();
  }
}

// In pieces, as a pipe gives them.
inline common::Result<dump::LoadReport> feed_all(dump::Loader& loader, ByteView bytes,
                                                 std::size_t piece = 10'007) {
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    TROTH_TRY_VOID(loader.feed(bytes.subspan(at, std::min(piece, bytes.size() - at))));
  return loader.finish();
}

inline common::Result<dump::LoadReport> load_new(const std::string& directory, ByteView bytes,
                                                 dump::LoadOptions options,
                                                 const common::Clock& clock) {
  TROTH_TRY(const auto loader, dump::Loader::into_new(directory, std::move(options), clock));
  return feed_all(*loader, bytes);
}

}  // namespace test_support
