#include "replication/position.hpp"

#include <vector>

#include "tests/support/test.hpp"

using common::Epoch;
using common::Seq;
using namespace replication;

namespace {

constexpr Position at(std::uint64_t epoch, std::uint64_t seq) {
  return {Epoch(epoch), Seq(seq)};
}

}  // namespace

TEST_CASE("the epoch counts before the number") {
  CHECK(at(1, 5) < at(1, 6));
  CHECK(at(1, 900) < at(2, 3));
  CHECK(at(2, 3) == at(2, 3));
}

TEST_CASE("a replica that lacks the end of the same history fetches it") {
  CHECK(compare(at(3, 10), at(3, 10), Seq(5)) == Follow::Nothing);
  CHECK(compare(at(3, 9), at(3, 10), Seq(5)) == Follow::Fetch);
  // It stopped before the epoch changed, so nothing it has can be foreign.
  CHECK(compare(at(2, 5), at(3, 10), Seq(5)) == Follow::Fetch);
}

TEST_CASE("a former primary rolls back what nobody else acknowledged") {
  CHECK(compare(at(2, 6), at(3, 10), Seq(5)) == Follow::RollBack);
  // Also where its numbers run further than the new primary's.
  CHECK(compare(at(2, 40), at(3, 10), Seq(5)) == Follow::RollBack);
  // Also where it slept through several epochs: epoch 1 ended at 3, whatever came after.
  CHECK(compare(at(1, 5), at(3, 10), Seq(3)) == Follow::RollBack);
}

TEST_CASE("nobody follows a server that is behind") {
  CHECK(compare(at(3, 11), at(3, 10), Seq(5)) == Follow::Refuse);
  CHECK(compare(at(4, 1), at(3, 10), Seq(5)) == Follow::Refuse);
}

TEST_CASE("what a majority has reached is the lowest of the highest") {
  const std::vector<Position> three{at(2, 9), at(3, 4), at(3, 7)};
  CHECK(reached_by(three, 2) == at(3, 4));
  CHECK(reached_by(three, 1) == at(3, 7));
  CHECK(reached_by(three, 3) == at(2, 9));
  CHECK_FALSE(reached_by(three, 4));
  CHECK_FALSE(reached_by(three, 0));
  CHECK_FALSE(reached_by({}, 1));
}

TEST_CASE("a position is shown as epoch and number") {
  CHECK(to_string(at(3, 17)) == "3.17");
}
