#pragma once

// A file server in this process that keeps its files in memory and speaks the file protocol as far
// as tools need it: no sessions, no promises, no access rights. For tests of clients, which can
// make it fail, forget and count.

#include <deque>
#include <map>
#include <set>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "common/sync/mutex.hpp"
#include "tests/support/rpc_fixture.hpp"

namespace test_support {

namespace fileproto = common::fileproto;

struct FakeNode {
  fileproto::Attributes attributes;
  common::Bytes bytes;                            // of a file
  std::map<std::string, common::NodeId> entries;  // of a directory
  std::string target;                             // of a link
};
struct FakeStaging {
  common::Bytes bytes;
  std::map<std::uint64_t, std::uint64_t> there;  // begin to end, not touching

  void mark(std::uint64_t begin, std::uint64_t end);
  [[nodiscard]] bool has(std::uint64_t begin, std::uint64_t end) const;
};
struct FakeVolume {
  std::string name;
  std::uint32_t flags = 0;
  std::map<common::NodeId, FakeNode> nodes;
  std::map<common::NodeId, FakeStaging> stagings;
  std::uint64_t next_node = 2;
  std::uint64_t seq = 1;
  bool refuses_conflicts = false;
};

// Not safe from several threads, apart from its own handlers.
class FakeFileServer {
 public:
  FakeFileServer();
  ~FakeFileServer() { stop(); }
  // With a root volume "root" and a volume "data" in it at /data, numbers 1 and 2.
  void start() { cell_.start(); }
  void stop() { cell_.stop(); }

  [[nodiscard]] RpcCell& cell() { return cell_; }

  // The next call of that operation, or the one after `skip` others, is answered with this;
  // executed before if `after`.
  void fail_next(const std::string& operation, common::Error error, bool after = false,
                 std::size_t skip = 0);
  // How often an operation was called.
  [[nodiscard]] std::size_t calls(const std::string& operation);
  // How often changes were executed, replays not counted.
  [[nodiscard]] std::size_t commits();

  // Direct access, for arranging and checking.
  template <typename F>
  auto with(F use) {
    const common::MutexLock lock(mutex_);
    return use(volumes_);
  }
  // The bytes of a file by path in a volume; fails the test if there is none.
  [[nodiscard]] std::string text_of(common::VolumeId volume, const std::string& path);
  [[nodiscard]] FakeNode node_at(common::VolumeId volume, const std::string& path);

 private:
  struct Failure {
    common::Error error;
    bool after = false;
    std::size_t skip = 0;
  };
  using Reply = common::Result<common::rpc::Reply>;

  template <typename Args>
  void add(const std::string& name, Reply (FakeFileServer::*run)(const Args&, common::ByteView),
           std::uint64_t body_cap = 1 << 20);
  void add_reads();
  void add_changes();
  template <typename C>
  void add_change(const std::string& name);
  Reply answer(common::rpc::Call& call, const std::string& name, const std::function<Reply()>& run);

  common::Result<FakeNode*> node(common::Fid fid);
  fileproto::VolumeState state(common::VolumeId volume);
  Reply change(const common::rpc::CallHead& head, const fileproto::ChangeScope& scope,
               const std::vector<fileproto::Change>& changes, common::ByteView bytes);
  struct Applying;
  common::Status check(const std::vector<fileproto::Condition>& conditions);
  common::Status apply(Applying& to, const fileproto::Change& change);
  common::Result<common::NodeId> make(Applying& to, const fileproto::NewNode& made,
                                      fileproto::NodeKind kind);
  common::Status store(Applying& to, const fileproto::Store& store);
  common::Status rename(Applying& to, const fileproto::Rename& rename);

  Reply volumes(const fileproto::VolumesArgs&, common::ByteView);
  Reply lookup(const fileproto::LookupArgs&, common::ByteView);
  Reply walk(const fileproto::WalkArgs&, common::ByteView);
  Reply getattr(const fileproto::GetattrArgs&, common::ByteView);
  Reply list(const fileproto::ListArgs&, common::ByteView);
  Reply readlink(const fileproto::ReadlinkArgs&, common::ByteView);
  Reply fetch(const fileproto::FetchArgs&, common::ByteView);
  Reply bulk(const fileproto::BulkArgs&, common::ByteView);
  Reply stage_open(const fileproto::StageOpenArgs&, common::ByteView);
  Reply stage_write(const fileproto::StageWriteArgs&, common::ByteView);
  Reply stage_state(const fileproto::StageStateArgs&, common::ByteView);
  Reply stage_drop(const fileproto::StageDropArgs&, common::ByteView);
  Reply stage_reply(common::Fid staging);

  RpcCell cell_;
  common::Mutex mutex_;
  std::map<common::VolumeId, FakeVolume> volumes_;
  std::map<common::OperationId, std::string> records_;
  std::map<std::string, std::deque<Failure>> failures_;
  std::map<std::string, std::size_t> calls_;
  std::size_t commits_ = 0;
};

}  // namespace test_support
