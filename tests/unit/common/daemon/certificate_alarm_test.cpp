#include "common/daemon/certificate_alarm.hpp"

#include "tests/support/test.hpp"

using namespace common::daemon;
using common::WallTime;
using std::chrono::days;
using std::chrono::hours;
using Urgency = CertificateUrgency;

namespace {

const WallTime kEnd{days{20'000}};
const CertificateValidity kYear{kEnd - days{365}, kEnd};
const CertificateValidity kMonth{kEnd - days{30}, kEnd};

}  // namespace

TEST_CASE("urgency grows at 30, 7 and 1 days and at the end") {
  CHECK(certificate_urgency(kYear, kEnd - days{31}) == Urgency::None);
  CHECK(certificate_urgency(kYear, kEnd - days{30}) == Urgency::Soon);
  CHECK(certificate_urgency(kYear, kEnd - days{8}) == Urgency::Soon);
  CHECK(certificate_urgency(kYear, kEnd - days{7}) == Urgency::Near);
  CHECK(certificate_urgency(kYear, kEnd - hours{25}) == Urgency::Near);
  CHECK(certificate_urgency(kYear, kEnd - days{1}) == Urgency::Last);
  CHECK(certificate_urgency(kYear, kEnd - std::chrono::nanoseconds{1}) == Urgency::Last);
  CHECK(certificate_urgency(kYear, kEnd) == Urgency::Expired);
  CHECK(certificate_urgency(kYear, kEnd + days{9}) == Urgency::Expired);
}

TEST_CASE("a certificate for a month is not urgent from its first day") {
  CHECK(certificate_urgency(kMonth, kEnd - days{29}) == Urgency::None);
  CHECK(certificate_urgency(kMonth, kEnd - days{11}) == Urgency::None);
  CHECK(certificate_urgency(kMonth, kEnd - days{10}) == Urgency::Soon);
  CHECK(certificate_urgency(kMonth, kEnd - days{7}) == Urgency::Near);
}

TEST_CASE("each step is said once, then once a day") {
  CertificateAlarm alarm;
  CHECK_FALSE(alarm.on(kYear, kEnd - days{40}));
  CHECK(alarm.on(kYear, kEnd - days{30}) == Urgency::Soon);
  CHECK_FALSE(alarm.on(kYear, kEnd - days{30} + hours{1}));
  CHECK(alarm.on(kYear, kEnd - days{29}) == Urgency::Soon);
  CHECK(alarm.on(kYear, kEnd - days{7}) == Urgency::Near);
  CHECK_FALSE(alarm.on(kYear, kEnd - days{7} + hours{23}));
  CHECK(alarm.on(kYear, kEnd - days{1}) == Urgency::Last);
  CHECK(alarm.on(kYear, kEnd) == Urgency::Expired);
}

TEST_CASE("a renewed certificate ends the alarm, and its own end begins a new one") {
  CertificateAlarm alarm;
  CHECK(alarm.on(kYear, kEnd - hours{5}) == Urgency::Last);
  const CertificateValidity renewed{kEnd - days{1}, kEnd + days{364}};
  CHECK_FALSE(alarm.on(renewed, kEnd - hours{4}));
  CHECK(alarm.on(renewed, renewed.not_after - days{30}) == Urgency::Soon);
}

TEST_CASE("a wall clock set back does not silence the alarm") {
  CertificateAlarm alarm;
  CHECK(alarm.on(kYear, kEnd - days{3}) == Urgency::Near);
  CHECK(alarm.on(kYear, kEnd - days{6}) == Urgency::Near);
}
