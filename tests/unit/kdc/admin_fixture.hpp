#pragma once

// Clients of a KDC in this process, with sessions for administration.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/ticket/verifier.hpp"
#include "kdc/admin.hpp"
#include "tests/support/kdc_server.hpp"
#include "tests/support/test.hpp"

namespace kdc_test {

using namespace std::chrono_literals;
using common::ErrorCode;
using common::Result;
using nlohmann::json;
using test_support::AdminClient;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace ticket = common::ticket;

inline constexpr std::string_view kRoot = KdcFiles::kRootPassword;
inline constexpr std::string_view kAlicesPassword = "alices long word";

struct Administering {
  KdcServer server;
  std::unique_ptr<AdminClient> root = server.admin("root", kRoot);

  std::unique_ptr<AdminClient> add_and_login(std::string_view name, std::string_view password) {
    root->must("user-add", {{"name", name}}, password);
    return server.admin(name, password);
  }
  // A session by a ticket that came from a TGT.
  std::unique_ptr<AdminClient> stale(std::string_view name, std::string_view password) {
    const auto tgt = server.login(name, password);
    REQUIRE_OK(tgt);
    auto credential = server.ticket(*tgt, "kdc/admin");
    REQUIRE_OK(credential);
    return server.admin(*std::move(credential));
  }
  static common::OperationId new_id() {
    const auto id = common::crypto::new_operation_id();
    REQUIRE_OK(id);
    return *id;
  }
};

}  // namespace kdc_test
