#pragma once

// When to tell people that a certificate runs out. Pure: time is a parameter.

#include <optional>
#include <string>

#include "common/clock.hpp"

namespace common::daemon {

enum class CertificateUrgency : std::uint8_t {
  None,
  Soon,     // at most 30 days
  Near,     // at most 7 days
  Last,     // at most 1 day
  Expired,  // over: nobody can connect any more
};

struct CertificateValidity {
  WallTime not_before{};
  WallTime not_after{};
};

// Certificates that live for less than 90 days are not urgent for a third of their life and more:
// for them the first step comes when a third is left.
CertificateUrgency certificate_urgency(const CertificateValidity& validity, WallTime now);

// Remembers what was said: each step is worth one message, repeated once a day while it lasts, and
// a renewed certificate starts over. Main thread.
class CertificateAlarm {
 public:
  // The urgency to report now, or nothing.
  std::optional<CertificateUrgency> on(const CertificateValidity& validity, WallTime now);

 private:
  CertificateUrgency said_ = CertificateUrgency::None;
  WallTime said_at_{};
};

}  // namespace common::daemon
