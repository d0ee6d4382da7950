#pragma once

// What parent and clients of a run have in common: where the server is, and which files there are.

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.hpp"
#include "common/result.hpp"
#include "tests/support/file_mount.hpp"

namespace promises_real {

using common::Fid;

struct Field {
  struct Volume {
    std::uint32_t volume = 0;
    bool stable = false;                           // a close waits for the disk
    std::vector<std::uint64_t> attributes;         // nodes whose times are registers
    std::vector<std::uint64_t> files;              // whose contents are
    std::vector<std::uint64_t> directories;        // of names that come and go
    std::vector<std::vector<std::uint64_t>> logs;  // by generation: appended to
  };
  std::string address;
  std::string cell;
  std::string ca;           // PEM
  std::string credentials;  // path: one of the processes logs in, the others need not
  std::int64_t began = 0;   // ns of CLOCK_BOOTTIME
  std::int64_t generation_ns = 20'000'000'000;
  bool contents = false;  // the server serves bytes of files
  std::vector<Volume> volumes;

  [[nodiscard]] std::string to_text() const;
  [[nodiscard]] static common::Result<Field> from_text(const std::string& text);
  // Everybody is the cell's administrator: who may what is not this run's question.
  [[nodiscard]] common::Result<test_support::FileServerAddress> server() const;
};

// A node's number in histories.
[[nodiscard]] inline std::uint64_t object_of(Fid fid) {
  constexpr unsigned kNodeBits = 40;
  return (std::uint64_t{fid.volume.value} << kNodeBits) | fid.node.value;
}

}  // namespace promises_real
