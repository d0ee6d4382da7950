#pragma once

// What Sessions is made of. Internal to sessions*.cpp.

#include <deque>
#include <thread>

#include "common/fileproto/stream_messages.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/sessions/sessions.hpp"

namespace fileserver {

namespace fileproto = common::fileproto;
using common::stream::StreamId;
using common::ticket::Principal;

[[nodiscard]] inline common::Error not_yours() {
  return {common::ErrorCode::Unauthenticated, "this is no session of yours: open one"};
}

class Sessions::Impl final : public common::stream::ServerHandler, public PromiseOutlet {
 public:
  Impl(const SessionsOptions& options, VolumeSet& volumes, const common::Clock& clock)
      : volumes_(volumes),
        clock_(clock),
        lease_(options.promises.lease),
        margin_(options.promises.margin),
        beat_(options.beat),
        table_(options.caps) {}
  ~Impl() override { end_thread(); }

  Status begin(const SessionsOptions& options);
  bool stop();
  bool ask_for_everything() EXCLUDES(mutex_);

  // --- calls ---
  Result<FileSessionPtr> open(const Principal& opener, const store::MountId& mount);
  Result<FileSessionPtr> resume(const std::string& caller, const store::MountId& mount,
                                SessionId session, const Proof& proof, const Proof& binding);
  Result<FileSessionPtr> join(const std::string& caller, SessionId session, const Proof& proof,
                              const Proof& binding);
  bool lives(SessionId session) EXCLUDES(mutex_);
  std::vector<SessionId> opened_by(common::ticket::PrincipalId opener) EXCLUDES(mutex_);
  void revoke(const std::function<bool(common::ticket::PrincipalId)>& disabled,
              std::span<const common::ticket::PrincipalId> newly) EXCLUDES(mutex_);
  void note_unstable(const FileSessionPtr& session, VolumeId volume, common::Seq seq)
      EXCLUDES(mutex_);
  void volume_deleted(VolumeId volume) EXCLUDES(mutex_);
  std::vector<VolumeId> volumes_of(const FileSessionPtr& session) EXCLUDES(mutex_);
  SessionCounts counts() EXCLUDES(mutex_);

  // --- of the stream server: its thread ---
  Status on_hello(StreamId stream, const common::stream::PeerInfo& peer,
                  common::stream::BytesView credential) override EXCLUDES(mutex_);
  void on_open(StreamId stream) override EXCLUDES(mutex_);
  void on_message(StreamId stream, common::stream::BytesView message) override EXCLUDES(mutex_);
  void on_renewal(StreamId stream, std::uint64_t number) override EXCLUDES(mutex_);
  void on_close(StreamId stream, const common::stream::CloseInfo& why) override EXCLUDES(mutex_);

  // --- of the keeper: any thread, one at a time ---
  void send_break(const SendBreak& message) override EXCLUDES(mutex_);
  void send_update(const SendUpdate& message, const ChangeNews& news) override EXCLUDES(mutex_);
  void acknowledge_renewal(const AcknowledgeRenewal& message) override EXCLUDES(mutex_);
  void session_over(const SessionOver& message) override EXCLUDES(mutex_);
  void forget_session(const ForgetSession& message) override EXCLUDES(mutex_);
  void close_stream(const CloseStream& message) override EXCLUDES(mutex_);

  VolumeSet& volumes_;
  const common::Clock& clock_;
  const std::chrono::milliseconds lease_;
  const std::chrono::milliseconds margin_;
  std::unique_ptr<PromiseKeeper> keeper_;
  std::unique_ptr<common::stream::StreamServer> streams_;

 private:
  // A session with this key; Stale, or refused() where it is not the caller's to know.
  Result<FileSessionPtr> proven(std::string_view label, const std::string& caller,
                                SessionId session, const Proof& proof, const Proof& binding)
      EXCLUDES(mutex_);
  Result<FileSessionPtr> make(const Principal& opener, const store::MountId& mount);
  Status on_acknowledge(SessionId session, std::uint64_t number) EXCLUDES(mutex_);
  bool may_write(SessionId session, std::uint64_t number) EXCLUDES(mutex_);
  std::optional<SessionId> session_of(StreamId stream) EXCLUDES(mutex_);
  void send(SessionId session, const std::vector<common::Bytes>& messages) EXCLUDES(mutex_);
  void send_to(StreamId stream, const fileproto::ServerMessage& message);
  void break_stream(StreamId stream, std::string why);

  void thread_main() EXCLUDES(mutex_);
  void end_thread() EXCLUDES(mutex_);
  void forget_ended() REQUIRES(mutex_);
  void tell_stable() REQUIRES(mutex_);

  const std::function<void()> beat_;
  common::Mutex mutex_;
  common::CondVar wake_;
  SessionTable table_ GUARDED_BY(mutex_);
  std::vector<SessionId> ended_ GUARDED_BY(mutex_);      // what they hold in volumes is to go
  std::vector<SessionId> forgotten_ GUARDED_BY(mutex_);  // and they themselves, from the registry
  // Volumes deleted a short while ago: whose stream was down then is told when it is back. Who was
  // away for longer trusts nothing.
  std::deque<std::pair<Instant, VolumeId>> deleted_ GUARDED_BY(mutex_);
  std::uint64_t opened_ GUARDED_BY(mutex_) = 0;
  std::uint64_t breaks_sent_ GUARDED_BY(mutex_) = 0;
  std::uint64_t updates_sent_ GUARDED_BY(mutex_) = 0;
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool ended_all_ = false;  // by the thread that stops
  bool clean_ = true;
  // Between a Hello and its stream: used by the stream server's thread only.
  struct Greeting {
    StreamId stream;
    SessionId session;
    Proof proof{};
  };
  std::optional<Greeting> greeting_;
  std::thread thread_;
};

}  // namespace fileserver
