#include "common/sim/disk.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/test.hpp"

using namespace common;
using namespace common::sim;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes(text.size());
  std::transform(text.begin(), text.end(), bytes.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

std::string content(SimDisk& disk, std::string_view path) {
  const auto file = disk.open(path, {});
  REQUIRE_OK(file);
  std::vector<std::byte> bytes(disk.size(*file).value());
  REQUIRE_OK(disk.read(*file, 0, bytes));
  disk.close(*file);
  std::string text(bytes.size(), ' ');
  std::transform(bytes.begin(), bytes.end(), text.begin(),
                 [](std::byte b) { return static_cast<char>(b); });
  return text;
}

SimDisk::File make(SimDisk& disk, std::string_view path, std::string_view text) {
  const auto file = disk.open(path, {.create = true});
  REQUIRE_OK(file);
  REQUIRE_OK(disk.write(*file, 0, bytes_of(text)));
  return *file;
}

// A file with its name and bytes stable.
SimDisk::File make_stable(SimDisk& disk, std::string_view path, std::string_view text) {
  const SimDisk::File file = make(disk, path, text);
  REQUIRE_OK(disk.sync(file));
  REQUIRE_OK(disk.sync_directory(""));
  return file;
}

constexpr std::uint64_t kTries = 300;

class Mortal final : public DiskHost {
 public:
  bool before(DiskOp, std::uint64_t) override { return left_ == 0 || --left_ > 0; }
  void die_at(int operation) { left_ = operation; }

 private:
  int left_ = 0;
};

}  // namespace

TEST_CASE("what was synced survives every power cut") {
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    const auto file = make_stable(disk, "a", "stable bytes");
    REQUIRE_OK(disk.write(file, 7, bytes_of("BYTES and more")));
    disk.power_cut();
    CHECK(content(disk, "a").substr(0, 7) == "stable ");
    CHECK(content(disk, "a").size() >= 12);
  }
}

TEST_CASE("what was not synced may be lost, kept or kept in part") {
  bool lost = false;
  bool kept = false;
  bool second_only = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    const auto file = make_stable(disk, "a", std::string(2000, 'o'));
    REQUIRE_OK(disk.write(file, 0, bytes_of("1")));
    REQUIRE_OK(disk.write(file, 1999, bytes_of("2")));
    disk.power_cut();
    const std::string left = content(disk, "a");
    lost |= left.front() == 'o' && left.back() == 'o';
    kept |= left.front() == '1' && left.back() == '2';
    second_only |= left.front() == 'o' && left.back() == '2';
  }
  CHECK(lost);
  CHECK(kept);
  CHECK(second_only);
}

TEST_CASE("a write may be torn at sectors and leave any length, zeros or junk") {
  bool middle_missing = false;
  bool odd_length = false;
  bool zeros = false;
  bool junk = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    make_stable(disk, "old", std::string(4096, 'o'));
    const auto old = disk.open("old", {});
    REQUIRE_OK(disk.write(*old, 0, bytes_of(std::string(4096, 'n'))));
    const auto log = make_stable(disk, "log", "");
    REQUIRE_OK(disk.write(log, 0, bytes_of(std::string(1500, 'x'))));
    disk.power_cut();
    const std::string left = content(disk, "old");
    CHECK(left.size() == 4096);
    for (std::size_t at = 0; at < left.size(); at += SimDisk::kSector) {
      CHECK(left.substr(at, SimDisk::kSector) == std::string(SimDisk::kSector, left[at]));
    }
    middle_missing |= left.find("no") != std::string::npos && left.find("on") != std::string::npos;
    const std::string tail = content(disk, "log");
    odd_length |= tail.size() % SimDisk::kSector != 0 && tail.size() != 1500;
    zeros |= tail.find('\0') != std::string::npos;
    junk |= std::any_of(tail.begin(), tail.end(), [](char c) { return c != 'x' && c != '\0'; });
    CHECK(tail.size() <= 1500);
  }
  CHECK(middle_missing);
  CHECK(odd_length);
  CHECK(zeros);
  CHECK(junk);
}

TEST_CASE("a name survives surely only once its directory is synced") {
  bool lost = false;
  bool kept = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    REQUIRE_OK(disk.make_directory("dir"));
    REQUIRE_OK(disk.sync_directory(""));
    REQUIRE_OK(disk.sync(make(disk, "dir/a", "x")));
    disk.power_cut();
    lost |= !disk.exists("dir/a");
    kept |= disk.exists("dir/a");
  }
  CHECK(lost);
  CHECK(kept);
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    REQUIRE_OK(disk.make_directory("dir"));
    make(disk, "dir/a", "x");
    REQUIRE_OK(disk.sync_directory("dir"));
    const bool whole = seed % 2 == 0;
    if (whole)
      REQUIRE_OK(disk.sync_directory(""));
    disk.power_cut();
    // A synced name in a directory whose own name is lost is lost with it.
    CHECK(disk.exists("dir/a") == disk.exists("dir"));
    if (whole)
      CHECK(disk.exists("dir/a"));
  }
}

