#pragma once

// The cell's certificates: P-256 keys, one certificate authority, certificates for servers and
// nodes. A node's certificate names it as `troth://<cell-id>/<role>/<name>` (a URI in its
// subjectAltName) beside the DNS names and addresses at which it is reached. Everything here is
// local computation: nothing blocks, no file is touched. Objects may be read from any thread.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

struct evp_pkey_st;
struct x509_st;

namespace common::crypto {

// A P-256 key pair.
class PrivateKey {
 public:
  static Result<PrivateKey> generate();
  // Exactly one unencrypted PEM key on P-256; never asks for a passphrase.
  static Result<PrivateKey> from_pem(const Secret& pem);
  [[nodiscard]] Result<Secret> to_pem() const;

  // For common/tls; the object stays ours.
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  friend struct CertificateAccess;
  std::shared_ptr<evp_pkey_st> key_;
};

// Who a certificate says its holder is.
struct CertificateIdentity {
  std::string cell_id;  // letters, digits and '-'
  std::string role;     // "fileserver", "lockserver", "kdc", "mount", …
  std::string name;     // within the role
  friend bool operator==(const CertificateIdentity&, const CertificateIdentity&) = default;
};

// `troth://<cell-id>/<role>/<name>`, and back. Each part is 1 to 64 of [A-Za-z0-9._-].
Result<std::string> to_uri(const CertificateIdentity& identity);
Result<CertificateIdentity> identity_from_uri(std::string_view uri);

// What a certificate says, decoded for people and for policy.
struct CertificateInfo {
  std::string subject;  // common name
  std::string issuer;   // common name
  std::string serial;   // hex
  std::vector<std::string> dns_names;
  std::vector<std::string> addresses;  // IPv4 and IPv6 in text form
  std::optional<CertificateIdentity> identity;
  WallTime not_before{};
  WallTime not_after{};
  Digest fingerprint{};  // SHA-256 of the whole certificate
  bool is_authority = false;
};

// An immutable X.509 certificate.
class Certificate {
 public:
  // Exactly one PEM certificate; anything after it but white space is refused.
  static Result<Certificate> from_pem(std::string_view pem);
  // Shares an object of OpenSSL's, such as a peer's certificate.
  static Result<Certificate> from_native(x509_st* certificate);
  [[nodiscard]] Result<std::string> to_pem() const;

  [[nodiscard]] Result<CertificateInfo> inspect() const;
  [[nodiscard]] bool belongs_to(const PrivateKey& key) const;

  [[nodiscard]] x509_st* native() const { return certificate_.get(); }

 private:
  explicit Certificate(std::shared_ptr<x509_st> certificate)
      : certificate_(std::move(certificate)) {}
  friend struct CertificateAccess;
  std::shared_ptr<x509_st> certificate_;
};

struct CertificateAndKey {
  Certificate certificate;
  PrivateKey key;
};

// Replacing the authority means touching every machine, so it lives long.
inline constexpr std::chrono::days kAuthorityValidity{3653};
// Short, because nothing here checks revocation lists: a stolen key dies by itself.
inline constexpr std::chrono::days kDefaultValidity{30};
inline constexpr std::chrono::days kMaxValidity{397};
// A certificate is valid from a little before it was made, for machines whose clock is behind.
inline constexpr std::chrono::minutes kClockAllowance{10};

// A new authority for a cell: path length 0, so it can sign nodes and no further authorities.
Result<CertificateAndKey> create_authority(std::string_view cell_name, WallTime now,
                                           std::chrono::seconds validity = kAuthorityValidity);

struct CertificateRequest {
  CertificateIdentity identity;
  std::vector<std::string> dns_names;
  std::vector<std::string> addresses;
  std::chrono::seconds validity = kDefaultValidity;
};

// Signs a certificate for `key`'s public half. It ends with the authority if that ends sooner.
// Fails with Expired if the authority has ended, InvalidArgument for a bad name or address.
Result<Certificate> issue_certificate(const CertificateAndKey& authority,
                                      const CertificateRequest& request, const PrivateKey& key,
                                      WallTime now);
// A fresh key and its certificate.
Result<CertificateAndKey> issue_certificate(const CertificateAndKey& authority,
                                            const CertificateRequest& request, WallTime now);

// What to ask for to get the same certificate again, with the same length of validity.
Result<CertificateRequest> request_like(const Certificate& certificate);

struct VerifyOptions {
  WallTime now{};
  // DNS name or address at which the holder was reached; empty: any.
  std::string_view reached_at;
  // Who the holder must be; empty parts: any.
  std::string_view cell_id;
  std::string_view role;
};

// Whether `certificate` is good now, signed by `authority` and names who it should. The failure's
// sentence says which: Expired (ended, or not yet valid), Unauthenticated (foreign authority),
// PermissionDenied (wrong name, role or cell).
Status verify_certificate(const Certificate& certificate, const Certificate& authority,
                          const VerifyOptions& options);

// Days until the end, rounded down; negative when it is past.
std::int64_t days_left(WallTime not_after, WallTime now);

// "2026-11-21 08:00:00 UTC"
std::string format_time(WallTime time);

}  // namespace common::crypto
