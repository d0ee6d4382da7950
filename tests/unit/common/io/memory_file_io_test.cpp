#include "common/io/memory_file_io.hpp"

#include <string>

#include "common/bytes.hpp"
#include "common/io/atomic_file.hpp"
#include "file_content.hpp"
#include "tests/support/test.hpp"

using namespace common::io;
using common::as_bytes;
using common::ErrorCode;
using io_test::content_of;

TEST_CASE("a crash takes the bytes since the last sync") {
  MemoryFileIo io;
  const auto file = io.open("f", OpenMode::CreateNew);
  REQUIRE_OK((*file)->append(as_bytes("kept")));
  REQUIRE_OK((*file)->sync());
  REQUIRE_OK(io.sync_directory(""));
  REQUIRE_OK((*file)->write_at(0, as_bytes("LOST, and longer")));
  io.crash();
  CHECK(content_of(io, "f") == "kept");
  CHECK_FAILS((*file)->append(as_bytes("x")), ErrorCode::IoError);
  CHECK_FAILS((*file)->size(), ErrorCode::IoError);
}

TEST_CASE("a crash takes the names since the directory's last sync") {
  MemoryFileIo io;
  REQUIRE_OK(io.make_directory("d"));
  REQUIRE_OK(io.sync_directory(""));
  REQUIRE_OK(write_file_atomically(io, "d/old", as_bytes("old")));
  REQUIRE_OK((*io.open("d/never", OpenMode::CreateNew))->sync());
  REQUIRE_OK(io.rename("d/old", "d/renamed"));
  io.crash();
  CHECK(content_of(io, "d/old") == "old");
  CHECK(content_of(io, "d/never") == "<not_found>");
  CHECK(content_of(io, "d/renamed") == "<not_found>");
  REQUIRE_OK(io.unlink("d/old"));
  io.crash();
  CHECK(content_of(io, "d/old") == "old");
  REQUIRE_OK(io.make_directory("e"));
  io.crash();
  CHECK_FAILS(io.list("e"), ErrorCode::NotFound);
}

TEST_CASE("an atomically written file survives a crash right after") {
  MemoryFileIo io;
  REQUIRE_OK(write_file_atomically(io, "f", as_bytes("one")));
  io.crash();
  CHECK(content_of(io, "f") == "one");
  REQUIRE_OK(write_file_atomically(io, "f", as_bytes("two")));
  io.crash();
  CHECK(content_of(io, "f") == "two");
}
