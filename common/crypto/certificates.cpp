#include "common/crypto/certificates.hpp"

#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>

#include "common/crypto/certificate_access.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {
namespace {

// A PEM file of ours has well under 2 KiB.
constexpr std::size_t kMaxPem = std::size_t{64} * 1024;
constexpr std::size_t kMaxIdentityPart = 64;
// More names than any node has; bounds what a hostile certificate costs.
constexpr int kMaxNames = 64;

// Given to every PEM reader, so that an encrypted file is refused instead of prompting.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

openssl::Bio reader(ByteView bytes) {
  return openssl::Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

bool only_space_left(BIO* bio) {
  char* rest = nullptr;
  const long size = BIO_get_mem_data(bio, &rest);
  return std::all_of(rest, rest + size,
                     [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; });
}

bool on_p256(EVP_PKEY* key) {
  char group[32] = {};
  std::size_t size = 0;
  return EVP_PKEY_is_a(key, "EC") == 1 &&
         EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                        &size) == 1 &&
         std::string_view(group, size) == "prime256v1";
}

bool good_part(std::string_view part) {
  return !part.empty() && part.size() <= kMaxIdentityPart &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

std::string_view ia5_text(const ASN1_IA5STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = {};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (ASN1_STRING_length(address) != 4 && ASN1_STRING_length(address) != 16)
    return {};
  ::inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text);
  return text;
}

Status read_names(X509* certificate, CertificateInfo& info) {
  const openssl::GeneralNames names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names)
    return {};
  const int count = sk_GENERAL_NAME_num(names.get());
  if (count > kMaxNames) {
    return fail(ErrorCode::TooLarge, "a certificate has {} names, more than {}", count, kMaxNames);
  }
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      info.dns_names.emplace_back(ia5_text(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      info.addresses.push_back(address_text(name->d.iPAddress));
    } else if (name->type == GEN_URI &&
               ia5_text(name->d.uniformResourceIdentifier).substr(0, 8) == "troth://") {
      if (info.identity)
        return fail(ErrorCode::Corrupt, "a certificate has two troth identities");
      TROTH_TRY(info.identity, identity_from_uri(ia5_text(name->d.uniformResourceIdentifier)));
    }
  }
  return {};
}

Result<std::string> serial_text(X509* certificate) {
  const openssl::Bignum number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* hex = number ? BN_bn2hex(number.get()) : nullptr;
  if (hex == nullptr)
    return openssl::failure(ErrorCode::Corrupt, "certificate serial");
  std::string text(hex);
  OPENSSL_free(hex);
  return text;
}

}  // namespace

Result<PrivateKey> PrivateKey::generate() {
  openssl::Pkey key(EVP_EC_gen("P-256"));
  if (!key)
    return openssl::failure(ErrorCode::Internal, "make a P-256 key");
  return CertificateAccess::wrap(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(const Secret& pem) {
  if (pem.size() > kMaxPem)
    return fail(ErrorCode::TooLarge, "a key file is over {} bytes", kMaxPem);
  const openssl::Bio bio = reader(pem.bytes());
  openssl::Pkey key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)
                        : nullptr);
  if (!key) {
    return openssl::failure(ErrorCode::Corrupt, "not an unencrypted private key in PEM form");
  }
  if (!only_space_left(bio.get())) {
    return fail(ErrorCode::Corrupt, "there is more than one private key in the PEM text");
  }
  if (!on_p256(key.get()))
    return fail(ErrorCode::Unsupported, "the private key is not on P-256");
  return CertificateAccess::wrap(std::move(key));
}

