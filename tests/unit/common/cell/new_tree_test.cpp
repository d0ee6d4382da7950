#include "common/cell/new_tree.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "common/io/atomic_file.hpp"
#include "common/io/faulty_file_io.hpp"
#include "common/io/memory_file_io.hpp"
#include "common/io/posix_file_io.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::cell;
using io::Operation;

namespace {

NewTree sample() {
  NewTree tree;
  tree.directories.push_back({.path = "a"});
  tree.directories.push_back({.path = "a/b", .audience = Audience::Everybody});
  const auto file = [&](const char* path, std::string_view text) {
    tree.files.push_back({.path = path, .content = crypto::Secret::copy_of(as_bytes(text))});
  };
  file("top", "one");
  file("a/middle", "");
  file("a/b/deep", "three");
  return tree;
}

const MakePublic kNoModes = [](const std::string&) { return Status{}; };

bool holds(io::FileIo& io, const std::string& path, std::string_view text) {
  const auto bytes = io::read_whole_file(io, path, 100);
  return bytes && as_text(*bytes) == text;
}

bool is_complete(io::FileIo& io) {
  return holds(io, "tree/top", "one") && holds(io, "tree/a/middle", "") &&
         holds(io, "tree/a/b/deep", "three");
}

bool is_there(io::FileIo& io, const std::string& name) {
  const auto entries = io.list("").value();
  return std::any_of(entries.begin(), entries.end(),
                     [&](const io::Entry& entry) { return entry.name == name; });
}

constexpr Operation kChanging[] = {Operation::MakeDirectory, Operation::Open,
                                   Operation::Write,         Operation::Sync,
                                   Operation::SyncDirectory, Operation::Rename};

// How often an undisturbed run calls each.
std::uint64_t calls_of(Operation operation) {
  io::MemoryFileIo memory;
  io::FaultyFileIo counting(memory);
  REQUIRE_OK(write_new_tree(counting, "tree", sample(), kNoModes));
  return counting.calls(operation);
}

}  // namespace

TEST_CASE("a tree is written whole and leaves no temporary") {
  io::MemoryFileIo memory;
  REQUIRE_OK(write_new_tree(memory, "tree", sample(), kNoModes));
  CHECK(is_complete(memory));
  CHECK(memory.list("").value().size() == 1);
  CHECK(unfinished_trees(memory, "tree").empty());
  memory.crash();
  CHECK(is_complete(memory));  // it was durable when the call returned
}

TEST_CASE("what exists is never replaced") {
  io::MemoryFileIo memory;
  REQUIRE_OK(memory.make_directory("tree"));
  CHECK_FAILS(write_new_tree(memory, "tree", sample(), kNoModes), ErrorCode::AlreadyExists);
  CHECK(memory.list("tree").value().empty());
  CHECK(memory.list("").value().size() == 1);
}

TEST_CASE("somebody who makes the directory meanwhile wins") {
  io::MemoryFileIo memory;
  io::FaultyFileIo faulty(memory);
  faulty.add({.operation = Operation::Rename,
              .before = [&] { REQUIRE_OK(memory.make_directory("tree")); }});
  CHECK_FAILS(write_new_tree(faulty, "tree", sample(), kNoModes), ErrorCode::AlreadyExists);
  CHECK(memory.list("tree").value().empty());
  CHECK(memory.list("").value().size() == 1);
}

TEST_CASE("any failing call leaves nothing behind") {
  for (const Operation operation : kChanging) {
    const std::uint64_t calls = calls_of(operation);
    CHECK(calls > 0);
    for (std::uint64_t n = 1; n <= calls; ++n) {
      io::MemoryFileIo memory;
      io::FaultyFileIo faulty(memory);
      faulty.add({.operation = operation, .first = n, .error_number = ENOSPC});
      CHECK_FAILS(write_new_tree(faulty, "tree", sample(), kNoModes), ErrorCode::NoSpace);
      // After the last sync failed the tree is there: only its durability is in doubt.
      if (operation == Operation::SyncDirectory && n == calls) {
        CHECK(is_complete(memory));
      } else {
        CHECK(memory.list("").value().empty());
      }
    }
  }
}

TEST_CASE("a disk that fills up leaves nothing behind") {
  for (std::uint64_t space = 0; space < 8; ++space) {
    io::MemoryFileIo memory;
    io::FaultyFileIo faulty(memory);
    faulty.set_space(space);
    CHECK_FAILS(write_new_tree(faulty, "tree", sample(), kNoModes), ErrorCode::NoSpace);
    CHECK(memory.list("").value().empty());
  }
}

TEST_CASE("a failure to clean up says what to remove") {
  io::MemoryFileIo memory;
  io::FaultyFileIo faulty(memory);
  faulty.add({.operation = Operation::Rename, .error_number = EIO});
  faulty.add({.operation = Operation::RemoveDirectory, .times = 100, .error_number = EIO});
  const auto status = write_new_tree(faulty, "tree", sample(), kNoModes);
  REQUIRE_FALSE(status);
  CHECK(status.error().message.find("remove the unfinished .tree.new-") != std::string::npos);
  CHECK(unfinished_trees(memory, "tree").size() == 1);
}

TEST_CASE("a power failure at any call leaves the whole tree or none of it") {
  for (const Operation operation : kChanging) {
    const std::uint64_t calls = calls_of(operation);
    for (std::uint64_t n = 1; n <= calls; ++n) {
      io::MemoryFileIo memory;
      io::FaultyFileIo faulty(memory);
      faulty.add({.operation = operation, .first = n, .before = [&] { memory.crash(); }});
      static_cast<void>(write_new_tree(faulty, "tree", sample(), kNoModes));
      CHECK((is_complete(memory) || !is_there(memory, "tree")));
    }
  }
}

TEST_CASE("a process killed at any call leaves the whole tree, or a temporary that is reported") {
  for (const Operation operation : kChanging) {
    const std::uint64_t calls = calls_of(operation);
    for (std::uint64_t n = 1; n <= calls; ++n) {
      const test_support::TempDir dir;
      const pid_t child = ::fork();
      if (child == 0) {
        const auto posix = io::PosixFileIo::open_root(dir.path().string()).value();
        io::FaultyFileIo faulty(*posix);
        faulty.add({.operation = operation, .first = n, .before = [] { ::_exit(9); }});
        static_cast<void>(write_new_tree(faulty, "tree", sample(), kNoModes));
        ::_exit(0);
      }
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      REQUIRE(WEXITSTATUS(status) == 9);
      const auto posix = io::PosixFileIo::open_root(dir.path().string()).value();
      const bool first_call = operation == Operation::MakeDirectory && n == 1;
      if (is_there(*posix, "tree")) {
        CHECK(is_complete(*posix));
      } else {
        CHECK(unfinished_trees(*posix, "tree").size() == (first_call ? 0 : 1));
        // The leftover is in nobody's way.
        REQUIRE_OK(write_new_tree(*posix, "tree", sample(), kNoModes));
        CHECK(is_complete(*posix));
      }
    }
  }
}
