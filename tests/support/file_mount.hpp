#pragma once

// A mount as thin as tests want it: one session, its connection and its stream, and every message
// that the server says there. It caches nothing; what it acknowledges, and when, the test decides.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/auth/credential_source.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/rpc/client.hpp"
#include "common/stream/client.hpp"
#include "common/sync/mutex.hpp"
#include "tests/support/patience.hpp"

namespace test_support {

// Who calls, and where.
struct FileServerAddress {
  std::string host;
  std::uint16_t port = 0;
  std::string service;  // "fileserver/fileserver1"
  std::string cell;
  std::shared_ptr<common::tls::ReloadableContext> tls;
  std::shared_ptr<common::auth::CredentialSource> source;
};

// How a change of a mount is called.
struct ChangeCall {
  std::uint64_t number = 0;                     // 0: the next
  std::chrono::milliseconds deadline{120'000};  // however slow the machine is
  std::string bytes;
  std::string trace;
};

class FileMount final : public common::stream::ClientHandler {
 public:
  // With a mount id of its own, or one that a former mount had (32 hex digits).
  explicit FileMount(FileServerAddress address, std::string mount = {});
  ~FileMount() override;

  // --- session ---
  [[nodiscard]] common::Status open();
  [[nodiscard]] common::Status resume();
  [[nodiscard]] common::Status close();
  // Dials; returns when the server has proved itself on the stream.
  [[nodiscard]] common::Status dial() { return dial(address_.host, stream_port_); }
  [[nodiscard]] common::Status dial(const std::string& host, std::uint16_t port);
  [[nodiscard]] std::uint16_t stream_port() const { return stream_port_; }
  void hang_up();
  // The mount's own connection is a new one from now on, which has joined the session.
  [[nodiscard]] common::Status rejoin();
  // Another connection of the session, of its own.
  [[nodiscard]] common::Result<std::unique_ptr<common::rpc::Client>> join();
  [[nodiscard]] std::uint64_t session() const { return session_; }
  [[nodiscard]] const std::string& mount_id() const { return mount_; }

  // --- calls ---
  // Of anybody: no session is named.
  [[nodiscard]] common::Result<nlohmann::json> call(
      std::string_view operation, const nlohmann::json& args = nlohmann::json::object());
  // A change of the session: names it, and what the mount has heard.
  [[nodiscard]] common::Result<nlohmann::json> change(std::string_view operation,
                                                      nlohmann::json args,
                                                      const ChangeCall& how = {});
  [[nodiscard]] std::uint64_t next_number() { return ++number_; }
  // A change of whoever calls, in no session: its numbers are times.
  [[nodiscard]] common::Result<nlohmann::json> change_without_session(std::string_view operation,
                                                                      const nlohmann::json& args,
                                                                      std::uint64_t number = 0);

  // --- what the server says ---
  // Whether breaks are acknowledged as they come; else by acknowledge().
  void acknowledge_at_once(bool at_once) EXCLUDES(mutex_);
  [[nodiscard]] common::Result<common::fileproto::Break> wait_break(
      std::chrono::nanoseconds within = kPatience) EXCLUDES(mutex_);
  [[nodiscard]] common::Result<common::fileproto::Update> wait_update(
      std::chrono::nanoseconds within = kPatience) EXCLUDES(mutex_);
  [[nodiscard]] bool has_break() EXCLUDES(mutex_);
  void acknowledge(std::uint64_t number);
  // Renewals go on by themselves; a silent mount neither renews nor acknowledges.
  void be_silent();
  [[nodiscard]] bool wait_closed(std::chrono::nanoseconds within = kPatience) EXCLUDES(mutex_);

 private:
  common::stream::Bytes credential(common::stream::StreamId,
                                   const std::array<std::byte, 32>& binding) override;
  void on_open(common::stream::StreamId stream, std::uint64_t epoch,
               common::Instant lease_until) override EXCLUDES(mutex_);
  void on_message(common::stream::StreamId stream, common::stream::BytesView message) override
      EXCLUDES(mutex_);
  void on_close(common::stream::StreamId stream, const common::stream::CloseInfo& why) override
      EXCLUDES(mutex_);

  [[nodiscard]] common::Status begin(bool resume);
  void acknowledge_on(common::stream::StreamId id, std::uint64_t number);
  [[nodiscard]] common::Result<nlohmann::json> send(std::string_view operation,
                                                    const nlohmann::json& args,
                                                    const ChangeCall& how);
  [[nodiscard]] common::rpc::ClientOptions client_options() const;
  [[nodiscard]] common::Result<std::array<std::byte, 32>> proof(const common::rpc::Client& client,
                                                                std::string_view label) const;

  const FileServerAddress address_;
  common::SystemClock clock_;
  std::unique_ptr<common::rpc::Client> client_;
  std::unique_ptr<common::stream::StreamClient> streams_;
  std::optional<common::stream::StreamId> stream_;  // the one that is dialled
  std::string mount_;                               // 32 hex digits
  std::uint64_t session_ = 0;
  std::vector<std::byte> key_;
  std::uint16_t stream_port_ = 0;
  std::uint64_t number_ = 0;
  std::uint64_t seen_ = 0;

  common::Mutex mutex_;
  common::CondVar heard_;
  bool at_once_ GUARDED_BY(mutex_) = true;
  bool proved_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::deque<common::fileproto::Break> breaks_ GUARDED_BY(mutex_);
  std::deque<common::fileproto::Update> updates_ GUARDED_BY(mutex_);
};

}  // namespace test_support
