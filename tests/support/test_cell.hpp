#pragma once

// A certificate authority and certificates for tests, made in a temporary directory that goes away
// with the object. Independent of common/crypto on purpose: a fault there does not hide itself.

#include <chrono>
#include <string>
#include <vector>

namespace test_support {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

// What a certificate says. The defaults are a server's for the loopback addresses.
struct CertificateWish {
  std::string common_name = "test";
  std::vector<std::string> names{"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
  std::string role;                    // becomes "URI:troth:<role>"
  std::chrono::seconds begins{-3600};  // from now
  std::chrono::seconds ends{24 * 3600};
};

// Throws std::runtime_error when anything fails: a test without certificates has no meaning.
class TestCell {
 public:
  TestCell();
  TestCell(const TestCell&) = delete;
  TestCell& operator=(const TestCell&) = delete;
  ~TestCell();

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] const std::string& ca() const { return ca_.certificate; }

  // A new P-256 key and certificate in `<stem>.crt` and `<stem>.key`, replacing any of that name.
  CertificateFiles issue(const std::string& stem, const CertificateWish& wish = {}) const;

 private:
  std::string directory_;
  CertificateFiles ca_;
};

}  // namespace test_support
