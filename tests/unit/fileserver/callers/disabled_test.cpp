// What a file server knows of who is disabled, and how it hears of it.

#include <map>

#include <nlohmann/json.hpp>

#include "common/wire/binary.hpp"
#include "fileserver/callers/disabled_watch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using common::Result;
using common::auth::DisabledNews;
using fileserver::DisabledList;
using fileserver::PrincipalId;
using Ids = std::vector<PrincipalId>;

namespace {

Ids ids(std::initializer_list<std::uint32_t> numbers) {
  Ids all;
  for (const std::uint32_t number : numbers)
    all.emplace_back(number);
  return all;
}

// A KDC of which only the answers are there: to what was asked, in order.
struct FakeKdc {
  struct Asked {
    std::optional<std::uint64_t> since;
    PrincipalId after;
  };
  std::vector<Asked> asked;
  std::vector<Result<DisabledNews>> answers;

  DisabledList::Ask ask() {
    return [this](std::optional<std::uint64_t> since, PrincipalId after) -> Result<DisabledNews> {
      asked.push_back({since, after});
      REQUIRE(asked.size() <= answers.size());
      return answers[asked.size() - 1];
    };
  }
  void whole(std::uint64_t version, Ids disabled, std::optional<std::uint32_t> next = {}) {
    DisabledNews news;
    news.version = version;
    news.whole = true;
    news.disabled = std::move(disabled);
    if (next)
      news.next = PrincipalId(*next);
    answers.emplace_back(std::move(news));
  }
  void changed(std::uint64_t version, Ids disabled, Ids enabled) {
    DisabledNews news;
    news.version = version;
    news.disabled = std::move(disabled);
    news.enabled = std::move(enabled);
    answers.emplace_back(std::move(news));
  }
  void silent() { answers.emplace_back(common::fail(ErrorCode::Unavailable, "nobody is there")); }
};

struct Disabled {
  FakeKdc kdc;
  DisabledList list;
  common::Instant now{std::chrono::hours(100)};
  Result<Ids> refresh() { return list.refresh(kdc.ask(), now); }
  bool has(std::uint32_t id) { return list.has(PrincipalId(id)); }
};

}  // namespace

TEST_CASE_FIXTURE(Disabled, "F41: everybody first, then what has changed") {
  kdc.whole(5, ids({10, 20}));
  CHECK(*refresh() == ids({10, 20}));
  CHECK(has(10));
  CHECK(has(20));
  CHECK_FALSE(has(15));
  kdc.changed(7, ids({15, 20}), ids({10, 11}));
  CHECK(*refresh() == ids({15}));
  CHECK_FALSE(has(10));
  CHECK(has(15));
  CHECK(has(20));
  kdc.changed(7, {}, {});
  CHECK(refresh()->empty());
  REQUIRE(kdc.asked.size() == 3);
  CHECK_FALSE(kdc.asked[0].since);
  CHECK(kdc.asked[1].since == 5U);
  CHECK(kdc.asked[2].since == 7U);
  CHECK(list.size() == 2);
}

TEST_CASE_FIXTURE(Disabled, "F41: while the KDC is silent, what it said last stands") {
  kdc.whole(5, ids({10}));
  REQUIRE_OK(refresh());
  kdc.silent();
  CHECK_FAILS(refresh(), ErrorCode::Unavailable);
  CHECK(has(10));
  kdc.changed(6, {}, ids({10}));
  CHECK_OK(refresh());
  CHECK(kdc.asked[2].since == 5U);
  CHECK_FALSE(has(10));
}

TEST_CASE_FIXTURE(Disabled, "F41: pages of everybody are one list, of the first page's version") {
  kdc.whole(5, ids({10, 20}), 25);
  kdc.whole(6, {}, 40);
  kdc.whole(8, ids({50}));
  CHECK(*refresh() == ids({10, 20, 50}));
  CHECK(kdc.asked[1].after == PrincipalId(25));
  CHECK(kdc.asked[2].after == PrincipalId(40));
  kdc.changed(9, {}, {});
  CHECK_OK(refresh());
  CHECK(kdc.asked[3].since == 5U);
}

TEST_CASE_FIXTURE(Disabled, "F41: a listing that breaks off in the middle changes nothing") {
  kdc.whole(5, ids({10}));
  REQUIRE_OK(refresh());
  now += std::chrono::hours(2);
  kdc.whole(6, ids({11}), 25);
  kdc.silent();
  CHECK_FAILS(refresh(), ErrorCode::Unavailable);
  CHECK(has(10));
  CHECK_FALSE(has(11));
  // Pages that go round would never end.
  kdc.whole(6, ids({11}), 25);
  kdc.whole(6, ids({30}), 25);
  CHECK_FAILS(refresh(), ErrorCode::Protocol);
  CHECK_FALSE(has(30));
}

