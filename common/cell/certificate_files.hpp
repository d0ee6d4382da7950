#pragma once

// Certificates and keys as files of a cell. Keys are 0600 and are refused when anybody but their
// owner could read them. Everything here blocks on the disk; failures name the file.

#include <string>
#include <vector>

#include "common/cell/description.hpp"
#include "common/crypto/certificates.hpp"
#include "common/result.hpp"

namespace common::cell {

Result<crypto::Certificate> read_certificate(const std::string& path);
Result<crypto::PrivateKey> read_key(const std::string& path);
// The authority of the cell at `directory`, with its key: what issuing and renewing needs.
Result<crypto::CertificateAndKey> read_authority(const std::string& directory);

// Replaces or makes the file, never half-written. Certificates are readable by everybody who may
// enter the directory.
Status write_certificate(const std::string& path, const crypto::Certificate& certificate);
Status write_key(const std::string& path, const crypto::PrivateKey& key);

struct IssuedFiles {
  std::string certificate;
  std::string key;
};
// Issues a certificate for a new key into `<stem>.crt` and `<stem>.key`; neither may exist.
Result<IssuedFiles> issue_files(const crypto::CertificateAndKey& authority,
                                const crypto::CertificateRequest& request, const std::string& stem,
                                WallTime now);

// Where the new key of a renewal waits until its certificate is in place. While it is there, the
// certificate belongs either to the key at `key_path` or to this one: whoever reads the pair tries
// both, and begins again when neither fits, for the certificate may have been replaced in between.
std::string waiting_key_path(const std::string& key_path);

enum class RenewKey {
  Keep,     // the certificate alone is replaced, in one step
  Replace,  // the key too; see waiting_key_path()
};
// Renews the certificate at `certificate_path`, whose key lies beside it (.key for .crt), with the
// same names and length of validity. Refuses one that another authority issued. A process killed
// at any instruction leaves a certificate that belongs to the key or to the waiting key, and the
// next renewal finishes what it left. Busy if another renewal is at work in that directory.
Status renew_files(const crypto::CertificateAndKey& authority, const std::string& certificate_path,
                   RenewKey renew_key, WallTime now);

// One certificate of a cell, as `troth cell cert show` lists it.
struct CertificateReport {
  std::string path;
  crypto::CertificateInfo info;
  std::int64_t days_left = 0;
  Status verdict;  // whether it is good now
};
// The report of one file; fails if it cannot be read.
Result<CertificateReport> examine(const std::string& path, const crypto::Certificate& authority,
                                  WallTime now);

// Paths of the certificates in the cell's directory: the authority's first, then those of the
// servers whose directory is here.
std::vector<std::string> certificate_paths(const std::string& directory,
                                           const Description& description);

}  // namespace common::cell
