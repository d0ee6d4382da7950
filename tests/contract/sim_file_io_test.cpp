#include <string>
#include <vector>

#include "common/io/atomic_file.hpp"
#include "common/sim/file_io.hpp"
#include "tests/contract/file_io_contract.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::sim;

TEST_CASE("the simulated disk keeps the contract of files") {
  std::vector<std::unique_ptr<SimDisk>> disks;
  test_support::check_file_io_contract([&] {
    disks.push_back(std::make_unique<SimDisk>(1));
    return std::make_unique<SimFileIo>(*disks.back());
  });
}

TEST_CASE("a file written atomically is old or new after any power cut, and new once it was said") {
  const std::string old_text(3000, 'o');
  const std::string new_text(5000, 'n');
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SimDisk disk(seed);
    SimFileIo io(disk);
    REQUIRE_OK(io::write_file_atomically(io, "f", std::as_bytes(std::span(old_text))));
    const bool failing = seed % 2 == 0;
    if (failing)
      disk.fail_next_sync();
    CHECK(io::write_file_atomically(io, "f", std::as_bytes(std::span(new_text))).has_value() !=
          failing);
    disk.power_cut();
    SimFileIo again(disk);
    const auto left = io::read_whole_file(again, "f", 10'000);
    REQUIRE_OK(left);
    CHECK((left->size() == new_text.size() || (failing && left->size() == old_text.size())));
    for (std::byte b : *left)
      REQUIRE(b == (*left)[0]);
  }
}

TEST_CASE("a file that was open in a former life is dead") {
  SimDisk disk(1);
  SimFileIo io(disk);
  auto file = io.open("f", io::OpenMode::CreateNew);
  REQUIRE_OK(file);
  disk.kill();
  CHECK_FAILS((*file)->sync(), ErrorCode::Cancelled);
  auto other = SimFileIo(disk).open("f", io::OpenMode::Read);
  file->reset();
  CHECK_OK((*other)->size());
}
