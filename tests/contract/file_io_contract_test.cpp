#include "tests/contract/file_io_contract.hpp"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/io/faulty_file_io.hpp"
#include "common/io/memory_file_io.hpp"
#include "common/io/posix_file_io.hpp"
#include "tests/support/test.hpp"

using namespace common::io;

TEST_CASE("the machine's files keep the contract of files") {
  std::string root = std::filesystem::temp_directory_path() / "troth-file-io-XXXXXX";
  REQUIRE(::mkdtemp(root.data()) != nullptr);
  int made = 0;
  test_support::check_file_io_contract([&]() -> std::unique_ptr<FileIo> {
    const std::string directory = root + "/" + std::to_string(made++);
    std::filesystem::create_directory(directory);
    auto io = PosixFileIo::open_root(directory);
    REQUIRE_OK(io);
    return *std::move(io);
  });
  std::filesystem::remove_all(root);
}

TEST_CASE("files in memory keep the contract of files") {
  test_support::check_file_io_contract([] { return std::make_unique<MemoryFileIo>(); });
}

TEST_CASE("a faulty wrapper without faults keeps the contract of files") {
  std::vector<std::unique_ptr<MemoryFileIo>> wrapped;
  test_support::check_file_io_contract([&] {
    wrapped.push_back(std::make_unique<MemoryFileIo>());
    return std::make_unique<FaultyFileIo>(*wrapped.back());
  });
}
