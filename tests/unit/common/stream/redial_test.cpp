#include "common/stream/redial.hpp"

#include <random>

#include "tests/support/test.hpp"

namespace {

using common::Duration;
using common::stream::Redial;
using namespace std::chrono_literals;

TEST_CASE("the first re-dial is spread over ten seconds, so that a restart is not a storm") {
  std::mt19937_64 random(3);
  int in_second[10] = {};
  for (int mount = 0; mount < 10'000; ++mount) {
    Redial redial({});
    const Duration pause = redial.failed(random(), 0ms);
    REQUIRE(pause <= 10s);
    ++in_second[std::min<std::int64_t>(pause / 1s, 9)];
  }
  for (int dialing : in_second)
    CHECK(dialing > 800);
}

TEST_CASE("pauses grow to a ceiling and begin anew after success") {
  Redial redial({});
  CHECK(redial.failed(0, 0ms) == 50ms);
  CHECK(redial.failed(0, 0ms) == 10s);
  CHECK(redial.failed(0, 0ms) == 20s);
  for (int i = 0; i < 5000; ++i)
    CHECK(redial.failed(UINT64_MAX, 0ms) <= 60s);
  CHECK(redial.failed(0, 0ms) == 30s);
  redial.succeeded();
  CHECK(redial.failed(0, 0ms) == 50ms);
}

TEST_CASE("what the server asks for is a lower bound, up to a sane one") {
  Redial redial({});
  CHECK(redial.failed(0, 5s) >= 5s);
  CHECK(redial.failed(0, std::chrono::milliseconds(UINT32_MAX)) <= 11min);
}

}  // namespace
