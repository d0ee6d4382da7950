#include <arpa/inet.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "common/crypto/certificate_access.hpp"
#include "common/crypto/certificates.hpp"
#include "common/crypto/openssl.hpp"
#include "common/crypto/random.hpp"

namespace common::crypto {
namespace {

constexpr std::size_t kMaxDnsName = 253;
constexpr std::size_t kMaxCommonName = 64;  // X.520's own limit
constexpr std::size_t kMaxRequested = 32;

tl::unexpected<Error> build_failure() {
  return openssl::failure(ErrorCode::Internal, "build a certificate");
}

bool add_extension(X509* certificate, X509V3_CTX* context, int kind, const std::string& value) {
  const openssl::X509Extension extension(
      X509V3_EXT_conf_nid(nullptr, context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// 127 random bits: unguessable, positive, and within the 20 octets that X.509 allows.
Status set_serial(X509* certificate) {
  std::array<std::byte, 16> bytes{};
  TROTH_TRY_VOID(random_bytes(bytes));
  bytes[0] = (bytes[0] & std::byte{0x7F}) | std::byte{0x40};  // fixed length, never zero
  const openssl::Bignum number(
      BN_bin2bn(openssl::data(ByteView(bytes)), static_cast<int>(bytes.size()), nullptr));
  if (!number || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return build_failure();
  }
  return {};
}

Status set_times(X509* certificate, WallTime from, WallTime to) {
  const auto seconds = [](WallTime time) {
    return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  };
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(from)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(to)) == nullptr) {
    return build_failure();
  }
  return {};
}

Status set_subject(X509* certificate, std::string_view name) {
  if (name.empty() || name.size() > kMaxCommonName) {
    return fail(ErrorCode::InvalidArgument, "a certificate's name has 1 to {} bytes",
                kMaxCommonName);
  }
  if (X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                 openssl::data(as_bytes(name)), static_cast<int>(name.size()), -1,
                                 0) != 1) {
    return build_failure();
  }
  return {};
}

bool good_dns_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxDnsName && name.front() != '.' &&
         name.front() != '-' && name.back() != '-' && name.find("..") == name.npos &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-' || c == '_';
         });
}

// The names are put together by hand: text syntax ("DNS:a,IP:b") would let a name inject another.
bool push_name(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
  GENERAL_NAME* name = value == nullptr ? nullptr : GENERAL_NAME_new();
  if (name == nullptr) {
    ASN1_STRING_free(value);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, value);
  if (sk_GENERAL_NAME_push(names, name) != 0)
    return true;
  GENERAL_NAME_free(name);
  return false;
}

ASN1_STRING* string_of(int type, ByteView bytes) {
  ASN1_STRING* text = ASN1_STRING_type_new(type);
  if (text != nullptr && ASN1_STRING_set(text, bytes.data(), static_cast<int>(bytes.size())) != 1) {
    ASN1_STRING_free(text);
    return nullptr;
  }
  return text;
}

Status push_address(GENERAL_NAMES* names, const std::string& address) {
  std::array<std::byte, 16> bytes{};
  std::size_t size = 0;
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) {
    size = 4;
  } else if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) {
    size = 16;
  } else {
    return fail(ErrorCode::InvalidArgument, "'{}' is not an IPv4 or IPv6 address", address);
  }
  if (!push_name(names, GEN_IPADD, string_of(V_ASN1_OCTET_STRING, ByteView(bytes).first(size)))) {
    return build_failure();
  }
  return {};
}

Status set_names(X509* certificate, const CertificateRequest& request) {
  if (request.dns_names.size() + request.addresses.size() > kMaxRequested) {
    return fail(ErrorCode::TooLarge, "a certificate has at most {} names", kMaxRequested);
  }
  const openssl::GeneralNames names(sk_GENERAL_NAME_new_null());
  if (!names)
    return build_failure();
  for (const std::string& name : request.dns_names) {
    if (!good_dns_name(name)) {
      return fail(ErrorCode::InvalidArgument, "'{}' is not a host name", name);
    }
    if (!push_name(names.get(), GEN_DNS, string_of(V_ASN1_IA5STRING, as_bytes(name)))) {
      return build_failure();
    }
  }
  for (const std::string& address : request.addresses) {
    TROTH_TRY_VOID(push_address(names.get(), address));
  }
  TROTH_TRY(const std::string uri, to_uri(request.identity));
  if (!push_name(names.get(), GEN_URI, string_of(V_ASN1_IA5STRING, as_bytes(uri))) ||
      X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) !=
          1) {
    return build_failure();
  }
  return {};
}

