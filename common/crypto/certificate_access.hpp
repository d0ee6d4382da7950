#pragma once

// Lets the .cpp files of this folder wrap OpenSSL objects.

#include "common/crypto/certificates.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {

struct CertificateAccess {
  static Certificate wrap(openssl::X509Ptr certificate) {
    return Certificate(std::shared_ptr<x509_st>(certificate.release(), X509_free));
  }
  static PrivateKey wrap(openssl::Pkey key) {
    return PrivateKey(std::shared_ptr<evp_pkey_st>(key.release(), EVP_PKEY_free));
  }
};

// Common name of a subject or issuer; empty if there is none.
std::string common_name(const X509_NAME* name);
Result<WallTime> from_asn1_time(const ASN1_TIME* time);

}  // namespace common::crypto
