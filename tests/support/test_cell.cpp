#include "tests/support/test_cell.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>

namespace test_support {
namespace {

template <auto Function>
struct CallOn {
  template <typename T>
  void operator()(T* object) const noexcept {
    Function(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, CallOn<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, CallOn<X509_free>>;
using File = std::unique_ptr<std::FILE, CallOn<std::fclose>>;

void insist(bool condition, const char* what) {
  if (!condition)
    throw std::runtime_error(std::string("test certificates: ") + what);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, CallOn<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  insist(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "extension");
}

Certificate make_bare(EVP_PKEY* key, const CertificateWish& wish) {
  Certificate certificate(X509_new());
  insist(certificate != nullptr, "X509_new");
  X509_set_version(certificate.get(), 2);
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), static_cast<long>(wish.begins.count()));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), static_cast<long>(wish.ends.count()));
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.common_name.c_str()), -1,
                             -1, 0);
  return certificate;
}

void sign_and_write(X509* certificate, EVP_PKEY* signer, EVP_PKEY* key,
                    const CertificateFiles& files) {
  insist(X509_sign(certificate, signer, EVP_sha256()) > 0, "signing");
  File out(std::fopen(files.certificate.c_str(), "w"));
  insist(out && PEM_write_X509(out.get(), certificate) == 1, "writing the certificate");
  out.reset(std::fopen(files.key.c_str(), "w"));
  insist(out && PEM_write_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
         "writing the key");
}

template <typename T, typename Reader>
T read_pem(const std::string& path, Reader reader) {
  File in(std::fopen(path.c_str(), "r"));
  insist(in != nullptr, "opening");
  T object(reader(in.get(), nullptr, nullptr, nullptr));
  insist(object != nullptr, "reading");
  return object;
}

}  // namespace

TestCell::TestCell() {
  std::string pattern = (std::filesystem::temp_directory_path() / "troth-cell-XXXXXX").string();
  insist(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
  directory_ = pattern;
  ca_ = {directory_ + "/ca.crt", directory_ + "/ca.key"};
  Key key(EVP_EC_gen("P-256"));
  insist(key != nullptr, "key");
  CertificateWish wish;
  wish.common_name = "test authority " + directory_;  // a name of its own: cells differ by it
  Certificate certificate = make_bare(key.get(), wish);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  add_extension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate.get(), certificate.get(), NID_key_usage,
                "critical,keyCertSign,cRLSign");
  sign_and_write(certificate.get(), key.get(), key.get(), ca_);
}

TestCell::~TestCell() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

CertificateFiles TestCell::issue(const std::string& stem, const CertificateWish& wish) const {
  auto authority = read_pem<Certificate>(ca_.certificate, PEM_read_X509);
  auto authority_key = read_pem<Key>(ca_.key, PEM_read_PrivateKey);
  Key key(EVP_EC_gen("P-256"));
  insist(key != nullptr, "key");
  Certificate certificate = make_bare(key.get(), wish);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(authority.get()));
  add_extension(certificate.get(), authority.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), authority.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  std::string names;
  for (const std::string& name : wish.names)
    names += (names.empty() ? "" : ",") + name;
  if (!wish.role.empty())
    names += (names.empty() ? "URI:troth:" : ",URI:troth:") + wish.role;
  if (!names.empty())
    add_extension(certificate.get(), authority.get(), NID_subject_alt_name, names);
  CertificateFiles files{directory_ + "/" + stem + ".crt", directory_ + "/" + stem + ".key"};
  sign_and_write(certificate.get(), authority_key.get(), key.get(), files);
  return files;
}

}  // namespace test_support
