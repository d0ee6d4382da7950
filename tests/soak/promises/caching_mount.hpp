#pragma once

// A mount without a kernel: a session, its stream, and what was promised is answered from memory.
// The books are the product's own (common/fileclient/promise_book.hpp).

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/fileclient/calls.hpp"
#include "common/fileclient/promise_book.hpp"
#include "common/fileproto/codec.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/stream/client.hpp"
#include "common/sync/mutex.hpp"
#include "tests/support/file_mount.hpp"

namespace promises_real {

namespace fileproto = common::fileproto;
namespace rpc = common::rpc;
namespace stream = common::stream;
using common::Fid;
using common::Instant;
using common::Result;
using common::Status;

// Wrong on purpose, to see that it is found.
struct MountPlants {
  bool keep_cache = false;  // goes on answering from memory when the lease is over
  bool new_ids = false;     // repeats under another id
  // Acknowledges a break, and answers from memory a little longer.
  bool acknowledge_first = false;
  // Resumes its session when the server has been started anew, and trusts what the former life
  // promised.
  bool keep_over_restart = false;
  bool split_stores = false;  // stores a file as two changes
  bool drop_appends = false;  // says of some appends that they are done, and has not sent them
  common::sim::BugSet<common::fileclient::BookBug> book;
};

struct MountOptions {
  test_support::FileServerAddress server;
  fileproto::MountId id{};
  std::uint64_t first_number = 1;
  MountPlants plants;
};

// How a change ended.
struct Changed {
  enum class How : std::uint8_t { Done, Refused, Unknown } how = How::Unknown;
  fileproto::ChangeResult result;  // Done
  common::Error error;             // else
  bool repeated = false;           // after an attempt whose outcome nobody knew
};

class CachingMount;

// One thread's connection to the server: proven, and in the mount's session while there is one.
class Connection {
 public:
  explicit Connection(CachingMount& mount);
  [[nodiscard]] rpc::CallResult call(const rpc::Request& request);

 private:
  CachingMount& mount_;
  std::uint64_t session_ = 0;  // that the connection has joined
  rpc::Client client_;
};

class CachingMount final : public stream::ClientHandler {
 public:
  // Opens a session as soon as it can; calls wait for it.
  [[nodiscard]] static Result<std::unique_ptr<CachingMount>> start(MountOptions options);
  ~CachingMount() override;

  // --- what is promised; nullopt: the server has to be asked ---
  struct Bytes {
    fileproto::Attributes node;
    std::string bytes;
  };
  struct Names {
    fileproto::Attributes directory;
    std::map<std::string, std::uint64_t> entries;
  };
  [[nodiscard]] std::optional<fileproto::Attributes> cached_attributes(Fid fid) EXCLUDES(mutex_);
  [[nodiscard]] std::optional<Bytes> cached_bytes(Fid fid) EXCLUDES(mutex_);
  [[nodiscard]] std::optional<Names> cached_names(Fid directory) EXCLUDES(mutex_);
  // 0: nothing has the name.
  [[nodiscard]] std::optional<std::uint64_t> cached_name(Fid directory, const std::string& name)
      EXCLUDES(mutex_);

  // --- calls; each blocks until `deadline` at most ---
  [[nodiscard]] Result<fileproto::Attributes> attributes(Connection& connection, Fid fid,
                                                         Instant deadline);
  // A file's present content, of at most 1 MiB; with a handle: opened, read, released.
  [[nodiscard]] Result<Bytes> bytes(Connection& connection, Fid fid, std::uint64_t handle,
                                    Instant deadline);
  [[nodiscard]] Result<std::uint64_t> name(Connection& connection, Fid directory,
                                           const std::string& name, Instant deadline);
  [[nodiscard]] Result<Names> names(Connection& connection, Fid directory, Instant deadline);

  template <typename C>
  [[nodiscard]] Changed change(Connection& connection, const C& change, std::vector<Fid> named,
                               Instant deadline, common::ByteView bytes = {}) {
    const auto args_for = [&](const fileproto::ChangeScope& scope) {
      return fileproto::encode(fileproto::ChangeArgs<C>{scope, change});
    };
    return send_change(connection, common::fileclient::CallNameOf<C>::kName, args_for, named,
                       deadline, bytes);
  }

  // From now on nothing takes longer than `until`; then end_calls() ends what is under way.
  void end_by(Instant until) { end_by_ = until; }
  void end_calls() { cancellation_.cancel(); }

  // Sessions that were begun or resumed.
  [[nodiscard]] std::uint64_t sessions() EXCLUDES(mutex_);

