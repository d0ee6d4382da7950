#pragma once

// One file server as its clients see it: a pool of connections that have proven who calls, and
// calls that are repeated as PROTOCOL.md 6 says.

#include <memory>
#include <string>

#include "common/bytes.hpp"
#include "common/fileclient/repeat_call.hpp"
#include "common/rpc/pool.hpp"

namespace common::fileclient {

// What is sent. The views outlive the call.
struct Outgoing {
  std::string_view operation;
  std::string args;
  ByteView bytes;
  OperationId id;  // zero: the call changes nothing
  rpc::Lane lane = rpc::Lane::Calls;
};
[[nodiscard]] rpc::Request request_of(const Outgoing& outgoing, const CallOptions& options);

struct FileServerOptions {
  std::string name;  // in the cell: "fs1"
  rpc::PoolOptions pool;
};

// Safe from any thread; every call blocks until its deadline at most.
class FileServer {
 public:
  explicit FileServer(FileServerOptions options)
      : name_(std::move(options.name)), pool_(std::move(options.pool)) {}

  // The answer, or the one error that stands. After an attempt whose outcome nobody knows it is
  // OutcomeUnknown unless a later one was answered.
  [[nodiscard]] Result<rpc::Answer> call(const Outgoing& outgoing, const CallOptions& options);

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  const std::string name_;
  rpc::Pool pool_;
  // A tool makes few calls, and one that waits for a restart of the server repeats one of them for
  // half a minute.
  rpc::RetryBudget budget_{0.1, 40};
};

}  // namespace common::fileclient
