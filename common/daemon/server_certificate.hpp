#pragma once

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

// Whether these files make a server with this role: readable, the key closed to others and the
// certificate's own, the certificate signed by the authority for this role and in time. Each
// failure names the file and what to do. Reads files.
Result<CertificateValidity> check_server_certificate(const CertificateFiles& files,
                                                     std::string_view role, WallTime now);

// What the certificate in this file says; a part that it does not name is empty.
struct ServerIdentity {
  std::string any_name;  // a DNS name or address that it is good for
  std::string cell_id;
};
Result<ServerIdentity> read_server_certificate(const std::string& path);

// Whether only its owner can read this file; a group may, if root owns it. Reads nothing.
Status check_private_file(const std::string& path);

}  // namespace common::daemon
