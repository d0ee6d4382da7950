#pragma once

// A file server without its network: volumes, promises, the pipeline, and sessions that are only
// known to the keeper of promises.

#include <map>
#include <vector>

#include "fileserver/changes/pipeline.hpp"
#include "fileserver/operations/file_call.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/sessions/sessions.hpp"
#include "tests/support/test_cell.hpp"
#include "tests/unit/fileserver/changes/fake_call.hpp"
#include "tests/unit/fileserver/volumes/volume_set_fixture.hpp"

namespace test_support {

namespace fsv = fileserver;

class ChangeFixture : public VolumeSetFixture {
 public:
  ChangeFixture() {
    options.adjust = [this](fsv::store::VolumeOptions& how) { how.probe = &disk; };
    options.retry = std::chrono::seconds(1);
    start();
    serve();
    identity.validity.end = common::ticket::kLatestTime;
    fsv::VolumeSet::Creation wanted;
    wanted.name = "data";
    wanted.mode = 0777;
    auto made = set->create(wanted);
    REQUIRE_OK(made);
    volume = (*made)->id;
    identity.client = {"alice", common::ticket::Kind::User, common::ticket::PrincipalId{10'001}};
  }
  ~ChangeFixture() {
    end();
    set.reset();  // before its disk
  }
  void serve() {
    auto context = common::tls::ReloadableContext::make([this] {
      const auto files = certificates.issue("server");
      return common::tls::make_server(
          {files.certificate, files.key, certificates.ca(), common::tls::ClientCertificates::None});
    });
    REQUIRE_OK(context);
    fsv::SessionsOptions how;
    how.streams.tls = *std::move(context);
    auto started = fsv::Sessions::start(how, *set, clock);
    REQUIRE_OK(started);
    sessions = *std::move(started);
    pipeline = std::make_unique<fsv::ChangePipeline>(sessions->keeper(), clock);
    parts = std::make_unique<fsv::FileParts>(
        fsv::FileParts{clock, "cell", *set, *sessions, sessions->keeper(), *pipeline, paths});
  }
  void end() {
    volume_ref = {};
    parts.reset();
    pipeline.reset();
    sessions.reset();
  }
  // Killed, and started anew. Sessions of before are awaited.
  void restart() {
    end();
    set.reset();
    start();
    serve();
    set->set_liveness(nullptr);
  }
  // A session of before the restart that has come back.
  fsv::FileSessionPtr back(const fsv::FileSessionPtr& before) {
    auto again = std::make_shared<fsv::FileSession>();
    again->id = before->id;
    again->mount = before->mount;
    again->is_former = true;
    REQUIRE_OK(keeper().open_session(again->id));
    REQUIRE_OK(keeper().stream_up(again->id));
    return again;
  }

  // A session with a stream, as the keeper sees it.
  fsv::FileSessionPtr session(std::uint64_t id) {
    auto made = std::make_shared<fsv::FileSession>();
    made->id = common::SessionId{id};
    made->mount.bytes[15] = static_cast<std::byte>(id);
    REQUIRE_OK(keeper().open_session(made->id));
    REQUIRE_OK(keeper().stream_up(made->id));
    return made;
  }
  fsv::PromiseKeeper& keeper() { return sessions->keeper(); }
  bool promise(const fsv::FileSessionPtr& to, common::NodeId node) {
    const common::Fid fid{volume, node};
    const auto token = keeper().begin_read();
    return keeper().grant(to->id, std::span(&fid, 1), token).nodes[0];
  }

  nlohmann::json fid(common::NodeId node) const { return {volume.value, node.value}; }
  FakeCall call(const nlohmann::json& args, std::uint64_t number = 0,
                std::chrono::milliseconds within = std::chrono::seconds(20)) {
    const common::OperationId id{0, number != 0 ? number : ++number_};
    return {peer, args, id, clock.now() + within};
  }
  // One run of an operation's handler.
  common::Result<common::rpc::Reply> run(FakeCall& call, std::string_view operation,
                                         const fsv::FileSessionPtr& in = nullptr) {
    fsv::FileCall file(*parts, call, identity, in);
    for (const auto family :
         {fsv::namespace_operations(), fsv::lookup_operations(), fsv::open_operations(),
          fsv::volume_operations(), fsv::content_operations()}) {
      for (const auto& known : family) {
        if (known.name == operation)
          return known.run(file);
      }
    }
    return common::fail(common::ErrorCode::Unsupported, "no {}", operation);
  }
  // The same with a call of its own, which must not park.
  common::Result<nlohmann::json> done(std::string_view operation, nlohmann::json args,
                                      const fsv::FileSessionPtr& in = nullptr) {
    if (in)
      args["s"] = in->id.value;
    FakeCall one = call(args);
    auto reply = run(one, operation, in);
    if (!reply)
      return tl::unexpected(reply.error());
    CHECK_FALSE(reply->parked);
    return nlohmann::json::parse(reply->result);
  }
  // A read, or what names no session.
  common::Result<nlohmann::json> asked(std::string_view operation, const nlohmann::json& args,
                                       const fsv::FileSessionPtr& in = nullptr) {
    FakeCall one = call(args);
    auto reply = run(one, operation, in);
    if (!reply)
      return tl::unexpected(reply.error());
    CHECK_FALSE(reply->parked);
    raw = common::Bytes(reply->bytes.begin(), reply->bytes.end());
    return nlohmann::json::parse(reply->result);
  }
  common::NodeId made(std::string_view operation, nlohmann::json args) {
    const auto answer = done(operation, std::move(args));
    REQUIRE_OK(answer);
    return common::NodeId{(*answer)["done"][0]["node"].get<std::uint64_t>()};
  }
  common::NodeId file(const std::string& name, common::NodeId in = fsv::store::kRootNode) {
    return made("create", {{"dir", fid(in)}, {"name", name}, {"mode", 0644}});
  }
  fsv::store::Volume& store() {
    if (!volume_ref)
      volume_ref = use(volume);
    return *volume_ref;
  }

  FailingDisk disk;
  TestCell certificates;
  FakePeer peer;
  common::ticket::Identity identity;
  std::unique_ptr<fsv::Sessions> sessions;
  std::unique_ptr<fsv::ChangePipeline> pipeline;
  fsv::access::PathCache paths;
  std::unique_ptr<fsv::FileParts> parts;
  common::VolumeId volume;
  fsv::VolumeRef volume_ref;
  common::Bytes raw;  // that came with the last answer

 private:
  std::uint64_t number_ = 1'000'000;
};

}  // namespace test_support
