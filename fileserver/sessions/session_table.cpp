#include "fileserver/sessions/session_table.hpp"

#include <algorithm>

namespace fileserver {

void JoinedCallers::add(common::ticket::PrincipalId caller) {
  const auto place = std::lower_bound(who.begin(), who.end(), caller);
  if (place != who.end() && *place == caller)
    return;
  if (who.size() < kMaxJoinedCallers)
    who.insert(place, caller);
  else
    more = true;
}

bool JoinedCallers::has_any(std::span<const common::ticket::PrincipalId> ascending) const {
  if (more && !ascending.empty())
    return true;
  return std::any_of(who.begin(), who.end(), [&](common::ticket::PrincipalId one) {
    return std::binary_search(ascending.begin(), ascending.end(), one);
  });
}

using common::ErrorCode;
using common::fail;
using common::Instant;
using common::SessionId;
using common::Status;
using common::stream::StreamId;

Status SessionTable::admit(const store::MountId& mount, const common::ticket::Principal& opener,
                           Instant now) {
  if (const auto last = recent_.find(mount);
      last != recent_.end() && now - last->second < caps_.between_opens) {
    return tl::unexpected(common::Error{
        ErrorCode::Overloaded, "a mount opens at most one session a second",
        std::chrono::ceil<std::chrono::milliseconds>(caps_.between_opens - (now - last->second))});
  }
  const bool host = opener.kind == common::ticket::Kind::Host;
  const std::size_t most = host ? caps_.per_host : caps_.per_user;
  const auto count = openers_.find(opener.id);
  const Entry* const older = of_mount(mount);
  const bool replaces = older != nullptr && older->session->opener == opener.id;
  if (count != openers_.end() && count->second >= most + (replaces ? 1 : 0))
    return fail(ErrorCode::ResourceExhausted, "{} has {} sessions open already", opener.name, most);
  if (recent_.size() >= kMostRecent)
    std::erase_if(recent_,
                  [&](const auto& entry) { return now - entry.second >= caps_.between_opens; });
  recent_[mount] = now;
  return {};
}

SessionTable::Entry& SessionTable::add(FileSessionPtr session) {
  mounts_[session->mount] = session->id;
  ++openers_[session->opener];
  Entry& entry = sessions_[session->id];
  entry.session = std::move(session);
  return entry;
}

SessionTable::Entry* SessionTable::find(SessionId session) {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : &found->second;
}

SessionTable::Entry* SessionTable::of_mount(const store::MountId& mount) {
  const auto found = mounts_.find(mount);
  return found == mounts_.end() ? nullptr : find(found->second);
}

SessionTable::Entry* SessionTable::of_stream(StreamId stream) {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : find(found->second);
}

std::optional<StreamId> SessionTable::set_stream(Entry& entry, StreamId stream) {
  const auto old = entry.stream;
  if (old)
    streams_.erase(*old);
  entry.stream = stream;
  streams_[stream] = entry.session->id;
  return old;
}

bool SessionTable::drop_stream(StreamId stream) {
  Entry* const entry = of_stream(stream);
  streams_.erase(stream);
  if (entry == nullptr)
    return false;
  entry->stream.reset();
  return true;
}

void SessionTable::remove(SessionId session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end())
    return;
  const FileSession& gone = *found->second.session;
  if (found->second.stream)
    streams_.erase(*found->second.stream);
  if (const auto mount = mounts_.find(gone.mount);
      mount != mounts_.end() && mount->second == session)
    mounts_.erase(mount);
  if (const auto count = openers_.find(gone.opener);
      count != openers_.end() && --count->second == 0)
    openers_.erase(count);
  sessions_.erase(found);
}

}  // namespace fileserver
