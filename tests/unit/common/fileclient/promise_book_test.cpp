#include "common/fileclient/promise_book.hpp"

#include "tests/support/test.hpp"

using namespace common;
using namespace common::fileclient;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Taken = PromiseBook::Taken;

namespace {

Fid node(std::uint64_t number) {
  return {VolumeId{1}, NodeId{number}};
}

NodeVersion at(std::uint64_t seq, std::uint64_t epoch = 1) {
  return {Epoch{epoch}, Seq{seq}};
}

// A book with a session and a stream, a lease of ten seconds begun now.
struct Fixture {
  explicit Fixture(const BookOptions& options = {}) : book(options) { open(); }

  void open() {
    book.opened();
    book.hello_sent(now);
    book.on_welcome(seconds(10), now, effects);
  }
  Taken reply(const CallInFlight& call, std::uint64_t clock, std::uint64_t number,
              NodeVersion version, bool granted = true) {
    return book.take(call, clock, node(number), version, granted);
  }
  Taken reply(std::uint64_t clock, std::uint64_t number, NodeVersion version) {
    return reply(book.begin_call(), clock, number, version);
  }
  void broken(std::uint64_t number, std::uint64_t clock,
              std::initializer_list<std::uint64_t> numbers) {
    std::vector<BrokenNode> nodes;
    for (const std::uint64_t n : numbers)
      nodes.push_back({node(n), 1});
    book.on_break(number, clock, nodes, effects);
  }
  bool promised(std::uint64_t number) const { return book.promised(node(number), now); }
  void advance(milliseconds by) {
    now += by;
    book.on_time(now, effects);
  }
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
  // The ids of what is to be withdrawn.
  std::vector<Withdrawal> withdrawals() {
    std::vector<Withdrawal> ids;
    for (const auto& w : take<Withdraw>())
      ids.push_back(w.id);
    return ids;
  }
  std::vector<std::uint64_t> acknowledged() {
    std::vector<std::uint64_t> numbers;
    for (const auto& a : take<SendAcknowledge>())
      numbers.push_back(a.number);
    return numbers;
  }

  Instant now{seconds(1000)};
  BookEffects effects;
  PromiseBook book;
};

}  // namespace

TEST_CASE("what a reply grants is promised until the lease is over, counted from the Hello") {
  Fixture f;
  f.book.hello_sent(f.now);
  f.now += seconds(4);
  f.book.on_welcome(seconds(10), f.now, f.effects);
  CHECK(f.reply(1, 10, at(1)) == Taken::Promised);
  CHECK(f.reply(f.book.begin_call(), 0, 11, at(1), false) == Taken::Known);
  CHECK(f.promised(10));
  CHECK_FALSE(f.promised(11));
  f.now += milliseconds(5999);
  CHECK(f.promised(10));
  f.now += milliseconds(1);
  CHECK_FALSE(f.promised(10));
  CHECK(f.book.known(node(10)) == at(1));
  f.advance(milliseconds(0));
  CHECK(f.take<WithdrawAll>().size() == 1);
}