TEST_CASE_FIXTURE(Disabled, "F41: everybody is asked for again once an hour") {
  kdc.whole(5, ids({10}));
  REQUIRE_OK(refresh());
  now += std::chrono::minutes(59);
  kdc.changed(5, {}, {});
  REQUIRE_OK(refresh());
  now += std::chrono::minutes(1);
  // A database that was put back: the same versions, other people.
  kdc.whole(5, ids({12}));
  CHECK(*refresh() == ids({12}));
  CHECK_FALSE(kdc.asked.back().since);
  CHECK_FALSE(has(10));
}

TEST_CASE_FIXTURE(Disabled, "F41: more disabled than there is room for is a failure") {
  Ids many;
  for (std::uint32_t i = 1; i <= fileserver::kMostDisabled; ++i)
    many.emplace_back(i);
  kdc.whole(5, many);
  REQUIRE_OK(refresh());
  kdc.changed(6, ids({2'000'000}), {});
  CHECK_FAILS(refresh(), ErrorCode::ResourceExhausted);
  CHECK(has(1));
}

TEST_CASE("F41: the watch asks at once and again, tells who is new, and how old its news is") {
  const common::SystemClock clock;
  DisabledList list;
  common::Locked<int> questions;
  common::Locked<Ids> told;
  fileserver::DisabledWatchOptions options;
  options.every = std::chrono::milliseconds(1);
  options.ask = [&](std::optional<std::uint64_t> since, PrincipalId) -> Result<DisabledNews> {
    const int number = ++*questions.lock();
    DisabledNews news;
    news.version = static_cast<std::uint64_t>(number);
    if (number == 1)
      return common::fail(ErrorCode::Unavailable, "not yet");
    news.whole = !since;
    if (number == 3)
      news.disabled = ids({10});
    return news;
  };
  options.told = [&](std::span<const PrincipalId> newly) {
    auto all = told.lock();
    all->insert(all->end(), newly.begin(), newly.end());
  };
  fileserver::DisabledWatch watch(std::move(options), list, clock);
  CHECK(test_support::eventually([&] { return list.has(PrincipalId(10)); }));
  CHECK(test_support::eventually([&] { return *questions.lock() > 5; }));
  CHECK(watch.failures() == 1);
  CHECK_FALSE(watch.trouble());
  CHECK(*told.lock() == ids({10}));
  CHECK(watch.age() >= common::Duration::zero());
  watch.stop();
}

TEST_CASE("F41: what is no answer is not taken for one") {
  const auto decode = [](const nlohmann::json& head, std::initializer_list<std::uint32_t> numbers,
                         std::size_t cut = 0) {
    common::wire::BinaryWriter bytes;
    for (const std::uint32_t number : numbers)
      bytes.u32(number);
    const common::Bytes all = bytes.take();
    // As it comes from a text, where what is not negative is unsigned.
    return common::auth::decode_disabled(nlohmann::json::parse(head.dump()),
                                         common::ByteView(all).first(all.size() - cut));
  };
  const nlohmann::json page = {{"version", 3}, {"whole", true}, {"disabled", 2}};
  nlohmann::json head = page;
  head["next"] = 9;
  const auto good = decode(head, {1, 9});
  REQUIRE_OK(good);
  CHECK(good->disabled == ids({1, 9}));
  CHECK(good->next == PrincipalId(9));
  const auto bad = [&](const nlohmann::json& with, std::initializer_list<std::uint32_t> numbers,
                       std::size_t cut = 0) {
    CAPTURE(with);
    CHECK_FAILS(decode(with, numbers, cut), ErrorCode::Protocol);
  };
  bad(head, {9, 1});
  bad(head, {1, 1});
  bad(head, {1, 10});    // the next page would begin before it
  bad(page, {1});        // fewer than it says
  bad(page, {1, 2, 3});  // enabled ones on a page of everybody
  bad(page, {1, 2}, 1);
  head["next"] = "x";
  bad(head, {1, 2});
  bad({{"version", 3}, {"whole", false}, {"disabled", 0}, {"next", 4}}, {});
  bad({{"whole", true}, {"disabled", 0}}, {});
  CHECK_OK(decode({{"version", 3}, {"whole", false}, {"disabled", 1}}, {5, 2, 7}));
}
