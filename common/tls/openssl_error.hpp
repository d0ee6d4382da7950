#pragma once

// OpenSSL's failures as sentences. Internal to common/tls.

#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/result.hpp"

struct x509_st;

namespace common::tls {

// Takes this thread's oldest OpenSSL error as text and empties the queue; "unknown" if there is
// none.
std::string take_openssl_text();

// What a certificate check (X509_V_ERR_...) found wrong with the certificate of `whom`. Its days
// are left out where `certificate` is null: OpenSSL keeps no peer's that it has refused. The clock
// that it was judged by is told, since that may as well be what is wrong.
Error certificate_error(long verify_result, std::string_view whom, x509_st* certificate);

// The peer ended the session with this alert.
Error alert_error(int alert, std::string_view whom);

// "2026-11-21", for sentences.
std::string date_text(WallTime time);

// When the certificate begins and ends.
WallTime not_before_of(x509_st* certificate);
WallTime not_after_of(x509_st* certificate);

}  // namespace common::tls
