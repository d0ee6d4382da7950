#pragma once

// Administration: from a call with a session for `kdc/admin` to the handler that carries it out.
// Checks here what every call has in common; PROTOCOL.md, "Administration", is the table of it.

#include <memory>

#include "common/rpc/operations.hpp"
#include "kdc/admin_call.hpp"
#include "kdc/client_limit.hpp"

namespace kdc {

// Called with the name of each call and how it ended.
using CountCall = std::function<void(std::string_view operation, std::string_view outcome)>;

// Safe from any thread.
class Administration {
 public:
  Administration(AdminTools tools, CountCall count) : tools_(tools), count_(std::move(count)) {}

  // All calls, of the service `kdc`. This object outlives the table.
  [[nodiscard]] common::Status add_operations(common::rpc::OperationTable& table);

 private:
  [[nodiscard]] common::Result<common::rpc::Reply> run(const AdminOperation& operation,
                                                       common::rpc::Call& call);
  [[nodiscard]] common::Result<common::rpc::Reply> run_checked(const AdminOperation& operation,
                                                               AdminCall& call);

  [[nodiscard]] common::Status check_rate(const AdminOperation& operation, AdminCall& call);

  AdminTools tools_;
  ClientLimit changes_{kChangeRules};
  const CountCall count_;
};

}  // namespace kdc