// What both kinds of certificate have. The issuer's name must be set afterwards.
Result<openssl::X509Ptr> start(EVP_PKEY* key, std::string_view subject, WallTime from,
                               WallTime to) {
  openssl::X509Ptr certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return build_failure();
  }
  TROTH_TRY_VOID(set_serial(certificate.get()));
  TROTH_TRY_VOID(set_times(certificate.get(), from, to));
  TROTH_TRY_VOID(set_subject(certificate.get(), subject));
  return certificate;
}

}  // namespace

Result<CertificateAndKey> create_authority(std::string_view cell_name, WallTime now,
                                           std::chrono::seconds validity) {
  TROTH_TRY(PrivateKey key, PrivateKey::generate());
  TROTH_TRY(openssl::X509Ptr made, start(key.native(), fmt::format("Troth cell {}", cell_name),
                                         now - kClockAllowance, now + validity));
  X509* certificate = made.get();
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  if (X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1 ||
      !add_extension(certificate, &context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(certificate, &context, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(certificate, &context, NID_subject_key_identifier, "hash") ||
      X509_sign(certificate, key.native(), EVP_sha256()) == 0) {
    return build_failure();
  }
  return CertificateAndKey{CertificateAccess::wrap(std::move(made)), std::move(key)};
}

Result<Certificate> issue_certificate(const CertificateAndKey& authority,
                                      const CertificateRequest& request, const PrivateKey& key,
                                      WallTime now) {
  if (request.validity < std::chrono::minutes(1) || request.validity > kMaxValidity) {
    return fail(ErrorCode::InvalidArgument, "a certificate is valid for 1 minute to {} days",
                kMaxValidity.count());
  }
  X509* issuer = authority.certificate.native();
  TROTH_TRY(const WallTime authority_end, from_asn1_time(X509_get0_notAfter(issuer)));
  if (authority_end <= now) {
    return fail(ErrorCode::Expired, "the cell's authority expired on {}",
                format_time(authority_end));
  }
  const std::string subject = fmt::format("{} {}", request.identity.role, request.identity.name);
  TROTH_TRY(openssl::X509Ptr made,
            start(key.native(), subject.substr(0, kMaxCommonName), now - kClockAllowance,
                  std::min(WallTime(now + request.validity), authority_end)));
  X509* certificate = made.get();
  TROTH_TRY_VOID(set_names(certificate, request));
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  if (X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
      !add_extension(certificate, &context, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate, &context, NID_key_usage, "critical,digitalSignature") ||
      !add_extension(certificate, &context, NID_ext_key_usage, "serverAuth,clientAuth") ||
      !add_extension(certificate, &context, NID_subject_key_identifier, "hash") ||
      !add_extension(certificate, &context, NID_authority_key_identifier, "keyid:always") ||
      X509_sign(certificate, authority.key.native(), EVP_sha256()) == 0) {
    return build_failure();
  }
  return CertificateAccess::wrap(std::move(made));
}

Result<CertificateAndKey> issue_certificate(const CertificateAndKey& authority,
                                            const CertificateRequest& request, WallTime now) {
  TROTH_TRY(PrivateKey key, PrivateKey::generate());
  TROTH_TRY(Certificate certificate, issue_certificate(authority, request, key, now));
  return CertificateAndKey{std::move(certificate), std::move(key)};
}

Result<CertificateRequest> request_like(const Certificate& certificate) {
  TROTH_TRY(CertificateInfo info, certificate.inspect());
  if (!info.identity) {
    return fail(ErrorCode::InvalidArgument,
                "the certificate of '{}' names no role in a cell, so it cannot be renewed here",
                info.subject);
  }
  const auto length =
      std::chrono::floor<std::chrono::seconds>(info.not_after - info.not_before) - kClockAllowance;
  return CertificateRequest{
      .identity = std::move(*info.identity),
      .dns_names = std::move(info.dns_names),
      .addresses = std::move(info.addresses),
      .validity = std::clamp<std::chrono::seconds>(length, std::chrono::minutes(1), kMaxValidity)};
}

}  // namespace common::crypto
