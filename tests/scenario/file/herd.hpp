#pragma once

// Thousands of mounts in one process. Each has a session, a stream and promises of its own; a few
// threads make the calls of all. They speak the whole protocol of opening, proving, renewing,
// breaking, resuming and revalidating, and cache nothing.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/rpc/client.hpp"
#include "common/stream/client.hpp"
#include "common/sync/mutex.hpp"
#include "tests/support/file_mount.hpp"

namespace herd {

namespace fileproto = common::fileproto;
namespace rpc = common::rpc;
namespace stream = common::stream;

struct HerdOptions {
  std::vector<test_support::FileServerAddress> openers;  // used in turn
  std::size_t mounts = 0;
  std::vector<common::Fid> nodes;  // on which each mount holds promises
};

struct HerdCounts {
  std::size_t promised = 0;       // mounts that hold promises on all nodes in their present session
  std::size_t resumes_begun = 0;  // mounts that have asked for their session after a restart
  std::size_t resumed = 0;        // and have it
  std::size_t held_back = 0;      // would ask for theirs
  std::size_t refused = 0;        // calls, for want of room
  std::size_t refused_without_time = 0;  // and not told when to come again
  std::size_t broken = 0;                // mounts that have been told that a node will change
  std::size_t updated = 0;               // and that it has
  std::size_t again = 0;                 // a second time
  std::vector<std::string> failures;     // the first few; sessions that were lost are among them
};

class Herd final : public stream::ClientHandler {
 public:
  // Begins to open them all.
  [[nodiscard]] static common::Result<std::unique_ptr<Herd>> start(HerdOptions options);
  ~Herd() override;

  // The last `count` mounts do not ask for their sessions again until let_go().
  void hold_back(std::size_t count) EXCLUDES(mutex_);
  void let_go() EXCLUDES(mutex_);
  [[nodiscard]] HerdCounts counts() EXCLUDES(mutex_);

 private:
  enum class Job : std::uint8_t { Open, Resume, Hold };
  struct Mount {
    Mount();
    std::size_t opener = 0;
    fileproto::MountId id{};
    common::SessionId session;
    fileproto::SessionKey key{};
    std::uint16_t stream_port = 0;
    std::optional<stream::StreamId> stream;
    std::array<std::byte, 32> binding{};
    std::vector<common::Seq> versions;  // of the nodes
    bool promised = false;
    bool resuming = false;  // has asked for its session since the server was started anew
    bool resumed = false;   // and got it
    std::size_t breaks = 0;
    std::size_t updates = 0;
    stream::Redial redial;
    std::unique_ptr<rpc::Client> client;  // of whoever does its job
  };
  struct Due {
    std::size_t mount = 0;
    Job job = Job::Open;
  };

  explicit Herd(HerdOptions options) : options_(std::move(options)) {}

  // --- what is done in turn ---
  void drive() EXCLUDES(mutex_);
  [[nodiscard]] common::Status carry_out(Due due) EXCLUDES(mutex_);
  [[nodiscard]] common::Status open(std::size_t index) EXCLUDES(mutex_);
  [[nodiscard]] common::Status resume(std::size_t index) EXCLUDES(mutex_);
  [[nodiscard]] common::Status hold(std::size_t index) EXCLUDES(mutex_);
  [[nodiscard]] common::Status begun(std::size_t index, const rpc::Answer& answer) EXCLUDES(mutex_);
  // In the mount's session, whatever has become of its connection.
  [[nodiscard]] common::Result<rpc::Answer> ask(std::size_t index, std::string_view operation,
                                                const std::string& args) EXCLUDES(mutex_);
  [[nodiscard]] common::Result<rpc::Answer> call(Mount& mount, std::string_view operation,
                                                 const std::string& args) EXCLUDES(mutex_);
  [[nodiscard]] common::Result<std::string> name_of(const Mount& mount) const;
  void connect(Mount& mount) const;
  void after(Due due, common::Duration pause) REQUIRES(mutex_);
  void failed(Due due, const common::Error& error) REQUIRES(mutex_);
  void complain(std::size_t index, std::string_view what) REQUIRES(mutex_);

  // --- streams; their thread ---
  stream::Bytes credential(stream::StreamId stream,
                           const std::array<std::byte, 32>& binding) override EXCLUDES(mutex_);
  void on_message(stream::StreamId stream, stream::BytesView message) override EXCLUDES(mutex_);
  void on_close(stream::StreamId stream, const stream::CloseInfo& why) override EXCLUDES(mutex_);

  const HerdOptions options_;
  common::SystemClock clock_;
  std::unique_ptr<stream::StreamClient> streams_;
  rpc::Cancellation ending_;

  common::Mutex mutex_;
  common::CondVar changed_;
  std::vector<Mount> mounts_;  // never grows; `client` is of the thread that does the mount's job
  std::unordered_map<std::uint64_t, std::size_t> by_stream_ GUARDED_BY(mutex_);
  std::multimap<common::Instant, Due> due_ GUARDED_BY(mutex_);
  std::size_t held_back_ GUARDED_BY(mutex_) = 0;
  std::vector<Due> waiting_ GUARDED_BY(mutex_);  // held back
  HerdCounts counts_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace herd
