#include "fileserver/operations/call_view.hpp"

#include <algorithm>
#include <cerrno>

#include "fileserver/operations/file_parts.hpp"

namespace fileserver {

using common::fail_posix;
using store::Attributes;

// --- the moment ---

const Attributes* MomentSource::find_made(NodeId node) const {
  const auto found = made_.find(node);
  return found == made_.end() ? nullptr : &found->second;
}

Result<std::optional<Attributes>> MomentSource::attributes(NodeId node) {
  if (const Attributes* const made = find_made(node))
    return std::optional(*made);
  return rows_.attributes(node);
}

Result<std::optional<access::Acl>> MomentSource::list(NodeId directory) {
  // A new directory gets a copy of its parent's.
  for (const Attributes* made = find_made(directory); made != nullptr;
       made = find_made(directory)) {
    directory = made->home;
  }
  return rows_.list(directory);
}

Result<bool> MomentSource::has_link(NodeId directory, NodeId node) {
  if (const Attributes* const made = find_made(node))
    return made->home == directory;
  return rows_.has_link(directory, node);
}

// --- the view ---

namespace {

// Directories on the ways of one look inside a transaction, for which everybody else waits: some 5
// ms. There are so many only where rights have just changed, and what was looked at before the
// transaction is not known any more.
constexpr std::size_t kMostStepsInCommit = 1'024;

// Whether this caller has the node open in his session.
bool is_open(FileSession* session, const Fid& fid, const HandleOwner& owner) {
  if (session == nullptr)
    return false;
  auto held = session->held.lock();
  return std::any_of(held->handles.begin(), held->handles.end(), [&](const auto& entry) {
    return entry.second.fid == fid && entry.second.owner == owner;
  });
}

}  // namespace

Result<access::Caller> CallView::caller_of(FileCall& call, const VolumeRef& volume,
                                           const fileproto::Speaker& as) {
  const VolumePolicy& policy = volume.entry().policy;
  return access::Caller::of(call.identity(), as, {policy.trusted_hosts, policy.administrators});
}

HandleOwner CallView::owner_of(const FileCall& call, const fileproto::Speaker& as) {
  HandleOwner owner{call.identity().client.id};
  if (const auto* const user = std::get_if<fileproto::LocalUser>(&as)) {
    owner.kind = HandleOwner::Kind::LocalUser;
    owner.uid = user->uid;
  } else if (std::holds_alternative<fileproto::AnyUser>(as)) {
    owner.kind = HandleOwner::Kind::Anybody;
  }
  return owner;
}

CallView::CallView(FileCall& call, const VolumeRef& volume, const Moment& moment,
                   const access::Caller& caller, const Way& way)
    : call_(call),
      volumes_(call.parts().volumes),
      volume_(volume),
      moment_(moment),
      caller_(caller),
      owner_(way.owner),
      is_past_(way.is_past),
      source_(moment),
      judge_({.caller = caller,
              .source = source_,
              .volume = volume.id(),
              .via = way.via,
              .cache = &call.parts().paths,
              .generation = moment.generation,
              .most_steps = moment.committing ? std::optional(kMostStepsInCommit) : std::nullopt,
              .holds = [this](NodeId node) {
                return !is_past_ &&
                       (node == known_open_ || is_open(session(), {volume_.id(), node}, owner_));
              }}) {}

Result<Attributes> CallView::node(NodeId id) {
  TROTH_TRY(const auto found, source_.attributes(id));
  // In the words of a refusal: who may not know of a node must not learn from them that it is
  // there.
  if (!found)
    return fail_posix(ENOENT, "there is no such node");
  TROTH_TRY_VOID(may(judge_.reach(*found)));
  return *found;
}

Result<Attributes> CallView::directory(NodeId id) {
  TROTH_TRY(auto found, node(id));
  if (found.kind != store::NodeKind::Directory)
    return fail_posix(ENOTDIR, "node {} is not a directory", id.value);
  return found;
}

Status CallView::may(const Result<access::Verdict>& verdict) {
  if (verdict && verdict->by_administration())
    call_.note_administration();
  return access::enforce(verdict, caller_);
}

Result<bool> CallView::governed(const Attributes& node) {
  const NodeId directory = node.kind == store::NodeKind::Directory ? node.node : node.home;
  if (const auto known = governed_.find(directory); known != governed_.end())
    return known->second;
  access::PathCache& cache = call_.parts().paths;
  const Fid fid{volume_.id(), directory};
  const bool is_made = source_.find_made(directory) != nullptr;
  if (moment_.generation && !is_made) {
    if (const auto kept = cache.find_governed(fid, *moment_.generation))
      return governed_[directory] = *kept;
  }
  TROTH_TRY(const auto list, source_.list(directory));
  if (moment_.generation && !is_made)
    cache.keep_governed(fid, *moment_.generation, list.has_value());
  return governed_[directory] = list.has_value();
}

}  // namespace fileserver
