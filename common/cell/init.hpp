#pragma once

// Making a cell: its authority, its servers' certificates and configuration.
//
//   DIR/cell.toml                       what the cell consists of
//   DIR/ca/ca.crt  ca.key               the authority; the key is needed only to issue and renew
//   DIR/<role>/troth-<role>.toml        configuration of the server
//   DIR/<role>/ca.crt server.crt server.key
//   DIR/<role>/keytab                   its keys (of the KDC: none; it has a database)
//   DIR/<role>/data/                    its data, empty
//   DIR/kdc/cell.toml                   a copy, for machines that join
//   DIR/kdc/data/first-contents         the keys above and the first administrator, for the KDC's
//                                       first start, which destroys it
//
// A role's directory is complete in itself, so it can be moved to another machine.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/cell/description.hpp"
#include "common/cell/new_tree.hpp"
#include "common/clock.hpp"
#include "common/crypto/certificates.hpp"

namespace common::cell {

inline constexpr std::uint16_t kDefaultPort = 7480;     // kdc; lock server +1, file server +2
inline constexpr std::uint16_t kHealthPortOffset = 10;  // health listener of each: port + 10
inline constexpr std::uint16_t kStreamPortOffset = 5;   // a file server's streams: port + 5

struct InitOptions {
  std::string name = "home";
  // Address of this machine that the servers listen on; 0.0.0.0 or :: for all of them.
  std::string listen = "127.0.0.1";
  // Names and addresses at which clients reach the servers. The first one goes into cell.toml, all
  // into the certificates, always together with `listen` and the loopback names.
  std::vector<std::string> hosts;
  std::uint16_t port = kDefaultPort;
  std::chrono::seconds certificate_validity = crypto::kDefaultValidity;
  std::string administrator = "admin";
  // Borrowed for the call; null: a random one is made and handed back.
  const crypto::Secret* administrator_password = nullptr;
};

// Computes everything that a cell consists of. No file is touched. InvalidArgument says what is
// wrong with the options.
// Costs one scrypt, for the administrator's password.
struct PlannedCell {
  Description description;
  NewTree tree;
  crypto::Secret administrator_password;  // the random one, as text; empty if one was given
};
Result<PlannedCell> plan_cell(const InitOptions& options, WallTime now);

struct InitReport {
  std::string directory;  // absolute
  Description description;
  std::vector<std::string> unfinished;  // absolute paths that an interrupted attempt left
  // To be shown to a person once; it is nowhere else. Empty if one was given.
  crypto::Secret administrator_password;
};

// Makes the cell at `directory`, which must not exist; its parent must. Either all of it is there
// afterwards, durably, or nothing; the failure is one line that says what to do. Blocks on the
// disk.
Result<InitReport> init_cell(const std::string& directory, const InitOptions& options,
                             WallTime now);

}  // namespace common::cell
