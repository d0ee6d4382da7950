#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/daemon/certificate_alarm.hpp"
#include "common/result.hpp"

namespace common::daemon {

// Paths of PEM files.
struct CertificateFiles {
  std::string certificate;
  std::string key;
  std::string ca;
};

struct CheckedCertificate {
  CertificateValidity validity;
  // The file with the key: the one that was named, or the one that a renewal has not yet put in its
  // place (cell::waiting_key_path).
  std::string key;
};

// Whether these files make a server with this role: readable, the key closed to others and the
// certificate's own, the certificate signed by the authority for this role and in time. Then lets
// `use`, if given, read them in turn. A pair that is being renewed is read again, so a failure
// stands for files that stay as they are. Each failure names the file and what to do. Reads files.
Result<CheckedCertificate> check_server_certificate(
    const CertificateFiles& files, std::string_view role, WallTime now,
    const std::function<Status(const CertificateFiles&)>& use = {});

// What the certificate in this file says; a part that it does not name is empty.
struct ServerIdentity {
  std::string any_name;  // a DNS name or address that it is good for
  std::string cell_id;
};
Result<ServerIdentity> read_server_certificate(const std::string& path);

// Whether only its owner can read this file; a group may, if root owns it. Reads nothing.
Status check_private_file(const std::string& path);

}  // namespace common::daemon
