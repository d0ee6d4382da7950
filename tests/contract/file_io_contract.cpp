#include "tests/contract/file_io_contract.hpp"

#include <string>

#include "common/io/atomic_file.hpp"
#include "tests/support/test.hpp"

namespace test_support {
namespace {

using common::ErrorCode;
using common::io::Entry;
using common::io::EntryKind;
using common::io::FileIo;
using common::io::OpenMode;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string read_text(common::io::File& file, std::uint64_t offset, std::size_t count) {
  std::string text(count, '?');
  const auto got = file.read_at(offset, std::as_writable_bytes(std::span(text.data(), count)));
  REQUIRE_OK(got);
  text.resize(*got);
  return text;
}

std::string content_of(FileIo& io, std::string_view path) {
  const auto file = io.open(path, OpenMode::Read);
  REQUIRE_OK(file);
  return read_text(**file, 0, 1000);
}

void put(FileIo& io, std::string_view path, std::string_view text) {
  const auto file = io.open(path, OpenMode::ReadWriteCreate);
  REQUIRE_OK(file);
  REQUIRE_OK((*file)->truncate(0));
  REQUIRE_OK((*file)->write_at(0, bytes_of(text)));
}

void check_open_modes(FileIo& io) {
  CHECK_FAILS(io.open("f", OpenMode::Read), ErrorCode::NotFound);
  CHECK_FAILS(io.open("f", OpenMode::ReadWrite), ErrorCode::NotFound);
  CHECK_OK(io.open("f", OpenMode::CreateNew));
  CHECK_FAILS(io.open("f", OpenMode::CreateNew), ErrorCode::AlreadyExists);
  put(io, "f", "kept");
  CHECK_OK(io.open("f", OpenMode::ReadWriteCreate));
  CHECK(content_of(io, "f") == "kept");
  const auto reader = io.open("f", OpenMode::Read);
  REQUIRE_OK(reader);
  CHECK_FALSE((*reader)->write_at(0, bytes_of("x")).has_value());
  CHECK_FALSE((*reader)->append(bytes_of("x")).has_value());
  CHECK_FALSE((*reader)->truncate(0).has_value());
  CHECK(content_of(io, "f") == "kept");
  CHECK_FAILS(io.open("missing/f", OpenMode::CreateNew), ErrorCode::NotFound);
  CHECK_FALSE(io.open("f/below", OpenMode::CreateNew).has_value());
}

void check_bytes(FileIo& io) {
  const auto opened = io.open("f", OpenMode::CreateNew);
  REQUIRE_OK(opened);
  common::io::File& file = **opened;
  CHECK(read_text(file, 0, 10).empty());
  CHECK(*file.append(bytes_of("abc")) == 0);
  CHECK(*file.append(bytes_of("defg")) == 3);
  CHECK(*file.size() == 7);
  CHECK(read_text(file, 2, 3) == "cde");
  CHECK(read_text(file, 5, 10) == "fg");
  CHECK(read_text(file, 7, 1).empty());
  CHECK(read_text(file, 1000, 1).empty());
  CHECK_OK(file.write_at(1, bytes_of("XY")));
  CHECK(read_text(file, 0, 10) == "aXYdefg");
  CHECK_OK(file.write_at(9, bytes_of("Z")));
  CHECK(read_text(file, 6, 10) == std::string("g\0\0Z", 4));
  CHECK_OK(file.truncate(2));
  CHECK(read_text(file, 0, 10) == "aX");
  CHECK_OK(file.truncate(4));
  CHECK(read_text(file, 0, 10) == std::string("aX\0\0", 4));
  CHECK_OK(file.write_at(3, {}));
  CHECK(*file.size() == 4);
  CHECK_OK(file.sync());
  std::array<std::byte, 4> four{};
  CHECK_OK(file.read_exactly(0, four));
  CHECK_FAILS(file.read_exactly(1, four), ErrorCode::Corrupt);
}

void check_hints(FileIo& io) {
  const auto opened = io.open("f", OpenMode::CreateNew);
  REQUIRE_OK(opened);
  common::io::File& file = **opened;
  REQUIRE_OK(file.append(bytes_of("abc")));
  CHECK_OK(file.allocate(1 << 20));
  CHECK_OK(file.allocate(1));
  file.start_writeback(0, 3);
  file.start_writeback(100, 1 << 20);
  file.drop_cached();  // not synced yet: nothing may go
  CHECK(read_text(file, 0, 10) == "abc");
  CHECK_OK(file.sync());
  file.drop_cached();
  CHECK(*file.size() == 3);
  CHECK(read_text(file, 0, 10) == "abc");
  CHECK(*file.append(bytes_of("d")) == 3);
  CHECK_OK(file.truncate(4));
  CHECK(read_text(file, 0, 10) == "abcd");
}

void check_two_handles(FileIo& io) {
  const auto a = io.open("f", OpenMode::CreateNew);
  const auto b = io.open("f", OpenMode::ReadWrite);
  REQUIRE_OK(a);
  REQUIRE_OK(b);
  REQUIRE_OK((*a)->write_at(0, bytes_of("one")));
  CHECK(read_text(**b, 0, 10) == "one");
  REQUIRE_OK(io.unlink("f"));
  CHECK_OK((*b)->append(bytes_of("+")));
  CHECK(read_text(**a, 0, 10) == "one+");
  put(io, "f", "other");
  CHECK(read_text(**a, 0, 10) == "one+");
}

void check_names(FileIo& io) {
  CHECK_OK(io.make_directory("d"));
  CHECK_FAILS(io.make_directory("d"), ErrorCode::AlreadyExists);
  CHECK_FAILS(io.make_directory("no/d"), ErrorCode::NotFound);
  CHECK_FALSE(io.open("d", OpenMode::Read).has_value());
  CHECK_FALSE(io.open("d", OpenMode::ReadWriteCreate).has_value());
  put(io, "d/b", "b");
  put(io, "d/a", "a");
  CHECK_OK(io.make_directory("d/c"));
  const auto listed = io.list("d");
  REQUIRE_OK(listed);
  CHECK(*listed == std::vector<Entry>{{"a", EntryKind::File},
                                      {"b", EntryKind::File},
                                      {"c", EntryKind::Directory}});
  CHECK(io.list("")->size() == 1);
  CHECK_FAILS(io.list("e"), ErrorCode::NotFound);
  CHECK_FALSE(io.list("d/a").has_value());
  CHECK_OK(io.sync_directory("d"));
  CHECK_OK(io.sync_directory(""));
  CHECK_FAILS(io.sync_directory("e"), ErrorCode::NotFound);
  CHECK_FAILS(io.remove_directory("d"), ErrorCode::AlreadyExists);
  CHECK_FALSE(io.unlink("d/c").has_value());
  CHECK_FALSE(io.remove_directory("d/a").has_value());
  CHECK_OK(io.remove_directory("d/c"));
  CHECK_OK(io.unlink("d/a"));
  CHECK_OK(io.unlink("d/b"));
  CHECK_FAILS(io.unlink("d/b"), ErrorCode::NotFound);
  CHECK_OK(io.remove_directory("d"));
  CHECK(io.list("")->empty());
}

void check_rename(FileIo& io) {
  put(io, "a", "new");
  put(io, "b", "old");
  const auto old_handle = io.open("b", OpenMode::Read);
  REQUIRE_OK(old_handle);
  CHECK_OK(io.rename("a", "b"));
  CHECK(content_of(io, "b") == "new");
  CHECK(read_text(**old_handle, 0, 10) == "old");
  CHECK_FAILS(io.open("a", OpenMode::Read), ErrorCode::NotFound);
  CHECK_FAILS(io.rename("a", "b"), ErrorCode::NotFound);
  REQUIRE_OK(io.make_directory("d"));
  CHECK_OK(io.rename_durably("b", "d/b"));
  CHECK(content_of(io, "d/b") == "new");
  CHECK_FAILS(io.rename("d/b", "no/b"), ErrorCode::NotFound);
  put(io, "f", "file");
  CHECK_FALSE(io.rename("f", "d").has_value());
  CHECK_FALSE(io.rename("d", "f").has_value());
  CHECK_FALSE(io.rename("d", "d/below").has_value());
  CHECK_OK(io.rename("d", "e"));
  CHECK(content_of(io, "e/b") == "new");
  CHECK_OK(io.rename("f", "f"));
  CHECK(content_of(io, "f") == "file");
}

void check_paths_are_refused(FileIo& io) {
  REQUIRE_OK(io.make_directory("d"));
  const std::string long_name(common::io::kMaxNameLength + 1, 'n');
  std::string long_path = "d";
  while (long_path.size() <= common::io::kMaxPathLength)
    long_path += "/d";
  for (const std::string& path :
       {std::string(), std::string("/etc/passwd"), std::string("."), std::string(".."),
        std::string("../f"), std::string("d/../f"), std::string("d/."), std::string("d//f"),
        std::string("d/"), std::string("f\0g", 3), long_name, long_path}) {
    CAPTURE(path);
    CHECK_FAILS(io.open(path, OpenMode::ReadWriteCreate), ErrorCode::InvalidArgument);
    CHECK_FAILS(io.unlink(path), ErrorCode::InvalidArgument);
    CHECK_FAILS(io.make_directory(path), ErrorCode::InvalidArgument);
    CHECK_FAILS(io.remove_directory(path), ErrorCode::InvalidArgument);
    CHECK_FAILS(io.rename(path, "x"), ErrorCode::InvalidArgument);
    CHECK_FAILS(io.rename("d", path), ErrorCode::InvalidArgument);
    if (path.empty())
      continue;
    CHECK_FAILS(io.list(path), ErrorCode::InvalidArgument);
    CHECK_FAILS(io.sync_directory(path), ErrorCode::InvalidArgument);
  }
  const std::string longest_name(common::io::kMaxNameLength, 'n');
  CHECK_OK(io.open(longest_name, OpenMode::CreateNew));
}

void check_atomic_file(FileIo& io) {
  CHECK_OK(common::io::write_file_atomically(io, "f", bytes_of("first")));
  put(io, "f.new", "left over by a crash");
  CHECK_OK(common::io::write_file_atomically(io, "f", bytes_of("second")));
  CHECK(content_of(io, "f") == "second");
  CHECK(io.list("")->size() == 1);
  CHECK_OK(common::io::read_whole_file(io, "f", 6));
  CHECK_FAILS(common::io::read_whole_file(io, "f", 5), ErrorCode::TooLarge);
  CHECK_FAILS(common::io::read_whole_file(io, "g", 5), ErrorCode::NotFound);
}

void check_handle_outlives_its_maker(std::unique_ptr<FileIo> io) {
  auto file = io->open("f", OpenMode::CreateNew);
  REQUIRE_OK(file);
  io.reset();
  CHECK_OK((*file)->append(bytes_of("late")));
  CHECK(read_text(**file, 0, 10) == "late");
}

}  // namespace

void check_file_io_contract(const MakeFileIo& make) {
  check_open_modes(*make());
  check_bytes(*make());
  check_hints(*make());
  check_two_handles(*make());
  check_names(*make());
  check_rename(*make());
  check_paths_are_refused(*make());
  check_atomic_file(*make());
  check_handle_outlives_its_maker(make());
}

}  // namespace test_support
