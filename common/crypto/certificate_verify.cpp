#include <algorithm>

#include "common/crypto/certificate_access.hpp"
#include "common/crypto/certificates.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {
namespace {

std::string names_of(const CertificateInfo& info) {
  std::string all;
  for (const auto* list : {&info.dns_names, &info.addresses}) {
    for (const std::string& name : *list)
      all += (all.empty() ? "" : ", ") + name;
  }
  return all.empty() ? "no host" : all;
}

Status check_times(const CertificateInfo& info, WallTime now) {
  if (now > info.not_after) {
    return fail(ErrorCode::Expired, "the certificate of '{}' expired on {}", info.subject,
                format_time(info.not_after));
  }
  if (now < info.not_before) {
    return fail(ErrorCode::Expired,
                "the certificate of '{}' is valid only from {}; check this machine's clock",
                info.subject, format_time(info.not_before));
  }
  return {};
}

// Signatures, extensions and uses; the times were checked before, with better sentences.
Status check_chain(X509* certificate, const CertificateInfo& info, X509* authority, WallTime now) {
  const openssl::X509Store store(X509_STORE_new());
  const openssl::X509StoreCtx context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), authority) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate, nullptr) != 1) {
    return openssl::failure(ErrorCode::Internal, "verify a certificate");
  }
  X509_STORE_CTX_set_time(context.get(), 0,
                          std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context.get()), X509_V_FLAG_X509_STRICT);
  if (X509_verify_cert(context.get()) == 1)
    return {};
  const int reason = X509_STORE_CTX_get_error(context.get());
  (void)openssl::failure(ErrorCode::Internal, "");  // empties the error queue
  if (reason == X509_V_ERR_CERT_HAS_EXPIRED) {
    return fail(ErrorCode::Expired, "the authority that signed '{}' has expired", info.subject);
  }
  if (reason == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
      reason == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
      reason == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
      reason == X509_V_ERR_CERT_SIGNATURE_FAILURE) {
    return fail(ErrorCode::Unauthenticated,
                "the certificate of '{}' was not signed by this cell's authority (issuer: '{}')",
                info.subject, info.issuer);
  }
  return fail(ErrorCode::Unauthenticated, "the certificate of '{}' is not acceptable: {}",
              info.subject, X509_verify_cert_error_string(reason));
}

Status check_reached_at(X509* certificate, const CertificateInfo& info, std::string_view host) {
  if (host.empty())
    return {};
  const std::string name(host);
  if (X509_check_ip_asc(certificate, name.c_str(), 0) == 1 ||
      X509_check_host(certificate, name.data(), name.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                      nullptr) == 1) {
    return {};
  }
  return fail(ErrorCode::PermissionDenied, "the certificate is for {}, not for '{}'",
              names_of(info), host);
}

Status check_identity(const CertificateInfo& info, const VerifyOptions& options) {
  if (options.cell_id.empty() && options.role.empty())
    return {};
  if (!info.identity) {
    return fail(ErrorCode::PermissionDenied, "the certificate of '{}' names no role in a cell",
                info.subject);
  }
  if (!options.cell_id.empty() && info.identity->cell_id != options.cell_id) {
    return fail(ErrorCode::PermissionDenied, "the certificate is for cell {}, not for {}",
                info.identity->cell_id, options.cell_id);
  }
  if (!options.role.empty() && info.identity->role != options.role) {
    return fail(ErrorCode::PermissionDenied, "the certificate is for a {}, not for a {}",
                info.identity->role, options.role);
  }
  return {};
}

}  // namespace

Status verify_certificate(const Certificate& certificate, const Certificate& authority,
                          const VerifyOptions& options) {
  TROTH_TRY(const CertificateInfo info, certificate.inspect());
  TROTH_TRY_VOID(check_times(info, options.now));
  TROTH_TRY_VOID(check_chain(certificate.native(), info, authority.native(), options.now));
  TROTH_TRY_VOID(check_reached_at(certificate.native(), info, options.reached_at));
  return check_identity(info, options);
}

}  // namespace common::crypto
