#pragma once

// One file server as a mount knows it: a session that is kept open, its stream, what has been
// promised (promise_book.hpp), and calls that are repeated as PROTOCOL.md 6 says. Sessions that
// end, servers that start anew and networks that go away are dealt with here; the mount hears of
// it.
//
// What a mount builds on it, in short:
//   1. ask() for what it does not know; learn() for each node in the answer says whether that may
//   be
//      kept as valid. It is valid as long as promised() says so of that version: ask that then
//      and there, each time;
//   2. change() for changes, under a number that was stored before;
//   3. SessionListener::withdraw*() take away what the kernel holds, and answer by withdrawn();
//   4. SessionListener::begun() opens handles again and says when it has them all
//      (fileproto::ReopenArgs), revalidates, and replays.

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/auth/credential_source.hpp"
#include "common/fileclient/calls.hpp"
#include "common/fileclient/file_server.hpp"
#include "common/fileclient/promise_book.hpp"
#include "common/fileclient/session/session_key.hpp"
#include "common/fileproto/codec.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/stream/client.hpp"
#include "common/sync/mutex.hpp"

namespace common::fileclient {

class MountSession;
class SessionCaller;
using Taken = PromiseBook::Taken;

struct MountSessionOptions {
  std::string name;               // of the server in its cell: "fs1"
  rpc::ClientOptions connection;  // without `authenticate`
  // Where its stream is dialled, numeric; empty: at the address of the calls.
  std::string stream_address;
  std::string service;  // whom tickets are for: "fileserver/fs1"
  // Whose session it is, and who calls where no other caller is given.
  std::shared_ptr<auth::CredentialSource> opener;
  fileproto::MountId mount{};
  BookOptions book;
  // Between attempts to get a session, and to dial its stream. Ten thousand mounts lose a server in
  // the same moment.
  stream::RedialOptions redial{
      .spread = std::chrono::milliseconds(500),
      .longest = std::chrono::milliseconds(5'000),
      .shortest = std::chrono::milliseconds(50),
  };
  std::size_t connections = 16;      // for calls, of each caller
  std::size_t bulk_connections = 4;  // for file contents
  // Calls are made again, while nobody knows what came of them: so often for each call on the
  // average, and so often beyond that when all is well.
  double repeats_of_call = 0.1;
  double repeats_beyond = 100;
};

// A session has begun, or goes on at a server that has started anew.
struct SessionBegun {
  SessionId session;
  bool resumed = false;  // handles, pins, reservations and stagings are those of before
  std::vector<fileproto::VolumeProgress> volumes;  // of a resumed one: those that it has used
};

enum class SessionState : std::uint8_t {
  Opening,   // there is none yet, or none any more
  Open,      // calls are made in it; nothing is promised while its stream is not there
  Replaced,  // another mount has the same mount id and has taken over: for good
};

// What a mount hears. Called from the session's own threads, one call at a time and in order; must
// not wait for any call to any server, nor for a program that uses the mount. May call the session.
class SessionListener {
 public:
  SessionListener() = default;
  SessionListener(const SessionListener&) = delete;
  SessionListener& operator=(const SessionListener&) = delete;
  virtual ~SessionListener() = default;

  // The book answers no more from it. Put it out of reach of everybody who does not ask the book,
  // the kernel above all; then, from whatever thread, MountSession::withdrawn().
  virtual void withdraw(MountSession& session, Withdrawal id,
                        std::span<const BrokenNode> nodes) = 0;
  virtual void withdraw_all(MountSession& session, Withdrawal id) = 0;
  // Of what was broken, when it has changed; what the book made of each node.
  virtual void updated(MountSession& session, const fileproto::Update& update,
                       std::span<const Taken> taken);
  virtual void stable(MountSession& session, const fileproto::Stable& stable);
  virtual void give_back(MountSession& session, const fileproto::GiveBack& wanted);
  virtual void volume_ended(MountSession& session, VolumeId volume, fileproto::EndedWhy why);
  virtual void begun(MountSession& session, const SessionBegun& begun);
  // The session is over for good (SessionState::Replaced), and why.
  virtual void replaced(MountSession& session, const Error& why);
};

// An answer, and the call that it belongs to: for learn().
struct Heard {
  rpc::Answer answer;
  CallInFlight call;
};
template <typename R>
struct Asked {
  R result;
  CallInFlight call;
};
struct SessionChange {
  std::uint64_t number = 0;  // the mount's own, which grows
  std::vector<Fid> named;    // the nodes that the call names
  fileproto::Speaker as;
  std::optional<NodeId> via;
  std::vector<fileproto::Condition> conditions;
};
struct Changed {
  fileproto::ChangeResult result;
  std::vector<Taken> taken;  // what the book made of each of result.nodes
};

// Safe from any thread. Calls block until their deadline at most.
class MountSession final : public stream::ClientHandler {
 public:
  // Returns at once; a session is opened as soon as the server answers. The listener and the clock
  // outlive it.
  [[nodiscard]] static Result<std::unique_ptr<MountSession>> start(MountSessionOptions options,
                                                                   SessionListener& listener,
                                                                   const Clock& clock);
  // As by a kill: the server waits for the lease. No call may be in progress.
  ~MountSession() override;

