#pragma once

// A core of promises with a clock that moves when told to, and what it has said.

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "fileserver/promises/promise_core.hpp"
#include "tests/support/test.hpp"

namespace promise_test {

using namespace fileserver;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline Fid node(std::uint64_t number) {
  return {common::VolumeId{1}, common::NodeId{number}};
}

class Fixture {
 public:
  explicit Fixture(PromiseOptions options_in = {}, const FormerLife& former = {})
      : options(std::move(options_in)), core(options, former, now) {}

  // An open session with a stream.
  SessionId mount(std::uint64_t number) {
    const SessionId session{number};
    REQUIRE_OK(core.open_session(session, now));
    REQUIRE_OK(core.stream_up(session, now, effects));
    return session;
  }
  // The grant clock; 0 if the node is not promised.
  std::uint64_t grant(SessionId session, std::uint64_t number) {
    return grant_with(session, number, core.begin_read());
  }
  std::uint64_t grant_with(SessionId session, std::uint64_t number, ReadToken token) {
    std::uint64_t clock = 0;
    const std::vector<Fid> nodes = {node(number)};
    const auto granted = core.grant(session, nodes, token, now, clock, effects);
    REQUIRE(granted.size() == 1);
    CHECK(granted[0] == (clock != 0));
    return clock;
  }
  Status begin(ChangeId id, std::initializer_list<std::uint64_t> numbers,
               std::optional<ChangeOrigin> origin = {}, milliseconds within = seconds(30)) {
    return core.begin_change(id, origin, touched(numbers), now + within, now, effects);
  }
  Status extend(ChangeId id, std::initializer_list<std::uint64_t> numbers) {
    return core.extend_change(id, touched(numbers), now, effects);
  }
  PromiseCore::Ended end(ChangeId id, bool committed = true) {
    return core.end_change(id, committed, now, effects);
  }
  Status acknowledge(SessionId session, std::uint64_t number) {
    return core.on_acknowledge(session, number, now, effects);
  }
  Status flush(SessionId session, std::uint64_t number, milliseconds more = seconds(5),
               bool may_write = true) {
    return core.on_flushing(session, number, more, may_write, now, effects);
  }
  void renew(SessionId session, std::uint64_t number = 1) {
    core.on_renewal(session, number, now, effects);
  }
  void advance(milliseconds by) {
    now += by;
    core.on_time(now, effects);
  }
  // Renews the leases of these every second meanwhile.
  void advance_alive(milliseconds by, std::initializer_list<SessionId> alive) {
    for (; by.count() > 0; by -= std::min(by, milliseconds(1000))) {
      advance(std::min(by, milliseconds(1000)));
      for (const SessionId session : alive)
        renew(session);
    }
  }

  // All effects of this kind so far, taken out of the others.
  template <typename Kind>
  std::vector<Kind> take() {
    std::vector<Kind> result;
    for (const auto& effect : effects) {
      if (const auto* kind = std::get_if<Kind>(&effect))
        result.push_back(*kind);
    }
    std::erase_if(effects, [](const auto& e) { return std::holds_alternative<Kind>(e); });
    return result;
  }
  bool took_ready(ChangeId id) { return took_change<ChangeReady>(id); }
  bool took_expired(ChangeId id) { return took_change<ChangeExpired>(id); }

  static std::vector<Touched> touched(std::initializer_list<std::uint64_t> numbers) {
    std::vector<Touched> nodes;
    for (const std::uint64_t number : numbers)
      nodes.push_back({node(number), what::kBytes});
    return nodes;
  }

  PromiseOptions options;
  Instant now{seconds(1000)};
  PromiseEffects effects;
  PromiseCore core;

 private:
  template <typename Kind>
  bool took_change(ChangeId id) {
    const auto of_it = [&](const PromiseEffect& effect) {
      const auto* kind = std::get_if<Kind>(&effect);
      return kind != nullptr && kind->change == id;
    };
    return std::erase_if(effects, of_it) > 0;
  }
};

}  // namespace promise_test
