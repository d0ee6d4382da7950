#include "tests/soak/kdc_service.hpp"

#include <signal.h>

#include <nlohmann/json.hpp>

#include "common/auth/session.hpp"
#include "common/rpc/server.hpp"
#include "common/ticket/proof.hpp"
#include "common/ticket/verifier.hpp"

namespace soak_kdc {
namespace {

using common::Result;
namespace ticket = common::ticket;
namespace rpc = common::rpc;

const common::SystemClock kClock;

}  // namespace

int serve(const std::string& directory, const std::string& service) {
  const std::string stem = service.substr(service.find('/') + 1);
  const auto keytab = take(ticket::load_keytab(directory + "/" + stem + ".keytab"));
  auto verifier = std::make_shared<ticket::Verifier>(keytab.cell(), service, kClock);
  if (!verifier->set_keys(keytab))
    die("the keytab does not fit");
  const auto cache = take(ticket::ReplayCache::open({.path = directory + "/" + stem + ".replay"},
                                                    ticket::to_time(kClock.wall_now())));
  ticket::ProofVerifier proofs(verifier->opener(), *cache, kClock);
  rpc::OperationTable table;
  const auto add = [&](rpc::Operation operation) {
    if (const auto added = table.add(std::move(operation)); !added)
      die(added.error().message);
  };
  add(common::auth::auth_operation("fileserver", verifier));
  add({.service = "fileserver",
       .name = "whoami",
       .handler = [](rpc::Call& call) -> Result<rpc::Reply> {
         return rpc::Reply::json(
             nlohmann::json{{"name", common::auth::identity_of(call)->client.name}});
       },
       .needs_session = true});
  add({.service = "fileserver",
       .name = "proof",
       .handler = [&](rpc::Call& call) -> Result<rpc::Reply> {
         TROTH_TRY(const auto proven, proofs.accept(call.body(), kHead));
         return rpc::Reply::json(nlohmann::json{{"name", proven.identity.client.name}});
       },
       .open_to_all = true});
  rpc::ServerOptions options;
  options.tls = take(common::tls::ReloadableContext::make([directory] {
    return common::tls::make_server({directory + "/server.crt", directory + "/server.key",
                                     directory + "/ca.crt",
                                     common::tls::ClientCertificates::Optional});
  }));
  options.role = "fileserver";
  options.version = "0";
  const auto server = take(rpc::Server::start(std::move(options), std::move(table)));
  std::printf("ready %u\n", static_cast<unsigned>(server->port()));
  std::fflush(stdout);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  int number = 0;
  ::sigwait(&signals, &number);
  return 0;
}

}  // namespace soak_kdc