  // Everything is withdrawn (withdraw_all() is called once more and must be answered) and the
  // session is closed, so that nobody has to wait for it. Nothing may be called after it.
  Status close(Instant deadline) EXCLUDES(mutex_);

  // Somebody else whose calls are made in this session, with his own tickets.
  [[nodiscard]] std::shared_ptr<SessionCaller> caller(
      std::shared_ptr<auth::CredentialSource> tickets);
  [[nodiscard]] const std::shared_ptr<SessionCaller>& opener() const { return opener_; }

  // --- promises ---
  [[nodiscard]] bool promised(Fid node) const EXCLUDES(mutex_);
  // Whether it is this state of it that is promised. The book may be ahead of what a cache holds:
  // what it has just taken from an answer or an update has not been kept yet, or was dropped.
  [[nodiscard]] bool promised(Fid node, NodeVersion held) const EXCLUDES(mutex_);
  [[nodiscard]] std::optional<NodeVersion> known(Fid node) const EXCLUDES(mutex_);
  // A node in an answer. Older: it is not to be used. `state` is the answer's.
  Taken learn(const CallInFlight& call, const fileproto::VolumeState& state, VolumeId volume,
              const fileproto::Attributes& node) EXCLUDES(mutex_);
  void withdrawn(Withdrawal id) EXCLUDES(mutex_);
  void withdrawn_flushing(Withdrawal id, std::chrono::milliseconds more) EXCLUDES(mutex_);
  void flushed(Withdrawal id) EXCLUDES(mutex_);
  // Asks about all that is known and not promised, 10,000 nodes a call; what is as it was is
  // promised then. `differs` hears of the rest: new attributes, or null for a node that is gone.
  using Differs = std::function<void(Fid, const fileproto::Attributes*)>;
  Status revalidate(SessionCaller& caller, const CallOptions& options, const Differs& differs)
      EXCLUDES(mutex_);

  // --- calls ---
  // What changes nothing, or does no harm twice. Needs no session: without one it is answered, and
  // grants nothing.
  template <typename Args>
  [[nodiscard]] Result<Asked<typename CallOf<Args>::Result>> ask(SessionCaller& caller,
                                                                 const Args& args,
                                                                 const CallOptions& options = {}) {
    TROTH_TRY(const Heard heard, send(caller,
                                      {.operation = CallOf<Args>::kName,
                                       .args = fileproto::encode(args),
                                       .bytes = {},
                                       .id = {}},
                                      options));
    TROTH_TRY(auto result, fileproto::decode<typename CallOf<Args>::Result>(heard.answer.result()));
    return Asked<typename CallOf<Args>::Result>{std::move(result), heard.call};
  }
  // The same for calls that mean nothing outside of a session: waits for one.
  template <typename Args>
  [[nodiscard]] Result<Asked<typename CallOf<Args>::Result>> ask_in_session(
      SessionCaller& caller, const Args& args, const CallOptions& options = {}) {
    TROTH_TRY_VOID(wait_open(options));
    return ask(caller, args, options);
  }
  // The raw form, for calls that move bytes.
  [[nodiscard]] Result<Heard> send(SessionCaller& caller, const Outgoing& outgoing,
                                   const CallOptions& options);

  template <typename C>
  [[nodiscard]] Result<Changed> change(SessionCaller& caller, const C& change,
                                       const SessionChange& how, const CallOptions& options = {},
                                       ByteView bytes = {}) {
    return send_change(
        caller, CallNameOf<C>::kName, volume_of(change),
        [&](const fileproto::ChangeScope& scope) {
          return fileproto::encode(fileproto::ChangeArgs<C>{scope, change});
        },
        how, options, bytes);
  }
  // All or nothing.
  [[nodiscard]] Result<Changed> batch(SessionCaller& caller,
                                      const std::vector<fileproto::Change>& changes,
                                      const SessionChange& how, const CallOptions& options = {},
                                      ByteView bytes = {});

  // --- state ---
  // Until there is a session.
  Status wait_open(const CallOptions& options) EXCLUDES(mutex_);
  [[nodiscard]] SessionState state() const EXCLUDES(mutex_);
  // Calls have missed their deadline and the stream is not there: others fail at once (R28).
  [[nodiscard]] bool is_down() const EXCLUDES(mutex_);
  // Until when what was promised may be trusted; in the past: nothing is.
  [[nodiscard]] Instant lease_end() const EXCLUDES(mutex_);
  [[nodiscard]] const std::string& name() const { return options_.name; }

