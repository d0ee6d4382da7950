#pragma once

// A fake file server and a client of it.

#include "common/fileclient/transfer/upload.hpp"
#include "common/fileclient/walker.hpp"
#include "tests/support/fake_file_server.hpp"
#include "tests/support/temp_dir.hpp"

namespace fileclient_test {

using namespace common::fileclient;
using common::Bytes;
using common::ErrorCode;
using common::Fid;
using common::NodeId;
using common::Seq;
using common::VolumeId;
using test_support::FakeFileServer;

inline constexpr VolumeId kRootVolume{1};
inline constexpr VolumeId kDataVolume{2};

struct Files {
  FakeFileServer server;
  common::SystemClock clock;
  std::unique_ptr<FileClient> client;

  Files() {
    server.start();
    FileClientOptions options;
    options.cell.name = "home";
    options.cell.servers = {{.name = "fs1",
                             .role = "fileserver",
                             .address = "127.0.0.1:" + std::to_string(server.cell().port()),
                             .health = {}}};
    options.tls = server.cell().client_context();
    options.clock = &clock;
    auto opened = FileClient::open(std::move(options));
    REQUIRE_OK(opened);
    client = *std::move(opened);
  }

  [[nodiscard]] static RemotePath path(std::string_view text) {
    auto parsed = parse_remote_path(text);
    REQUIRE_OK(parsed);
    return *parsed;
  }
  Found find(std::string_view text, Follow follow = Follow::Last) {
    auto found = Walker(*client).find(path(text), follow);
    REQUIRE_OK(found);
    return *found;
  }
  Fid mkdir(std::string_view parent, const std::string& name) {
    const Found dir = find(parent);
    fileproto_mkdir.made = {dir.fid, name, 0755, {}};
    auto made = client->change(fileproto_mkdir);
    REQUIRE_OK(made);
    return {dir.fid.volume, *made->outcomes.at(0).created};
  }
  void symlink(std::string_view parent, const std::string& name, const std::string& target) {
    common::fileproto::Symlink change;
    change.made = {find(parent).fid, name, 0777, {}};
    change.target = target;
    REQUIRE_OK(client->change(change));
  }
  Fid create(std::string_view parent, const std::string& name, std::string_view text) {
    common::fileproto::Create change;
    const Found dir = find(parent);
    change.made = {dir.fid, name, 0644, {}};
    change.bytes = text.size();
    auto made = client->change(change, {}, common::as_bytes(text));
    REQUIRE_OK(made);
    return {dir.fid.volume, *made->outcomes.at(0).created};
  }

 private:
  common::fileproto::Mkdir fileproto_mkdir;
};

}  // namespace fileclient_test
