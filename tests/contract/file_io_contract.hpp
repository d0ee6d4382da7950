#pragma once

// What every FileIo must do, whatever it stands on. A new implementation is finished when a test
// case that calls this passes:
//   TEST_CASE("the simulated disk keeps the contract of files") {
//     test_support::check_file_io_contract([] { ... return a fresh, empty FileIo ... });
//   }

#include <functional>
#include <memory>

#include "common/io/file_io.hpp"

namespace test_support {

using MakeFileIo = std::function<std::unique_ptr<common::io::FileIo>()>;

// Runs every check on an empty FileIo of its own.
void check_file_io_contract(const MakeFileIo& make);

}  // namespace test_support