 private:
  friend class Connection;
  struct Cached {
    fileproto::Attributes node;
    bool trusted = false;  // as the book says, but for a planted bug
    Instant kept_until{};  // of a planted bug
    std::optional<std::string> bytes;
    common::Seq bytes_of;  // their data version
    std::map<std::string, std::uint64_t> names;
    common::Seq names_of;  // their data version
    bool all_names = false;
  };
  struct Session {
    common::SessionId id;
    fileproto::SessionKey key{};
    std::chrono::milliseconds lease{0};
    std::uint16_t stream_port = 0;
    std::uint64_t epoch = 0;
  };
  using MakeArgs = std::function<std::string(const fileproto::ChangeScope&)>;

  explicit CachingMount(MountOptions options);

  // --- session; the keeper's thread ---
  void keeper_main() EXCLUDES(mutex_);
  [[nodiscard]] Status begin_session() EXCLUDES(mutex_);
  [[nodiscard]] Result<rpc::Answer> open_or_resume(rpc::Client& client,
                                                   const std::optional<Session>& old);
  void lost(std::uint64_t session) EXCLUDES(mutex_);
  void lost_locked() REQUIRES(mutex_);
  [[nodiscard]] std::optional<Session> wait_session(Instant deadline) EXCLUDES(mutex_);
  [[nodiscard]] rpc::ClientOptions client_options() const;
  [[nodiscard]] Result<fileproto::Proof> proof(common::ByteView key, common::ByteView binding,
                                               std::string_view label) const;

  // --- stream; its thread ---
  stream::Bytes credential(stream::StreamId, const std::array<std::byte, 32>& binding) override
      EXCLUDES(mutex_);
  void on_open(stream::StreamId stream, std::uint64_t epoch, Instant lease_until) override
      EXCLUDES(mutex_);
  void on_message(stream::StreamId stream, stream::BytesView message) override EXCLUDES(mutex_);
  void on_renewed(stream::StreamId stream, Instant lease_until) override EXCLUDES(mutex_);
  void on_close(stream::StreamId stream, const stream::CloseInfo& why) override EXCLUDES(mutex_);
  void hear(const fileproto::ServerMessage& message) REQUIRES(mutex_);
  void lease_until(Instant until) REQUIRES(mutex_);

  // --- books ---
  void step() REQUIRES(mutex_);
  void act(common::fileclient::BookEffects& effects) REQUIRES(mutex_);
  [[nodiscard]] Cached* trusted(Fid fid) REQUIRES(mutex_);
  using CallInFlight = common::fileclient::CallInFlight;
  // Null: something newer was known.
  Cached* learn(const CallInFlight& call, const fileproto::VolumeState& state,
                common::VolumeId volume, const fileproto::Attributes& node) REQUIRES(mutex_);
  void learn_update(const fileproto::Update& update) REQUIRES(mutex_);
  void learn_change(const CallInFlight& call, common::VolumeId volume,
                    const fileproto::ChangeResult& result) REQUIRES(mutex_);

  [[nodiscard]] Result<rpc::Answer> ask(Connection& connection, std::string_view operation,
                                        const std::string& args, Instant deadline,
                                        CallInFlight& call);
  [[nodiscard]] Changed send_change(Connection& connection, std::string_view operation,
                                    const MakeArgs& args, const std::vector<Fid>& named,
                                    Instant deadline, common::ByteView bytes);
  // A failed attempt: what it says of the session, and a pause before the next.
  void after_failure(const common::Error& error, std::uint64_t session, Instant deadline);

  [[nodiscard]] Instant at_most(Instant deadline) const {
    return std::min(deadline, end_by_.load());
  }

  const MountOptions options_;
  common::SystemClock clock_;
  std::atomic<Instant> end_by_{Instant::max()};
  rpc::Cancellation cancellation_;
  std::unique_ptr<stream::StreamClient> streams_;

  common::Mutex mutex_;
  common::CondVar changed_;
  common::fileclient::PromiseBook book_ GUARDED_BY(mutex_);
  std::map<Fid, Cached> nodes_ GUARDED_BY(mutex_);
  std::optional<Session> session_ GUARDED_BY(mutex_);  // the present one, or the last
  bool live_ GUARDED_BY(mutex_) = false;
  bool may_open_ GUARDED_BY(mutex_) = true;
  std::uint64_t sessions_ GUARDED_BY(mutex_) = 0;
  std::uint64_t next_number_ GUARDED_BY(mutex_) = 1;
  stream::StreamId stream_ GUARDED_BY(mutex_);
  std::array<std::byte, 32> binding_ GUARDED_BY(mutex_){};
  Instant welcome_until_ GUARDED_BY(mutex_){};
  bool proved_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::thread keeper_;
};

}  // namespace promises_real
