#pragma once

// Which sessions there are, by id and by mount, who opened them, and on which stream each hears.
// Not thread-safe: Sessions has it behind its lock. No I/O.

#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/stream/server.hpp"
#include "fileserver/sessions/file_session.hpp"

namespace fileserver {

struct SessionCaps {
  std::size_t per_user = 64;
  std::size_t per_host = 1'024;
  std::chrono::milliseconds between_opens{1'000};  // of one mount id
};

class SessionTable {
 public:
  struct Entry {
    FileSessionPtr session;
    std::optional<common::stream::StreamId> stream;
    bool absent = false;  // of the former life, and not back yet
    // What breaks that it has not acknowledged are about, by their numbers.
    std::map<std::uint64_t, std::vector<common::Fid>> breaks;
    // Where it has commits that are not stable yet, with the last one's seq.
    std::map<common::VolumeId, common::Seq> unstable;
  };

  explicit SessionTable(SessionCaps caps) : caps_(caps) {}

  // Whether this opener may have one more, of this mount, now. ResourceExhausted, Overloaded.
  [[nodiscard]] common::Status admit(const store::MountId& mount,
                                     const common::ticket::Principal& opener, common::Instant now);
  Entry& add(FileSessionPtr session);
  // What was noted of it; nullptr: there is none.
  [[nodiscard]] Entry* find(common::SessionId session);
  [[nodiscard]] Entry* of_mount(const store::MountId& mount);
  [[nodiscard]] Entry* of_stream(common::stream::StreamId stream);
  // Its stream from now on; returns the one that it had.
  std::optional<common::stream::StreamId> set_stream(Entry& entry, common::stream::StreamId stream);
  // False: the stream was nobody's any more.
  bool drop_stream(common::stream::StreamId stream);
  void remove(common::SessionId session);

  [[nodiscard]] std::size_t size() const { return sessions_.size(); }
  template <typename F>
  void each(F&& what) {
    for (auto& [id, entry] : sessions_)
      what(entry);
  }

 private:
  // Mount ids whose last opening is remembered; it matters for a second only.
  static constexpr std::size_t kMostRecent = 40'000;

  const SessionCaps caps_;
  std::unordered_map<common::SessionId, Entry> sessions_;
  std::map<store::MountId, common::SessionId> mounts_;
  std::unordered_map<common::stream::StreamId, common::SessionId> streams_;
  std::unordered_map<common::ticket::PrincipalId, std::size_t> openers_;
  std::map<store::MountId, common::Instant> recent_;
};

}  // namespace fileserver
