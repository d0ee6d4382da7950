#pragma once

// A mount without a kernel: a session with one file server, and what is promised is answered from
// memory. Session, stream, book and repetitions are the product's own
// (common/fileclient/session/); what is remembered, and what could be wrong with that, is here.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/fileclient/session/mount_session.hpp"
#include "common/fileclient/session/session_caller.hpp"
#include "tests/support/file_mount.hpp"

namespace promises_real {

namespace fileclient = common::fileclient;
namespace fileproto = common::fileproto;
namespace rpc = common::rpc;
using common::Fid;
using common::Instant;
using common::Result;

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
  common::sim::BugSet<fileclient::BookBug> book;
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
};

class CachingMount final : public fileclient::SessionListener {
 public:
  // Opens a session as soon as it can; changes wait for it.
  [[nodiscard]] static Result<std::unique_ptr<CachingMount>> start(MountOptions options);

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
  [[nodiscard]] Result<fileproto::Attributes> attributes(Fid fid, Instant deadline);
  // A file's present content, of at most 1 MiB; with a handle: opened, read, released.
  [[nodiscard]] Result<Bytes> bytes(Fid fid, std::uint64_t handle, Instant deadline);
  [[nodiscard]] Result<std::uint64_t> name(Fid directory, const std::string& name,
                                           Instant deadline);
  [[nodiscard]] Result<Names> names(Fid directory, Instant deadline);

  template <typename C>
  [[nodiscard]] Changed change(const C& change, std::vector<Fid> named, Instant deadline,
                               common::ByteView bytes = {}) {
    return send_change(
        std::move(named), deadline,
        [&](const fileclient::SessionChange& how, const fileclient::CallOptions& options) {
          return session_->change(*session_->opener(), change, how, options, bytes);
        });
  }

  // Ends what is under way.
  void end_calls() { cancellation_.cancel(); }

 private:
  struct Cached {
    fileproto::Attributes node;
    fileclient::NodeVersion version;
    bool trusted = false;  // as the book said: only planted bugs go by it
    Instant kept_until{};  // of a planted bug
    std::optional<std::string> bytes;
    common::Seq bytes_of;  // their data version
    std::map<std::string, std::uint64_t> names;
    common::Seq names_of;  // their data version
    bool all_names = false;
  };
  using Send = std::function<Result<fileclient::Changed>(const fileclient::SessionChange&,
                                                         const fileclient::CallOptions&)>;

  explicit CachingMount(MountOptions options);

  // --- what the session says; its threads ---
  void withdraw(fileclient::MountSession& session, fileclient::Withdrawal id,
                std::span<const fileclient::BrokenNode> nodes) override EXCLUDES(mutex_);
  void withdraw_all(fileclient::MountSession& session, fileclient::Withdrawal id) override
      EXCLUDES(mutex_);
  void updated(fileclient::MountSession& session, const fileproto::Update& update,
               std::span<const fileclient::Taken> taken) override EXCLUDES(mutex_);

  // --- what is remembered ---
  [[nodiscard]] Cached* trusted(Fid fid) REQUIRES(mutex_);
  Cached& keep(Fid fid, fileclient::NodeVersion version, const fileproto::Attributes& node,
               fileclient::Taken taken) REQUIRES(mutex_);
  // What the book has taken a while ago: something newer may have been kept since.
  void keep_late(Fid fid, fileclient::NodeVersion version, const fileproto::Attributes& node,
                 fileclient::Taken taken) REQUIRES(mutex_);
  // Null: something newer was known.
  Cached* learn(const fileclient::CallInFlight& call, const fileproto::VolumeState& state,
                common::VolumeId volume, const fileproto::Attributes& node) REQUIRES(mutex_);

  [[nodiscard]] fileclient::CallOptions until(Instant deadline) const;
  [[nodiscard]] Changed send_change(std::vector<Fid> named, Instant deadline, const Send& send)
      EXCLUDES(mutex_);

  const MountOptions options_;
  common::SystemClock clock_;
  rpc::Cancellation cancellation_;
  std::atomic<std::uint64_t> next_number_;

  common::Mutex mutex_;  // taken before the session's
  common::CondVar pause_;
  std::map<Fid, Cached> nodes_ GUARDED_BY(mutex_);
  std::unique_ptr<fileclient::MountSession> session_;  // ends first
};

}  // namespace promises_real
