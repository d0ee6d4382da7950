#include "common/io/faulty_file_io.hpp"

#include <cerrno>
#include <string>

#include "common/bytes.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/memory_file_io.hpp"
#include "file_content.hpp"
#include "tests/support/test.hpp"

using namespace common::io;
using common::as_bytes;
using common::ErrorCode;
using io_test::content_of;

namespace {

constexpr std::array kMutating{Operation::Open, Operation::Write, Operation::Sync,
                               Operation::Rename, Operation::SyncDirectory};

}  // namespace

TEST_CASE("a fault strikes the calls it names and no others") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  io.add({.operation = Operation::Sync, .path_contains = "b", .first = 2, .error_number = EIO});
  const auto a = io.open("a", OpenMode::CreateNew);
  const auto b = io.open("b", OpenMode::CreateNew);
  CHECK_OK((*a)->sync());
  CHECK_OK((*b)->sync());
  CHECK_OK((*a)->sync());
  CHECK_FAILS((*b)->sync(), ErrorCode::IoError);
  CHECK_OK((*b)->sync());
  CHECK(io.calls(Operation::Sync) == 5);
}

TEST_CASE("a short write leaves its first bytes and fails") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  io.add({.operation = Operation::Append, .error_number = EIO, .bytes_before_error = 3});
  const auto file = io.open("f", OpenMode::CreateNew);
  CHECK_FAILS((*file)->append(as_bytes("abcdef")), ErrorCode::IoError);
  CHECK(content_of(memory, "f") == "abc");
}

TEST_CASE("a disk fills up at the byte that was asked for and works again when freed") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  io.set_space(5);
  const auto file = io.open("f", OpenMode::CreateNew);
  CHECK_OK((*file)->append(as_bytes("abc")));
  CHECK_FAILS((*file)->append(as_bytes("def")), ErrorCode::NoSpace);
  CHECK(content_of(memory, "f") == "abcde");
  CHECK_FAILS((*file)->append(as_bytes("g")), ErrorCode::NoSpace);
  io.clear();
  CHECK_OK((*file)->append(as_bytes("g")));
}

TEST_CASE("a hook runs before the call it was set for") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  bool ran = false;
  io.add({.operation = Operation::Rename, .before = [&] {
            ran = true;
            CHECK(content_of(memory, "f") == "<not_found>");
          }});
  CHECK_OK(write_file_atomically(io, "f", as_bytes("x")));
  CHECK(ran);
}

TEST_CASE("an atomically written file is old or new whatever fails, before and after a crash") {
  for (const Operation operation : kMutating) {
    for (const int error_number : {EIO, ENOSPC}) {
      CAPTURE(static_cast<int>(operation));
      MemoryFileIo memory;
      FaultyFileIo io(memory);
      REQUIRE_OK(write_file_atomically(io, "f", as_bytes("old")));
      io.add({.operation = operation, .error_number = error_number, .bytes_before_error = 1});
      CHECK_FALSE(write_file_atomically(io, "f", as_bytes("new")).has_value());
      // Only the directory's sync comes after the new file took the old one's name.
      const std::string expected = operation == Operation::SyncDirectory ? "new" : "old";
      CHECK(content_of(memory, "f") == expected);
      memory.crash();
      CHECK(content_of(memory, "f") == "old");
      CHECK_OK(write_file_atomically(io, "f", as_bytes("new")));
      memory.crash();
      CHECK(content_of(memory, "f") == "new");
    }
  }
}