 private:
  friend class SessionCaller;
  using MakeArgs = std::function<std::string(const fileproto::ChangeScope&)>;
  using Event = std::function<void()>;

  MountSession(MountSessionOptions options, SessionListener& listener, const Clock& clock);

  // --- keeping it (mount_session.cpp); the keeper's thread ---
  void keeper_main() EXCLUDES(mutex_);
  [[nodiscard]] Status begin() EXCLUDES(mutex_);
  [[nodiscard]] Result<rpc::Answer> open_or_resume(rpc::Client& client, const SessionKeyPtr& old,
                                                   const std::string& opener_name);
  [[nodiscard]] Status began(SessionKeyPtr session, const std::string& address, SessionBegun begun)
      EXCLUDES(mutex_);
  void replaced_locked(std::string why) REQUIRES(mutex_);
  void lost(SessionId session) EXCLUDES(mutex_);
  void lost_locked() REQUIRES(mutex_);
  [[nodiscard]] SessionKeyPtr present() const EXCLUDES(mutex_);  // null: there is none
  [[nodiscard]] rpc::ClientOptions client_options(
      const std::shared_ptr<auth::CredentialSource>& tickets) const;

  // --- stream (session_stream.cpp); its thread ---
  stream::Bytes credential(stream::StreamId, const std::array<std::byte, 32>& binding) override
      EXCLUDES(mutex_);
  void on_open(stream::StreamId stream, std::uint64_t epoch, Instant lease_until) override
      EXCLUDES(mutex_);
  void on_message(stream::StreamId stream, stream::BytesView message) override EXCLUDES(mutex_);
  void on_renewed(stream::StreamId stream, Instant lease_until) override EXCLUDES(mutex_);
  void on_close(stream::StreamId stream, const stream::CloseInfo& why) override EXCLUDES(mutex_);
  void hear(const fileproto::ServerProof& message) REQUIRES(mutex_);
  void hear(const fileproto::Break& message) REQUIRES(mutex_);
  void hear(const fileproto::Update& message) REQUIRES(mutex_);
  void hear(const fileproto::Stable& message) REQUIRES(mutex_);
  void hear(const fileproto::Ended& message) REQUIRES(mutex_);
  void hear(const fileproto::GiveBack& message) REQUIRES(mutex_);
  void lease_until(Instant until) REQUIRES(mutex_);
  void send_locked(const fileproto::MountMessage& message) REQUIRES(mutex_);

  // --- effects ---
  void step() REQUIRES(mutex_);
  void act(BookEffects& effects) REQUIRES(mutex_);
  void tell(Event event) REQUIRES(mutex_);
  // The listener hears what is waiting; in this thread, or in the one that is at it already.
  void deliver() EXCLUDES(mutex_);

  // --- calls (session_calls.cpp) ---
  [[nodiscard]] Status admit() const EXCLUDES(mutex_);
  void note_end(const rpc::CallResult& result, const rpc::Request& request,
                const SessionKeyPtr& session) EXCLUDES(mutex_);
  [[nodiscard]] Result<Changed> send_change(SessionCaller& caller, std::string_view operation,
                                            VolumeId volume, const MakeArgs& args,
                                            const SessionChange& how, const CallOptions& options,
                                            ByteView bytes);
  [[nodiscard]] Changed learn_change(const CallInFlight& call, VolumeId volume,
                                     fileproto::ChangeResult result) EXCLUDES(mutex_);

  const MountSessionOptions options_;
  SessionListener& listener_;
  const Clock& clock_;
  std::unique_ptr<stream::StreamClient> streams_;
  std::shared_ptr<SessionCaller> opener_;
  rpc::RetryBudget budget_;

  mutable Mutex mutex_;
  CondVar changed_;
  PromiseBook book_ GUARDED_BY(mutex_);
  SessionState state_ GUARDED_BY(mutex_) = SessionState::Opening;
  SessionKeyPtr session_ GUARDED_BY(mutex_);  // the present one, or the last
  bool may_open_ GUARDED_BY(mutex_) = true;
  bool down_ GUARDED_BY(mutex_) = false;
  bool closing_ GUARDED_BY(mutex_) = false;  // no other session is opened
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::optional<Error> why_not_ GUARDED_BY(mutex_);  // the last attempt to open one failed
  stream::StreamId stream_ GUARDED_BY(mutex_){};
  std::array<std::byte, 32> binding_ GUARDED_BY(mutex_){};
  Instant welcome_until_ GUARDED_BY(mutex_){};
  bool proved_ GUARDED_BY(mutex_) = false;  // the server, on the present stream
  std::deque<Event> events_ GUARDED_BY(mutex_);
  bool delivering_ GUARDED_BY(mutex_) = false;
  rpc::Cancellation stopping_;  // of what the keeper waits for
  std::thread keeper_;
};

}  // namespace common::fileclient