Result<Secret> PrivateKey::to_pem() const {
  const openssl::Bio bio(BIO_new(BIO_s_secmem()));
  if (!bio ||
      PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl::failure(ErrorCode::Internal, "encode a private key");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  const std::span<char> plain(text, static_cast<std::size_t>(size));
  Secret pem = Secret::copy_of(std::as_bytes(plain));
  wipe(std::as_writable_bytes(plain));
  return pem;
}

Result<std::string> to_uri(const CertificateIdentity& identity) {
  for (const std::string* part : {&identity.cell_id, &identity.role, &identity.name}) {
    if (!good_part(*part)) {
      return fail(ErrorCode::InvalidArgument,
                  "'{}' cannot be in a certificate: use 1 to {} letters, digits, '.', '_', '-'",
                  *part, kMaxIdentityPart);
    }
  }
  return fmt::format("troth://{}/{}/{}", identity.cell_id, identity.role, identity.name);
}

Result<CertificateIdentity> identity_from_uri(std::string_view uri) {
  constexpr std::string_view kScheme = "troth://";
  const auto malformed = [] {
    return fail(ErrorCode::Corrupt, "not an identity of the form troth://<cell-id>/<role>/<name>");
  };
  if (uri.substr(0, kScheme.size()) != kScheme)
    return malformed();
  uri.remove_prefix(kScheme.size());
  const std::size_t first = uri.find('/');
  const std::size_t second = first == uri.npos ? uri.npos : uri.find('/', first + 1);
  if (second == uri.npos)
    return malformed();
  CertificateIdentity identity{.cell_id = std::string(uri.substr(0, first)),
                               .role = std::string(uri.substr(first + 1, second - first - 1)),
                               .name = std::string(uri.substr(second + 1))};
  if (!to_uri(identity))
    return malformed();
  return identity;
}

std::string common_name(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0)
    return {};
  unsigned char* utf8 = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0)
    return {};
  std::string text(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

Result<WallTime> from_asn1_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    return openssl::failure(ErrorCode::Corrupt, "certificate time");
  }
  return WallTime(std::chrono::seconds(::timegm(&parts)));
}

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  if (pem.size() > kMaxPem) {
    return fail(ErrorCode::TooLarge, "a certificate file is over {} bytes", kMaxPem);
  }
  const openssl::Bio bio = reader(as_bytes(pem));
  openssl::X509Ptr certificate(bio ? PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)
                                   : nullptr);
  if (!certificate)
    return openssl::failure(ErrorCode::Corrupt, "not a certificate in PEM form");
  if (!only_space_left(bio.get())) {
    return fail(ErrorCode::Corrupt, "there is more than one certificate in the PEM text");
  }
  return CertificateAccess::wrap(std::move(certificate));
}

Result<Certificate> Certificate::from_native(x509_st* certificate) {
  if (certificate == nullptr || X509_up_ref(certificate) != 1) {
    return fail(ErrorCode::InvalidArgument, "there is no certificate");
  }
  return CertificateAccess::wrap(openssl::X509Ptr(certificate));
}

Result<std::string> Certificate::to_pem() const {
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate_.get()) != 1) {
    return openssl::failure(ErrorCode::Internal, "encode a certificate");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

Result<CertificateInfo> Certificate::inspect() const {
  X509* certificate = certificate_.get();
  CertificateInfo info;
  info.subject = common_name(X509_get_subject_name(certificate));
  info.issuer = common_name(X509_get_issuer_name(certificate));
  TROTH_TRY(info.serial, serial_text(certificate));
  TROTH_TRY_VOID(read_names(certificate, info));
  TROTH_TRY(info.not_before, from_asn1_time(X509_get0_notBefore(certificate)));
  TROTH_TRY(info.not_after, from_asn1_time(X509_get0_notAfter(certificate)));
  info.is_authority = X509_check_ca(certificate) == 1;
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), openssl::writable(std::span(info.fingerprint)),
                  &size) != 1 ||
      size != info.fingerprint.size()) {
    return openssl::failure(ErrorCode::Internal, "certificate fingerprint");
  }
  return info;
}

bool Certificate::belongs_to(const PrivateKey& key) const {
  return EVP_PKEY_eq(X509_get0_pubkey(certificate_.get()), key.native()) == 1;
}

std::int64_t days_left(WallTime not_after, WallTime now) {
  return std::chrono::floor<std::chrono::days>(not_after - now).count();
}

std::string format_time(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)));
}

}  // namespace common::crypto
