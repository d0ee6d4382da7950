#pragma once

// The exchanges of a KDC in this process, called directly.

#include <memory>
#include <string>
#include <vector>

#include "common/crypto/random.hpp"
#include "common/ticket/verifier.hpp"
#include "kdc/decoy.hpp"
#include "kdc/exchange.hpp"
#include "kdc/ticket_policy.hpp"
#include "tests/support/kdc_server.hpp"
#include "tests/support/test.hpp"

namespace kdc_test {

using namespace std::chrono_literals;
using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::Result;
using common::crypto::Secret;
using kdc::Actor;
using kdc::Millis;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace ticket = common::ticket;

// The exchanges without a network: channels are ours to choose.
struct Exchanging {
  KdcServer server;
  ticket::Channel channel{};
  std::string address = "192.0.2.1";
  Secret root_key;

  Exchanging() {
    channel[0] = std::byte{1};
    root_key = key_of("root", KdcFiles::kRootPassword);
  }
  kdc::Exchanges& exchanges() { return server.kdc().exchanges(); }
  kdc::Database& database() { return server.kdc().database(); }
  Actor root() { return {*database().principals().id_of("root"), "root", address, std::nullopt}; }
  Secret key_of(std::string_view user, std::string_view password) {
    const auto preauth = exchanges().preauth(std::string(user));
    REQUIRE_OK(preauth);
    auto key = common::crypto::scrypt(Secret::copy_of(common::as_bytes(password)), preauth->salt,
                                      preauth->parameters);
    REQUIRE_OK(key);
    return *std::move(key);
  }
  // Its key is what counts, not how it was made.
  Secret add_user(const std::string& name) {
    auto key = ticket::new_key();
    REQUIRE_OK(key);
    std::array<std::byte, 16> random{};
    REQUIRE_OK(database().principals().add_user(
        root(), {.kind = kdc::Kind::User, .name = name, .id = std::nullopt, .policy = {}},
        {kdc::password_salt(KdcFiles::kCell, name, random),
         common::crypto::ScryptParameters::standard(), key->clone()}));
    return *std::move(key);
  }
  static ticket::AsWanted wanted(std::string_view client,
                                 std::string_view service = kdc::kTgsService) {
    return {.cell = std::string(KdcFiles::kCell),
            .client = std::string(client),
            .service = std::string(service),
            .client_kvno = 0,
            .life = Millis(0),
            .renew = 24h * 7};
  }
  Result<ticket::Credential> as(const ticket::AsWanted& want, const Secret& key) {
    TROTH_TRY(const Bytes request, ticket::begin_as(want, key, channel));
    TROTH_TRY(const Bytes reply, exchanges().as(request, channel, address));
    return ticket::finish_as(want, key, request, reply, server.clock.now());
  }
  Result<ticket::Credential> as(std::string_view client, const Secret& key,
                                std::string_view service = kdc::kTgsService) {
    return as(wanted(client, service), key);
  }
  Result<ticket::Credential> tgs(const ticket::Credential& tgt, std::string_view service,
                                 bool renew = false, Millis life = Millis(0)) {
    const ticket::TgsWanted want{.service = std::string(service), .life = life, .renew = renew};
    TROTH_TRY(const Bytes request, ticket::begin_tgs(want, tgt, channel));
    TROTH_TRY(const Bytes reply, exchanges().tgs(request, channel, address));
    return ticket::finish_tgs(want, tgt, request, reply, server.clock.now());
  }
  // What the service sees of it.
  Result<ticket::Accepted> shown(const ticket::Credential& credential,
                                 const ticket::Keytab& keytab) {
    ticket::Verifier verifier(std::string(KdcFiles::kCell), keytab.principal(), server.clock);
    REQUIRE_OK(verifier.set_keys(keytab));
    TROTH_TRY(const auto ap, ticket::ApExchange::begin(credential, channel));
    return verifier.accept(ap.request(), channel);
  }
  std::vector<kdc::AuditRecord> audit(const std::string& event) {
    REQUIRE_OK(database().audit().flush());
    auto records =
        database().audit().list({.after = 0, .limit = 1000, .event = event, .subject = {}});
    REQUIRE_OK(records);
    return *std::move(records);
  }
};

inline Secret other_key() {
  auto key = ticket::new_key();
  REQUIRE_OK(key);
  return *std::move(key);
}

}  // namespace kdc_test
