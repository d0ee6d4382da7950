#pragma once

// One call of the file protocol as its handler sees it: who calls, in which session, and the parts
// of the server.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "common/rpc/call.hpp"
#include "common/rpc/operations.hpp"
#include "common/ticket/verifier.hpp"
#include "fileserver/changes/change.hpp"
#include "fileserver/sessions/file_session.hpp"
#include "fileserver/sessions/promise_keeper.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

struct FileParts;  // file_parts.hpp

// Lives for one execution of a handler, in its thread.
class FileCall {
 public:
  FileCall(FileParts& parts, common::rpc::Call& call, const common::ticket::Identity& identity,
           FileSessionPtr session)
      : parts_(parts), call_(call), identity_(identity), session_(std::move(session)) {}

  [[nodiscard]] FileParts& parts() { return parts_; }
  [[nodiscard]] common::rpc::Call& rpc() { return call_; }
  [[nodiscard]] const nlohmann::json& args() const { return call_.args(); }
  [[nodiscard]] common::Instant deadline() const { return call_.deadline(); }
  [[nodiscard]] const common::ticket::Identity& identity() const { return identity_; }
  // PermissionDenied: the KDC says by now that his ticket is good no more (F41).
  [[nodiscard]] Status still_enabled() const;
  // nullptr: the connection has joined none, so nothing is granted to it.
  [[nodiscard]] const FileSessionPtr& session() const { return session_; }

  // The volume, opened if need be.
  [[nodiscard]] Result<VolumeRef> volume(common::VolumeId id);

  // Carries a change through (PROTOCOL.md, "A change, in order") and answers; what comes back is
  // for the handler to return at once. While the change waits for promises of others the call is
  // parked, holding no thread: then this very handler runs again from its beginning, and this call
  // goes on with the change that it was given first; the new one is dropped.
  [[nodiscard]] Result<common::rpc::Reply> change(std::unique_ptr<Change> change);

  // What a change says of its session: that this connection has joined it (Stale if not), and the
  // newest grant clock that its mount knew. Said before change().
  [[nodiscard]] Status speaks_for(std::optional<common::SessionId> session, std::uint64_t seen);
  [[nodiscard]] std::uint64_t seen() const { return seen_; }
  // Whose operation ids, stagings and node ids these are: the session's mount, or what stands for
  // one where there is no session.
  [[nodiscard]] Result<store::MountId> mount() const;
  // Who makes an operation exactly-once: mount and number; InvalidArgument for an id that cannot
  // be.
  [[nodiscard]] Result<store::OperationKey> operation_key() const;
  // Whether that operation may have been executed before, as far as can be told without asking the
  // store; notes the number as one that has arrived.
  [[nodiscard]] bool may_be_retry(const store::OperationKey& key);
  // Who commits.
  [[nodiscard]] store::Caller committer() const;

  // For the access log: that only administration allowed it; and what it is about.
  void note_administration() { administered_ = true; }
  [[nodiscard]] bool administered() const { return administered_; }
  void note(common::Fid fid) { noted_ = fid; }
  [[nodiscard]] const std::optional<common::Fid>& noted() const { return noted_; }

 private:
  FileParts& parts_;
  common::rpc::Call& call_;
  const common::ticket::Identity& identity_;
  FileSessionPtr session_;
  std::uint64_t seen_ = 0;
  std::optional<common::Fid> noted_;
  bool administered_ = false;
};

// The promises that a read's reply gives. Made before the store is read:
//
//   ReadGrants grants(call);
//   ... read the store ...
//   const auto promised = grants.give(fids);   // as many bools; grants.clock() for the reply
class ReadGrants {
 public:
  // `none`: what is read is the past, of which nothing is promised.
  explicit ReadGrants(FileCall& call, bool none = false);
  // All false without a session or stream; each node once.
  [[nodiscard]] std::vector<bool> give(std::span<const common::Fid> nodes);
  // The session's grant clock, to be sent as "grants"; 0: nothing was granted.
  [[nodiscard]] std::uint64_t clock() const { return clock_; }

 private:
  FileCall& call_;
  const bool none_;
  ReadToken token_ = 0;
  std::uint64_t clock_ = 0;
};

// One line of the server's table of operations.
struct FileOperation {
  using Handler = Result<common::rpc::Reply> (*)(FileCall&);
  std::string_view name;
  Handler run = nullptr;
  common::rpc::OperationClass kind = common::rpc::OperationClass::Metadata;
  bool needs_id = false;  // it changes something
  std::uint64_t body_cap = 64 * 1024;
  bool streamed = false;
  bool stale_too = false;  // answered on connections whose session is over, too
};

// The families, each in its own file.
[[nodiscard]] std::span<const FileOperation> session_operations();
[[nodiscard]] std::span<const FileOperation> volume_operations();
[[nodiscard]] std::span<const FileOperation> lookup_operations();
[[nodiscard]] std::span<const FileOperation> open_operations();
[[nodiscard]] std::span<const FileOperation> namespace_operations();
// fileserver/content: fetch, bulk, store, append, ..., dump and load.
[[nodiscard]] std::span<const FileOperation> content_operations();

}  // namespace fileserver