TEST_CASE("a renewal counts from when it was sent") {
  Fixture f;
  f.reply(1, 10, at(1));
  f.advance(milliseconds(3334));
  const auto sent = f.take<SendRenewal>();
  REQUIRE(sent.size() == 1);
  f.now += seconds(5);
  f.book.on_renewed(sent[0].number, f.now);
  f.book.on_renewed(sent[0].number, f.now);
  f.book.on_renewed(sent[0].number + 7, f.now);
  CHECK(f.book.lease_end() == Instant(seconds(1000)) + milliseconds(13'334));
  f.book.stream_down();
  CHECK(f.promised(10));
  f.now = f.book.lease_end();
  CHECK_FALSE(f.promised(10));
}

TEST_CASE("a break that overtakes the reply voids its grant, and a later one counts") {
  Fixture f;
  const auto early = f.book.begin_call();
  f.broken(1, 7, {10});
  CHECK(f.reply(early, 7, 10, at(1)) == Taken::Known);
  CHECK_FALSE(f.promised(10));
  CHECK(f.reply(early, 7, 11, at(1)) == Taken::Promised);
  CHECK(f.reply(8, 10, at(2)) == Taken::Promised);
}

TEST_CASE("R18: a book never goes backwards, also not with a grant") {
  Fixture f;
  CHECK(f.reply(1, 10, at(5, 2)) == Taken::Promised);
  CHECK(f.reply(9, 10, at(4, 2)) == Taken::Older);
  CHECK(f.reply(9, 10, at(8, 1)) == Taken::Older);
  CHECK(f.book.known(node(10)) == at(5, 2));
  CHECK(f.promised(10));
  // What is newer comes without a grant: the old one was of what is no more.
  CHECK(f.reply(f.book.begin_call(), 0, 10, at(6, 2), false) == Taken::Known);
  CHECK_FALSE(f.promised(10));
  CHECK(f.reply(10, 10, at(1, 3)) == Taken::Promised);
}

TEST_CASE("a break is acknowledged when it is withdrawn, together with those before it") {
  Fixture f;
  f.reply(1, 10, at(1));
  f.reply(2, 11, at(1));
  f.broken(1, 5, {10});
  f.broken(2, 5, {11});
  CHECK_FALSE(f.promised(10));
  const auto ids = f.withdrawals();
  REQUIRE(ids.size() == 2);
  CHECK(f.acknowledged().empty());
  f.book.withdrawn(ids[1], f.effects);
  CHECK(f.acknowledged().empty());
  f.book.withdrawn(ids[0], f.effects);
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{2});
  f.book.withdrawn(ids[0], f.effects);
  CHECK(f.acknowledged().empty());
}

TEST_CASE("R29: what flushes is acknowledged by its own number") {
  Fixture f;
  f.broken(1, 5, {10});
  f.broken(2, 5, {11});
  const auto ids = f.withdrawals();
  f.book.withdrawn(ids[1], f.effects);
  f.book.withdrawn_flushing(ids[0], seconds(3), f.effects);
  const auto flushing = f.take<SendFlushing>();
  REQUIRE(flushing.size() == 1);
  CHECK(flushing[0].number == 1);
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{2});
  // Again on another stream: it still flushes, and the other is done.
  f.book.stream_down();
  f.book.hello_sent(f.now);
  f.book.on_welcome(seconds(10), f.now, f.effects);
  f.broken(1, 5, {10});
  CHECK(f.take<SendFlushing>().size() == 1);
  CHECK(f.acknowledged().empty());
  f.book.flushed(ids[0], f.effects);
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{1});
}

TEST_CASE("a break that comes again is acknowledged when it has been withdrawn, not before") {
  Fixture f;
  f.broken(1, 5, {10});
  const auto ids = f.withdrawals();
  f.book.stream_down();
  f.book.withdrawn(ids[0], f.effects);
  CHECK(f.acknowledged().empty());  // there is no stream
  f.broken(2, 6, {11});
  const auto more = f.withdrawals();
  f.book.hello_sent(f.now);
  f.book.on_welcome(seconds(10), f.now, f.effects);
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{1});
  f.broken(1, 5, {10});
  f.broken(2, 6, {11});
  CHECK(f.withdrawals().empty());
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{1});
  f.book.withdrawn(more[0], f.effects);
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{2});
}

TEST_CASE("a break of everything withdraws everything that was granted up to it") {
  Fixture f;
  f.reply(1, 10, at(1));
  const auto early = f.book.begin_call();
  f.broken(1, 5, {});
  CHECK_FALSE(f.promised(10));
  CHECK(f.reply(early, 5, 11, at(1)) == Taken::Known);
  const auto all = f.take<WithdrawAll>();
  REQUIRE(all.size() == 1);
  f.book.withdrawn(all[0].id, f.effects);
  CHECK(f.acknowledged() == std::vector<std::uint64_t>{1});
  CHECK(f.reply(6, 10, at(1)) == Taken::Promised);
}

TEST_CASE("a change withdraws what it names up to what it says that it has seen") {
  Fixture f;
  f.reply(3, 10, at(1));
  const auto early = f.book.begin_call();
  const std::vector<Fid> named = {node(10)};
  CHECK(f.book.begin_change(named) == 3);
  const auto call = f.book.begin_call();
  CHECK_FALSE(f.promised(10));
  CHECK(f.reply(early, 3, 10, at(1)) == Taken::Known);
  // Granted after what it has seen: the server asks for that one.
  CHECK(f.reply(early, 4, 10, at(1)) == Taken::Promised);
  f.book.change_answered(call, 6, named);
  CHECK_FALSE(f.promised(10));
  CHECK(f.reply(call, 6, 10, at(2)) == Taken::Promised);
}