TEST_CASE("a rename is atomic, and without a sync before it the new file may be empty") {
  bool old_left = false;
  bool torn = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    for (bool synced : {true, false}) {
      SimDisk disk(seed);
      make_stable(disk, "a", "old");
      const auto fresh = make(disk, "a.new", "fresh");
      if (synced)
        REQUIRE_OK(disk.sync(fresh));
      REQUIRE_OK(disk.rename("a.new", "a"));
      CHECK(content(disk, "a") == "fresh");
      disk.power_cut();
      const std::string left = content(disk, "a");
      if (synced)
        CHECK((left == "old" || left == "fresh"));
      old_left |= left == "old";
      torn |= left != "old" && left != "fresh";
    }
  }
  CHECK(old_left);
  CHECK(torn);
}

TEST_CASE("the death of a process loses nothing but its handles") {
  SimDisk disk(1);
  const auto file = make(disk, "a", "unsynced");
  disk.kill();
  CHECK(content(disk, "a") == "unsynced");
  CHECK_FAILS(disk.sync(file + 1), ErrorCode::InvalidArgument);
}

TEST_CASE("after a failed sync the next one succeeds and the data may still be lost") {
  bool lost = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    const auto file = make_stable(disk, "a", "old");
    REQUIRE_OK(disk.write(file, 0, bytes_of("new")));
    disk.fail_next_sync();
    CHECK_FAILS(disk.sync(file), ErrorCode::IoError);
    CHECK_OK(disk.sync(file));
    CHECK(content(disk, "a") == "new");
    disk.power_cut();
    lost |= content(disk, "a") == "old";
  }
  CHECK(lost);
}

TEST_CASE("a sync that overlaps covers only what was written before it began") {
  bool later_lost = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    const auto file = make_stable(disk, "a", "...");
    REQUIRE_OK(disk.write(file, 0, bytes_of("1")));
    const auto ticket = disk.begin_sync(file);
    REQUIRE_OK(disk.write(file, 1, bytes_of("2")));
    REQUIRE_OK(disk.finish_sync(file, *ticket));
    disk.power_cut();
    CHECK(content(disk, "a").front() == '1');
    later_lost |= content(disk, "a")[1] == '.';
  }
  CHECK(later_lost);
}

TEST_CASE("a lost write is acknowledged, synced, and gone") {
  bool gone = false;
  for (std::uint64_t seed = 0; seed < kTries; ++seed) {
    SimDisk disk(seed);
    const auto file = make_stable(disk, "a", "old");
    disk.lose_next_write();
    REQUIRE_OK(disk.write(file, 0, bytes_of("new")));
    REQUIRE_OK(disk.sync(file));
    disk.power_cut();
    gone |= content(disk, "a") == "old";
  }
  CHECK(gone);
}

TEST_CASE("a full disk refuses growth only, and errors last as long as their fault") {
  SimDisk disk(1);
  const auto file = make_stable(disk, "a", "0123456789");
  disk.set_full(true);
  CHECK_OK(disk.write(file, 0, bytes_of("abc")));
  CHECK_FAILS(disk.write(file, 8, bytes_of("89ab")), ErrorCode::NoSpace);
  CHECK_FAILS(disk.open("b", {.create = true}), ErrorCode::NoSpace);
  CHECK_OK(disk.truncate(file, 5));
  disk.set_full(false);
  CHECK_OK(disk.write(file, 8, bytes_of("89ab")));
  disk.set_write_errors(true);
  CHECK_FAILS(disk.write(file, 0, bytes_of("x")), ErrorCode::IoError);
  disk.set_write_errors(false);
  disk.set_read_errors(true);
  std::vector<std::byte> into(3);
  CHECK_FAILS(disk.read(file, 0, into), ErrorCode::IoError);
  disk.set_read_errors(false);
  CHECK_OK(disk.read(file, 0, into));
}

TEST_CASE("capacity counts what files hold") {
  SimDisk disk(1, nullptr, 10);
  const auto file = make(disk, "a", "12345678");
  CHECK_FAILS(disk.write(file, 8, bytes_of("9ab")), ErrorCode::NoSpace);
  CHECK_OK(disk.write(file, 8, bytes_of("9a")));
  CHECK_OK(disk.remove("a"));
  CHECK(disk.used() == 0);
}

TEST_CASE("a restored backup is what was stable when it was taken") {
  SimDisk disk(1);
  const auto file = make_stable(disk, "a", "old");
  REQUIRE_OK(disk.write(file, 0, bytes_of("unsynced")));
  const auto image = disk.stable_image();
  REQUIRE_OK(disk.sync(file));
  make_stable(disk, "b", "later");
  disk.restore(image);
  CHECK(content(disk, "a") == "old");
  CHECK_FALSE(disk.exists("b"));
}

TEST_CASE("corruption flips exactly one bit") {
  for (std::uint64_t choice = 0; choice < 50; ++choice) {
    SimDisk disk(1);
    make_stable(disk, "a", std::string(100, 'x'));
    REQUIRE(disk.corrupt(choice));
    const std::string left = content(disk, "a");
    CHECK(std::count(left.begin(), left.end(), 'x') == 99);
  }
}

TEST_CASE("nothing takes effect after the machine has died") {
  Mortal host;
  SimDisk disk(1, &host);
  const auto file = make_stable(disk, "a", "old");
  host.die_at(1);
  CHECK_FAILS(disk.write(file, 0, bytes_of("new!")), ErrorCode::Cancelled);
  disk.kill();
  const std::string left = content(disk, "a");
  CHECK((left == "old" || left == "nld" || left == "ned" || left == "new" || left == "new!"));
}
