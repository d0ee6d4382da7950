#include "common/stream/admission.hpp"

#include "tests/support/test.hpp"

namespace {

using namespace common::stream;
using namespace std::chrono_literals;
using common::Duration;
using common::Instant;

AddressKey address(std::uint8_t last) {
  AddressKey key{};
  key[15] = last;
  return key;
}
const Instant kStart = Instant(Duration(1s));

TEST_CASE("F50 one address cannot take more than its share") {
  Admission admission({.streams = 10, .streams_per_address = 3});
  for (std::uint64_t id = 1; id <= 3; ++id) {
    REQUIRE(admission.judge(address(1), kStart) == Verdict::Admit);
    admission.handshake_begins(id, address(1), kStart);
    admission.handshake_ended(id);
  }
  CHECK(admission.judge(address(1), kStart) == Verdict::RefuseAddress);
  CHECK(admission.judge(address(2), kStart) == Verdict::Admit);
  admission.left(2);
  CHECK(admission.judge(address(1), kStart) == Verdict::Admit);
}

TEST_CASE("the cap in all holds over any number of addresses") {
  Admission admission({.streams = 4, .streams_per_address = 3});
  for (std::uint8_t i = 1; i <= 4; ++i)
    admission.handshake_begins(i, address(i), kStart);
  CHECK(admission.judge(address(9), kStart) == Verdict::RefuseFull);
  for (std::uint8_t i = 1; i <= 4; ++i)
    admission.left(i);
  CHECK(admission.connections() == 0);
  CHECK(admission.handshakes() == 0);
  CHECK(admission.judge(address(9), kStart) == Verdict::Admit);
}

TEST_CASE("F51 an honest dial behind a backlog of silent ones is admitted within two seconds") {
  Admission admission({});
  // 100 addresses have filled the backlog and go on dialling; nobody of them ever says a word.
  std::uint64_t id = 0;
  Instant at = kStart;
  for (int ahead = 0; ahead < 4096; ++ahead) {
    const AddressKey from = address(static_cast<std::uint8_t>(1 + ahead % 100));
    while (admission.must_wait(at))
      at = admission.patience_ends();
    if (const auto old = admission.evict(at))
      admission.left(*old);
    if (admission.judge(from, at) == Verdict::Admit)
      admission.handshake_begins(++id, from, at);
  }
  while (admission.must_wait(at))
    at = admission.patience_ends();
  if (const auto old = admission.evict(at))
    admission.left(*old);
  CHECK(admission.judge(address(200), at) == Verdict::Admit);
  CHECK(at - kStart < 2s);
}

TEST_CASE("F51 handshakes are bounded, and a silent one makes room after a second") {
  Admission admission({.handshakes = 2, .handshakes_per_address = 1, .patience = 1'000ms});
  admission.handshake_begins(1, address(1), kStart);
  CHECK(admission.judge(address(1), kStart) == Verdict::RefuseAddress);
  admission.handshake_begins(2, address(2), kStart + 100ms);
  CHECK(admission.judge(address(3), kStart + 100ms) == Verdict::Wait);
  CHECK(admission.must_wait(kStart + 999ms));
  CHECK(admission.patience_ends() == kStart + 1s);
  CHECK_FALSE(admission.must_wait(kStart + 1s));
  CHECK(admission.evict(kStart + 1s) == 1);
  admission.left(1);
  CHECK(admission.judge(address(3), kStart + 1s) == Verdict::Admit);
  CHECK_FALSE(admission.evict(kStart + 1s));
}

TEST_CASE("a finished handshake frees its slot but not its place") {
  Admission admission({.streams = 1, .handshakes = 1});
  admission.handshake_begins(1, address(1), kStart);
  admission.handshake_ended(1);
  admission.handshake_ended(1);
  CHECK(admission.handshakes() == 0);
  CHECK(admission.connections() == 1);
  CHECK(admission.judge(address(2), kStart) == Verdict::RefuseFull);
}

}  // namespace
