#include "common/tls/openssl_error.hpp"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <array>
#include <ctime>

namespace common::tls {
namespace {

WallTime to_wall_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1)
    return WallTime{};
  return WallTime{
      std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds{::timegm(&parts)})};
}

}  // namespace

std::string take_openssl_text() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0)
    return "unknown";
  const char* reason = ERR_reason_error_string(code);
  if (reason != nullptr)
    return reason;
  std::array<char, 160> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

WallTime not_before_of(x509_st* certificate) {
  return to_wall_time(X509_get0_notBefore(certificate));
}

WallTime not_after_of(x509_st* certificate) {
  return to_wall_time(X509_get0_notAfter(certificate));
}

std::string date_text(WallTime time) {
  const std::time_t seconds =
      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 16> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d", &parts);
  return text.data();
}

Error certificate_error(long verify_result, std::string_view whom, x509_st* certificate) {
  switch (verify_result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Error{
          ErrorCode::Expired,
          fmt::format("the certificate of {} expired{}; issue a new one, or set this machine's "
                      "clock right: it shows {}",
                      whom,
                      certificate == nullptr ? "" : " on " + date_text(not_after_of(certificate)),
                      date_text(SystemClock().wall_now()))};
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Error{
          ErrorCode::Expired,
          fmt::format(
              "the certificate of {} is {}; set this machine's clock right: it shows {}", whom,
              certificate == nullptr ? "not valid yet"
                                     : "valid only from " + date_text(not_before_of(certificate)),
              date_text(SystemClock().wall_now()))};
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return Error{
          ErrorCode::Unauthenticated,
          fmt::format("the server that answered for {} has a certificate for another name", whom)};
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Error{
          ErrorCode::Unauthenticated,
          fmt::format("the certificate of {} was not issued by this cell's authority", whom)};
    default:
      return Error{ErrorCode::Unauthenticated,
                   fmt::format("the certificate of {} is not acceptable: {}", whom,
                               X509_verify_cert_error_string(verify_result))};
  }
}

Error alert_error(int alert, std::string_view whom) {
  switch (alert) {
    case SSL_AD_CERTIFICATE_EXPIRED:
      return Error{ErrorCode::Expired,
                   fmt::format("{} says that our certificate has expired", whom)};
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return Error{ErrorCode::Unauthenticated,
                   fmt::format("{} does not accept our certificate; is it of another cell?", whom)};
    case SSL_AD_CERTIFICATE_REQUIRED:
      return Error{ErrorCode::Unauthenticated,
                   fmt::format("{} wants a client certificate and we have none", whom)};
    case SSL_AD_PROTOCOL_VERSION:
      return Error{ErrorCode::Unsupported, fmt::format("{} does not speak TLS 1.3", whom)};
    default:
      return Error{ErrorCode::Protocol,
                   fmt::format("{} ended the TLS session with alert {}", whom, alert)};
  }
}

}  // namespace common::tls