TEST_CASE(
    "a lost session is opened again only when all is withdrawn, and its replies grant nothing") {
  Fixture f;
  f.reply(1, 10, at(1));
  const auto early = f.book.begin_call();
  f.broken(1, 5, {11});
  const auto ids = f.withdrawals();
  f.book.session_lost(f.now, f.effects);
  f.book.session_lost(f.now, f.effects);
  CHECK_FALSE(f.promised(10));
  CHECK_FALSE(f.book.is_open());
  const auto all = f.take<WithdrawAll>();
  REQUIRE(all.size() == 1);
  f.book.withdrawn(ids[0], f.effects);
  CHECK(f.acknowledged().empty());
  CHECK(f.take<MayOpen>().empty());
  f.book.withdrawn(all[0].id, f.effects);
  CHECK(f.take<MayOpen>().size() == 1);
  const auto between = f.book.begin_call();
  f.open();
  CHECK(f.reply(early, 900, 10, at(1)) == Taken::Known);
  CHECK(f.reply(between, 900, 10, at(1)) == Taken::Known);
  CHECK(f.book.to_revalidate(10).size() == 1);
  CHECK(f.book.begin_change({}) == 0);
  CHECK(f.reply(1, 10, at(1)) == Taken::Promised);
  CHECK(f.book.to_revalidate(10).empty());
}

TEST_CASE("a book that is full forgets, and takes nothing late of what it has forgotten") {
  BookOptions options;
  options.nodes = 4;
  Fixture f(options);
  const auto early = f.book.begin_call();
  for (std::uint64_t n = 1; n <= 6; ++n)
    f.reply(n, n, at(7));
  std::size_t promised = 0;
  std::uint64_t forgotten = 0;
  for (std::uint64_t n = 1; n <= 6; ++n) {
    promised += f.promised(n) ? 1 : 0;
    if (!f.promised(n))
      forgotten = n;
  }
  CHECK(promised == 4);
  CHECK(f.reply(early, 50, forgotten, at(1)) == Taken::Older);
  CHECK(f.reply(50, forgotten, at(7)) == Taken::Promised);
}

namespace {

// Room for two nodes: whoever learns of four more has forgotten the rest.
struct SmallBook : Fixture {
  SmallBook() : Fixture(BookOptions{.nodes = 2}) {}
  void forget_all() {
    for (const std::uint64_t n : {1000, 1001, 1002, 1003})
      reply(0, n, at(1));
  }
};

}  // namespace

TEST_CASE("R18: a change's answer that a break has overtaken grants nothing, forgotten or not") {
  SmallBook f;
  const auto change = f.book.begin_call();
  f.broken(1, 183, {10});
  f.forget_all();
  const std::vector<Fid> touched = {node(10)};
  f.book.change_answered(change, 182, touched);
  CHECK(f.reply(change, 182, 10, at(5)) != Taken::Promised);
  CHECK_FALSE(f.promised(10));
}

TEST_CASE("R18: a reply that a break has overtaken grants nothing, also on what was learnt anew") {
  SmallBook f;
  const auto early = f.book.begin_call();
  SUBCASE("the break was of one node") {
    f.broken(1, 183, {10});
  }
  SUBCASE("a change of this mount has withdrawn it") {
    const std::vector<Fid> named = {node(10)};
    f.reply(f.book.begin_call(), 183, 11, at(1), false);
    CHECK(f.book.begin_change(named) == 183);
  }
  f.forget_all();
  // Asked for again, and not granted.
  CHECK(f.reply(f.book.begin_call(), 190, 10, at(5), false) == Taken::Known);
  CHECK(f.reply(early, 182, 10, at(5)) == Taken::Known);
  CHECK_FALSE(f.promised(10));
  CHECK(f.reply(191, 10, at(5)) == Taken::Promised);
  // Another session counts anew.
  f.book.session_lost(f.now, f.effects);
  f.open();
  f.forget_all();
  CHECK(f.reply(1, 10, at(5)) == Taken::Promised);
}

TEST_CASE("an update is a reply that nobody asked for") {
  Fixture f;
  f.reply(1, 10, at(1));
  f.broken(1, 3, {10});
  CHECK(f.book.take_update(4, node(10), at(2), true) == Taken::Promised);
  CHECK(f.promised(10));
  CHECK(f.book.take_update(3, node(10), at(1), true) == Taken::Older);
}
