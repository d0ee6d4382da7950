#pragma once

// The parts of bench_promises: a file server in a process of its own, and many mounts of it in this
// one.

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/auth/credential_source.hpp"
#include "common/clock.hpp"
#include "common/rpc/client.hpp"
#include "common/stream/client.hpp"
#include "common/sync/mutex.hpp"
#include "common/tls/context.hpp"

namespace bench {

[[noreturn]] void die(const std::string& why);

template <typename T>
T must(common::Result<T> result, std::string_view what) {
  if (!result)
    die(std::string(what) + ": " + result.error().message);
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}

// --- the server's process ---

// What the parent tells the server, as arguments: --serve and these, in order.
struct ServerFiles {
  std::string cell;
  std::string keytab;
  std::string certificate;
  std::string key;
  std::string ca;
  std::string data;  // an empty directory
  int files = 0;     // that the volume has from the beginning
};
// Prints "ports CALLS STREAMS VOLUME FIRST" (the first of the files' node ids), then a line
// "stats PROMISES BYTES" at each SIGUSR1; ends at SIGTERM.
int serve(const ServerFiles& files);

// --- the mounts ---

struct Target {
  std::uint16_t calls = 0;
  std::uint16_t streams = 0;
  std::uint32_t volume = 0;
  std::uint64_t first = 0;
  std::shared_ptr<common::tls::ReloadableContext> tls;
  common::auth::CredentialPtr ticket;

  [[nodiscard]] std::unique_ptr<common::rpc::Client> client() const;
};

// One call that must succeed.
common::rpc::Answer call(common::rpc::Client& client, std::string_view operation, std::string args,
                         common::OperationId id = {});

// Sessions of as many mounts, each with its stream; every break is acknowledged as it comes.
class Mounts final : public common::stream::ClientHandler {
 public:
  explicit Mounts(const Target& target);
  ~Mounts() override;

  // So many more sessions, all of them with a stream that is up when it returns.
  void open(int count);
  // The connection speaks for that session from now on.
  void join(common::rpc::Client& client, std::size_t mount);
  [[nodiscard]] std::uint64_t breaks() EXCLUDES(mutex_);
  [[nodiscard]] common::SessionId session(std::size_t mount) EXCLUDES(mutex_);
  // Of an operation of that mount.
  [[nodiscard]] std::uint64_t next_number(std::size_t mount) EXCLUDES(mutex_);

 private:
  struct Mount {
    common::SessionId session;
    std::vector<std::byte> key;
    std::uint64_t number = 0;
  };
  common::stream::Bytes credential(common::stream::StreamId stream,
                                   const std::array<std::byte, 32>& binding) override
      EXCLUDES(mutex_);
  void on_message(common::stream::StreamId stream, common::stream::BytesView message) override
      EXCLUDES(mutex_);
  void on_close(common::stream::StreamId stream, const common::stream::CloseInfo& why) override;
  [[nodiscard]] Mount open_one(common::rpc::Client& client) const;

  const Target& target_;
  common::SystemClock clock_;
  std::atomic<bool> leaving_{false};
  std::unique_ptr<common::stream::StreamClient> streams_;
  common::Mutex mutex_;
  common::CondVar heard_;
  std::vector<Mount> mounts_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::size_t> by_stream_ GUARDED_BY(mutex_);
  std::size_t proven_ GUARDED_BY(mutex_) = 0;
  std::uint64_t breaks_ GUARDED_BY(mutex_) = 0;
};

}  // namespace bench
