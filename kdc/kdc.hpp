#pragma once

// The KDC without its process: database, exchanges and administration behind the operations of an
// RPC server. README.md tells the life of one request.

#include <memory>
#include <string>

#include "common/metrics/registry.hpp"
#include "common/rpc/health.hpp"
#include "common/rpc/operations.hpp"
#include "common/sync/locked.hpp"
#include "common/sync/mutex.hpp"
#include "kdc/admin.hpp"
#include "kdc/exchange.hpp"

namespace kdc {

struct KdcOptions {
  DatabaseOptions database;
  // Of the cell, for machines that join: files that are read at the start and by reload().
  // `description` may be empty: then there is nothing to join with.
  std::string description;
  std::string ca;
  // Of passwords that are set from now on.
  common::crypto::ScryptParameters scrypt = common::crypto::ScryptParameters::standard();
  // Of passwords at a time; 0: scrypt_at_once().
  std::size_t scrypt_at_once = 0;
};

// Safe from any thread.
class Kdc {
 public:
  // Opens the database (kdc/database.hpp). Clock and metrics outlive it.
  [[nodiscard]] static common::Result<std::unique_ptr<Kdc>> open(
      KdcOptions options, const common::Clock& clock, common::metrics::Registry& metrics);
  ~Kdc();
  Kdc(const Kdc&) = delete;
  Kdc& operator=(const Kdc&) = delete;

  // Every operation of the service `kdc`. This object outlives the table.
  [[nodiscard]] common::Status add_operations(common::rpc::OperationTable& table);

  // Reads the files for machines that join again. What was read before stays if that fails.
  [[nodiscard]] common::Status reload();

  // What is due, about once a second, from one thread that may block.
  void housekeeping();

  // As of the last housekeeping, and of the database now. Does not block.
  [[nodiscard]] common::rpc::HealthReport health() const;

  // Writes what is left and closes the database. No call may be under way or follow.
  [[nodiscard]] common::Status close();

  [[nodiscard]] Database& database() { return *database_; }
  [[nodiscard]] OwnKeys& own_keys() { return own_; }
  [[nodiscard]] Exchanges& exchanges() { return exchanges_; }
  [[nodiscard]] ScryptGate& scrypt_gate() { return gate_; }

 private:
  class Counts;
  Kdc(KdcOptions options, std::unique_ptr<Database> database, const common::Clock& clock,
      common::metrics::Registry& metrics);
  [[nodiscard]] common::Result<common::rpc::Reply> preauth(common::rpc::Call& call);
  [[nodiscard]] common::Result<common::rpc::Reply> cell();
  [[nodiscard]] common::Result<std::string> read_cell() const;
  using Exchange = common::Result<common::Bytes> (Exchanges::*)(common::ByteView,
                                                                const common::ticket::Channel&,
                                                                const std::string&);
  [[nodiscard]] common::rpc::Operation exchange(std::string_view name, Exchange run);
  [[nodiscard]] common::Status check_stash() const;

  const KdcOptions options_;
  const std::unique_ptr<Database> database_;
  const common::Clock& clock_;
  const std::unique_ptr<Counts> counts_;
  OwnKeys own_;
  ScryptGate gate_;
  Exchanges exchanges_;
  Administration administration_;
  common::Locked<std::shared_ptr<const std::string>> cell_;  // the answer; none: not read yet
  mutable common::Locked<common::Status> last_housekeeping_;
};

}  // namespace kdc
