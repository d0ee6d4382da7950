#include "tests/soak/promises/field.hpp"

#include <nlohmann/json.hpp>

#include "common/auth/kdc_client.hpp"
#include "tests/support/live_cell.hpp"

namespace promises_real {

using nlohmann::json;

std::string Field::to_text() const {
  json all = json::array();
  for (const Volume& volume : volumes)
    all.push_back({{"volume", volume.volume},
                   {"stable", volume.stable},
                   {"attributes", volume.attributes},
                   {"files", volume.files},
                   {"directories", volume.directories},
                   {"logs", volume.logs}});
  return json{{"address", address},         {"cell", cell},   {"ca", ca},
              {"credentials", credentials}, {"began", began}, {"generation_ns", generation_ns},
              {"contents", contents},       {"volumes", all}}
      .dump();
}

common::Result<Field> Field::from_text(const std::string& text) {
  const json value = json::parse(text, nullptr, false);
  if (!value.is_object())
    return common::fail(common::ErrorCode::Protocol, "no field: {}", text);
  Field field;
  field.address = value["address"];
  field.cell = value["cell"];
  field.ca = value["ca"];
  field.credentials = value["credentials"];
  field.began = value["began"];
  field.generation_ns = value["generation_ns"];
  field.contents = value["contents"];
  for (const json& one : value["volumes"]) {
    Volume& volume = field.volumes.emplace_back();
    volume.volume = one["volume"];
    volume.stable = one["stable"];
    volume.attributes = one["attributes"].get<std::vector<std::uint64_t>>();
    volume.files = one["files"].get<std::vector<std::uint64_t>>();
    volume.directories = one["directories"].get<std::vector<std::uint64_t>>();
    volume.logs = one["logs"].get<std::vector<std::vector<std::uint64_t>>>();
  }
  return field;
}

common::Result<test_support::FileServerAddress> Field::server() const {
  constexpr std::uint16_t kKdcPort = 7480;
  constexpr std::uint16_t kFilePort = 7482;
  static const common::SystemClock clock;
  test_support::FileServerAddress server;
  server.host = address;
  server.port = kFilePort;
  server.service = "fileserver/fileserver1";
  server.cell = cell;
  const std::string authority = ca;
  TROTH_TRY(server.tls, common::tls::ReloadableContext::make(
                            [authority] { return common::tls::make_client({.ca = authority}); }));
  common::auth::KdcOptions kdc;
  kdc.cell = cell;
  kdc.servers = {{address, kKdcPort}};
  kdc.tls = server.tls;
  const common::auth::KdcClient client(kdc);
  auto options = common::auth::from_kdc(client);
  options.clock = &clock;
  TROTH_TRY(options.cache, common::auth::CredentialCache::open(cell, {.variable = credentials}));
  options.login = [client](common::Instant deadline) {
    common::ticket::AsWanted wanted;
    wanted.client = test_support::kAdministrator;
    return client.login(
        std::move(wanted),
        common::crypto::Secret::copy_of(common::as_bytes(test_support::kAdministratorPassword)),
        deadline);
  };
  server.source = std::make_shared<common::auth::CredentialSource>(std::move(options));
  return server;
}

}  // namespace promises_real
