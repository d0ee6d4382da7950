#include "common/daemon/certificate_alarm.hpp"

#include <algorithm>
#include <chrono>

namespace common::daemon {

using std::chrono::days;

CertificateUrgency certificate_urgency(const CertificateValidity& validity, WallTime now) {
  const Duration left = validity.not_after - now;
  const Duration third = (validity.not_after - validity.not_before) / 3;
  if (left <= Duration{0})
    return CertificateUrgency::Expired;
  if (left <= days{1})
    return CertificateUrgency::Last;
  if (left <= days{7})
    return CertificateUrgency::Near;
  if (left <= std::min<Duration>(days{30}, third))
    return CertificateUrgency::Soon;
  return CertificateUrgency::None;
}

std::optional<CertificateUrgency> CertificateAlarm::on(const CertificateValidity& validity,
                                                       WallTime now) {
  const CertificateUrgency urgency = certificate_urgency(validity, now);
  const bool repeat = now - said_at_ >= days{1} || now < said_at_;
  const bool say = urgency > said_ || (urgency == said_ && repeat);
  const bool worse = urgency != CertificateUrgency::None && say;
  if (worse)
    said_at_ = now;
  said_ = urgency;
  if (!worse)
    return std::nullopt;
  return urgency;
}

}  // namespace common::daemon
