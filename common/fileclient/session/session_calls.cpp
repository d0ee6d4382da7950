// Calls of a mount, and what their answers say about promises.

#include <algorithm>

#include "common/fileclient/session/mount_session.hpp"
#include "common/fileclient/session/session_caller.hpp"

namespace common::fileclient {
namespace {

using namespace std::chrono_literals;

// While a call waits for a session it looks so often whether it has been cancelled.
constexpr auto kLookAtCancellation = 20ms;

// Longer requests go over connections of their own, so that no lookup waits behind them.
constexpr std::size_t kBulkFrom = 64 * 1024;

bool is_session_over(const rpc::CallResult& result) {
  if (result.answer || result.outcome != rpc::Outcome::Answered ||
      result.answer.error().code != ErrorCode::Stale)
    return false;
  const auto detail = fileproto::detail_of(result.answer.error());
  return !detail || detail->why == fileproto::FailureWhy::Session;
}

// Why there is no session will not pass by itself.
bool stands(const Error& error) {
  switch (error.code) {
    case ErrorCode::PermissionDenied:
    case ErrorCode::Unauthenticated:
    case ErrorCode::Expired:
    case ErrorCode::NotFound:
    case ErrorCode::InvalidArgument:
    case ErrorCode::Conflict:
    case ErrorCode::Unsupported:
      return true;
    default:
      return false;
  }
}

}  // namespace

Status MountSession::admit() const {
  const MutexLock lock(mutex_);
  if (state_ == SessionState::Replaced)
    return tl::unexpected(*why_not_);
  if (down_)
    return fail(ErrorCode::Unavailable, "{} does not answer; it is tried again in the background",
                options_.name);
  return {};
}

Status MountSession::wait_open(const CallOptions& options) {
  const Instant deadline = options.until();
  const MutexLock lock(mutex_);
  for (;;) {
    if (state_ == SessionState::Open)
      return {};
    if (state_ == SessionState::Replaced || (why_not_ && stands(*why_not_)))
      return tl::unexpected(*why_not_);
    if (closing_ || stopped_)
      return fail(ErrorCode::Cancelled, "the mount is being ended");
    if (options.cancellation != nullptr && options.cancellation->cancelled())
      return fail(ErrorCode::Cancelled, "interrupted");
    const Instant now = clock_.now();
    if (now >= deadline) {
      return fail(ErrorCode::Unavailable, "there is no session with {}{}{}", options_.name,
                  why_not_ ? ": " : "", why_not_ ? why_not_->message : "");
    }
    changed_.wait_for(mutex_, std::min<Duration>(kLookAtCancellation, deadline - now));
  }
}

void MountSession::note_end(const rpc::CallResult& result, const rpc::Request& request,
                            const SessionKeyPtr& session) {
  if (session && is_session_over(result))
    return lost(session->id);
  if (result.answer) {
    if (session && result.answer->epoch != session->server_epoch)
      lost(session->id);  // it has started anew, and wants to be asked for the session again
    return;
  }
  // The first missed deadline: no other caller is to wait as long for nothing.
  if (result.outcome != rpc::Outcome::Answered && rpc::now() >= request.deadline) {
    const MutexLock lock(mutex_);
    down_ = down_ || !proved_;
  }
}

Result<Heard> MountSession::send(SessionCaller& caller, const Outgoing& outgoing,
                                 const CallOptions& options) {
  TROTH_TRY_VOID(admit());
  rpc::Request request = request_of(outgoing, options);
  CallInFlight call;
  TROTH_TRY(auto answer, call_repeatedly(request, budget_, [&](rpc::Request& one) {
              SessionKeyPtr session;
              {
                const MutexLock lock(mutex_);
                call = book_.begin_call();
                if (state_ == SessionState::Open)
                  session = session_;
              }
              AttemptEnd end{.result = caller.call(session, one, outgoing.lane)};
              end.session_over = session && is_session_over(end.result);
              note_end(end.result, one, session);
              return end;
            }));
  return Heard{std::move(answer), call};
}

Taken MountSession::learn(const CallInFlight& call, const fileproto::VolumeState& state,
                          VolumeId volume, const fileproto::Attributes& node) {
  const MutexLock lock(mutex_);
  return book_.take(call, state.grants.value_or(0), {volume, node.node},
                    {state.epoch, node.version}, node.granted);
}

// --- changes ---

Result<Changed> MountSession::send_change(SessionCaller& caller, std::string_view operation,
                                          VolumeId volume, const MakeArgs& args,
                                          const SessionChange& how, const CallOptions& options,
                                          ByteView bytes) {
  TROTH_TRY_VOID(admit());
  rpc::Request request = request_of(
      {.operation = operation, .args = {}, .bytes = bytes, .id = {0, how.number}}, options);
  const rpc::Lane lane = bytes.size() >= kBulkFrom ? rpc::Lane::Bulk : rpc::Lane::Calls;
  CallInFlight call;
  const CallOptions waiting{
      .deadline = request.deadline, .cancellation = request.cancellation, .id = {}};
  TROTH_TRY(auto answer, call_repeatedly(request, budget_, [&](rpc::Request& one) -> AttemptEnd {
              fileproto::ChangeScope scope;
              scope.as = how.as;
              scope.via = how.via;
              scope.conditions = how.conditions;
              SessionKeyPtr session = present();
              if (!session) {
                if (auto open = wait_open(waiting); !open)
                  return {{rpc::Outcome::NotSent, tl::unexpected(std::move(open).error())}, false};
                session = present();
              }
              if (!session)  // lost again already
                return {{rpc::Outcome::NotSent, fail(ErrorCode::Unavailable,
                                                     "the session with {} is over", options_.name)},
                        true};
              {
                const MutexLock lock(mutex_);
                scope.session = session->id;
                scope.seen = book_.begin_change(how.named);
                call = book_.begin_call();
              }
              one.args = args(scope);
              AttemptEnd end{.result = caller.call(session, one, lane)};
              end.session_over = is_session_over(end.result);
              note_end(end.result, one, session);
              return end;
            }));
  TROTH_TRY(auto result, fileproto::decode<fileproto::ChangeResult>(answer.result()));
  return learn_change(call, volume, std::move(result));
}

Changed MountSession::learn_change(const CallInFlight& call, VolumeId volume,
                                   fileproto::ChangeResult result) {
  std::vector<Fid> touched;
  touched.reserve(result.nodes.size() + result.gone.size());
  for (const auto& node : result.nodes)
    touched.push_back({volume, node.node.node});
  for (const NodeId gone : result.gone)
    touched.push_back({volume, gone});
  const std::uint64_t grants = result.state.grants.value_or(0);
  Changed changed;
  const MutexLock lock(mutex_);
  book_.change_answered(call, grants, touched);
  for (const auto& [node, was] : result.nodes)
    changed.taken.push_back(book_.take(call, grants, {volume, node.node},
                                       {result.state.epoch, node.version}, node.granted));
  changed.result = std::move(result);
  return changed;
}

Result<Changed> MountSession::batch(SessionCaller& caller,
                                    const std::vector<fileproto::Change>& changes,
                                    const SessionChange& how, const CallOptions& options,
                                    ByteView bytes) {
  if (changes.empty())
    return fail(ErrorCode::InvalidArgument, "a batch of no changes");
  return send_change(
      caller, "batch", volume_of(changes[0]),
      [&](const fileproto::ChangeScope& scope) {
        return fileproto::encode(fileproto::BatchArgs{scope, changes});
      },
      how, options, bytes);
}

// --- after a new session ---

Status MountSession::revalidate(SessionCaller& caller, const CallOptions& options,
                                const Differs& differs) {
  std::vector<std::pair<Fid, NodeVersion>> nodes;
  {
    const MutexLock lock(mutex_);
    nodes = book_.to_revalidate(options_.book.nodes);
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t begin = 0; begin < nodes.size();) {
    const VolumeId volume = nodes[begin].first.volume;
    fileproto::RevalidateArgs args;
    std::size_t end = begin;
    for (; end < nodes.size() && nodes[end].first.volume == volume &&
           end - begin < fileproto::kMaxRevalidateNodes;
         ++end)
      args.nodes.push_back({nodes[end].first, nodes[end].second.seq});
    begin = end;
    TROTH_TRY(const auto asked, ask(caller, args, options));
    const auto& [state, changed, gone] = asked.result;
    std::vector<NodeId> told(gone);
    for (const auto& node : changed) {
      told.push_back(node.node);
      if (learn(asked.call, state, volume, node) != Taken::Older)
        differs({volume, node.node}, &node);
    }
    for (const NodeId node : gone)
      differs({volume, node}, nullptr);
    std::sort(told.begin(), told.end());
    const MutexLock lock(mutex_);
    for (const auto& [fid, version] : args.nodes) {
      if (!std::binary_search(told.begin(), told.end(), fid.node))
        book_.take(asked.call, state.grants.value_or(0), fid, {state.epoch, version},
                   state.grants.has_value());
    }
  }
  return {};
}

}  // namespace common::fileclient
