#pragma once

// What the tests of contents share: making, storing, fetching and staging files over the protocol.

#include <string>
#include <string_view>

#include "common/rpc/client.hpp"
#include "tests/support/file_cell.hpp"

namespace content {

using nlohmann::json;
using test_support::FileMount;

// Sessions last even where the machine stands still for long.
[[nodiscard]] inline test_support::FileCellOptions patient() {
  test_support::FileCellOptions options;
  options.lease = std::chrono::seconds(60);
  return options;
}

// Refused before its bytes were read: the connection is closed then, and the answer may be lost.
[[nodiscard]] bool is_refused(const common::Error& error, common::ErrorCode code);

// An empty file; its Fid.
[[nodiscard]] json make_file(FileMount& mount, const json& directory, const std::string& name);

// A store of everything there is.
[[nodiscard]] common::Result<json> put(FileMount& mount, const json& fid, const std::string& text,
                                       const json& more = json::object());

// Of one of the nodes that a change touched.
[[nodiscard]] json node_in(const json& answer, const json& fid);

struct Fetched {
  json result;
  std::string bytes;  // [0, size) of the file, holes as zeros
};
[[nodiscard]] common::Result<Fetched> fetch(common::rpc::Client& client, const json& fid,
                                            std::uint64_t size, const json& more = json::object());

struct Piece {
  std::uint64_t offset = 0;
  std::string_view bytes;
  bool lies = false;  // its hash is another's
};
[[nodiscard]] common::Result<json> stage_write(common::rpc::Client& client, const json& staging,
                                               const Piece& piece);

[[nodiscard]] std::string noise(std::size_t length, std::uint64_t seed);

}  // namespace content
