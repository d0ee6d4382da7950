#include "fileserver/operations/file_call.hpp"

#include <cstring>

#include "common/crypto/hash.hpp"
#include "fileserver/callers/disabled_list.hpp"
#include "fileserver/changes/pipeline.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/sessions/sessions.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;

constexpr std::string_view kCallerLabel = "troth caller 1";

// Who has no session is told apart by his name; the first bit is 1, which no mount's own id has.
Result<store::MountId> mount_of(const std::string& cell, const std::string& name) {
  TROTH_TRY(auto hash, common::crypto::Sha256::create());
  TROTH_TRY_VOID(hash.update(common::as_bytes(kCallerLabel)));
  TROTH_TRY_VOID(hash.update(common::as_bytes(cell)));
  TROTH_TRY_VOID(hash.update(common::as_bytes(name)));
  TROTH_TRY(const auto digest, hash.finish());
  store::MountId mount;
  std::memcpy(mount.bytes.data(), digest.data(), mount.bytes.size());
  mount.bytes[0] |= std::byte{0x80};
  return mount;
}

}  // namespace

Status FileCall::still_enabled() const {
  if (parts_.disabled == nullptr || !parts_.disabled->has(identity_.client.id))
    return {};
  return fail(ErrorCode::PermissionDenied,
              "{} has been disabled by an administrator of the cell, who can enable it again",
              identity_.client.name);
}

Result<VolumeRef> FileCall::volume(common::VolumeId id) {
  TROTH_TRY(VolumeRef volume, parts_.volumes.use(id, deadline()));
  // What it promised would be broken by the next dump without anybody being told.
  if (volume->follows())
    return fail(ErrorCode::Unavailable,
                "volume \"{}\" is a copy that takes dumps of another: load the last one to be "
                "served",
                volume.entry().name);
  return volume;
}

Result<common::rpc::Reply> FileCall::change(std::unique_ptr<Change> change) {
  return parts_.pipeline.run(*this, std::move(change));
}

Status FileCall::speaks_for(std::optional<common::SessionId> session, std::uint64_t seen) {
  seen_ = seen;
  if (!session) {
    // A change without a session has another key than one of the session: it must not be taken for
    // one because the connection has joined.
    session_.reset();
    return {};
  }
  if (!session_ || session_->id != *session || session_->over.load())
    return fail(ErrorCode::Stale, "this connection has not joined that session, or it is over");
  return {};
}

Result<store::OperationKey> FileCall::operation_key() const {
  const common::OperationId id = call_.head().id;
  if (id.high != 0 || id.low == 0 || id.low > static_cast<std::uint64_t>(INT64_MAX))
    return fail(ErrorCode::InvalidArgument,
                "an operation's number is from 1 to below 2^63, behind 64 zero bits");
  store::OperationKey key;
  key.number = id.low;
  TROTH_TRY(key.mount, mount());
  return key;
}

Result<store::MountId> FileCall::mount() const {
  if (session_)
    return session_->mount;
  return mount_of(parts_.cell, identity_.client.name);
}

bool FileCall::may_be_retry(const store::OperationKey& key) {
  if (!session_)
    return true;
  std::uint64_t highest = session_->highest_number.load();
  while (key.number > highest) {
    // What is above all that has come in this session has not come in it. In one that has just
    // begun, what an earlier one executed may be repeated.
    if (session_->highest_number.compare_exchange_weak(highest, key.number))
      return highest == 0;
  }
  return true;
}

store::Caller FileCall::committer() const {
  return {identity_.client.id.value, session_ ? session_->id : common::SessionId{}};
}

// --- grants ---

ReadGrants::ReadGrants(FileCall& call, bool none)
    : call_(call), none_(none || call.session() == nullptr) {
  if (!none_)
    token_ = call_.parts().keeper.begin_read();
}

std::vector<bool> ReadGrants::give(std::span<const common::Fid> nodes) {
  if (none_ || nodes.empty())
    return std::vector<bool>(nodes.size());
  auto granted = call_.parts().keeper.grant(call_.session()->id, nodes, token_);
  // Who was disabled meanwhile must not get one after those that he had were asked for.
  if (!call_.still_enabled())
    return std::vector<bool>(nodes.size());
  clock_ = granted.clock;
  return std::move(granted.nodes);
}

}  // namespace fileserver
