// Tables as large as they get: room for each promise, and no step that takes long.

#include "tests/unit/fileserver/promises/core_fixture.hpp"

using namespace promise_test;

namespace {

constexpr std::size_t kPromises = 1'000'000;
constexpr double kBytesPerPromise = 24;

// `sessions` of them, each with so many nodes; node j of session i is node_of(i, j).
template <typename NodeOf>
void fill(Fixture& f, std::uint64_t sessions, NodeOf node_of) {
  const std::uint64_t each = kPromises / sessions;
  for (std::uint64_t i = 0; i < sessions; ++i)
    f.mount(i + 1);
  for (std::uint64_t i = 0; i < sessions; ++i) {
    std::vector<Fid> nodes;
    for (std::uint64_t j = 0; j < each; ++j) {
      nodes.push_back(node(node_of(i, j)));
      if (nodes.size() < 100 && j + 1 < each)
        continue;
      std::uint64_t clock = 0;
      const auto granted =
          f.core.grant(SessionId{i + 1}, nodes, f.core.begin_read(), f.now, clock, f.effects);
      CHECK(std::count(granted.begin(), granted.end(), true) ==
            static_cast<std::ptrdiff_t>(nodes.size()));
      nodes.clear();
    }
  }
  CHECK(f.core.counts().promises == kPromises);
  const double bytes = static_cast<double>(f.core.memory_bytes()) / kPromises;
  MESSAGE(sessions, " sessions: ", bytes, " bytes for each promise");
  CHECK(bytes <= kBytesPerPromise);
}

PromiseOptions roomy() {
  PromiseOptions options;
  options.promises_per_session = 2 * kPromises;
  return options;
}

}  // namespace

TEST_CASE("F33: a million promises of one session take 24 bytes each, and end bit by bit") {
  Fixture f(roomy());
  fill(f, 1, [](std::uint64_t, std::uint64_t j) { return j; });
  f.core.end_session(SessionId{1}, SessionOver::Why::Closed, f.now, f.effects);
  CHECK(f.core.counts().promises == 0);
  CHECK_OK(f.begin(7, {5}));
  CHECK(f.took_ready(7));
  // No step takes them all out at once.
  int steps = 0;
  while (f.core.next_deadline() <= f.now) {
    f.core.on_time(f.now, f.effects);
    ++steps;
  }
  CHECK(steps > 50);
  CHECK(steps < 1000);
}

TEST_CASE("F33: a million promises of 1,000 sessions on the same 1,000 nodes take less") {
  Fixture f(roomy());
  fill(f, 1000, [](std::uint64_t, std::uint64_t j) { return j; });
  CHECK_OK(f.begin(7, {5}));
  const auto breaks = f.take<SendBreak>();
  CHECK(breaks.size() == 1000);
  for (const auto& sent : breaks)
    CHECK_OK(f.acknowledge(sent.session, sent.number));
  CHECK(f.took_ready(7));
  f.end(7);
  CHECK(f.take<SendUpdate>().size() == 1000);
}

TEST_CASE("F33: a million promises of 10,000 sessions, each on nodes of its own") {
  Fixture f(roomy());
  fill(f, 10'000, [](std::uint64_t i, std::uint64_t j) { return i * 100 + j; });
}

TEST_CASE("F33: a million promises, three sessions to a node") {
  Fixture f(roomy());
  fill(f, 1000, [](std::uint64_t i, std::uint64_t j) { return i / 3 * 1000 + j; });
}
