#include "tests/support/kdc_server.hpp"

#include <stdexcept>

#include "common/auth/authenticate.hpp"
#include "common/cell/certificate_files.hpp"
#include "common/cell/first_contents.hpp"
#include "common/crypto/random.hpp"
#include "kdc/decoy.hpp"
#include "kdc/private_file.hpp"

namespace test_support {
namespace {

using common::Result;
using common::crypto::Secret;
namespace ticket = common::ticket;

template <typename T>
T take(Result<T> result) {
  if (!result)
    throw std::runtime_error(result.error().message);
  return *std::move(result);
}
void insist(const common::Status& status) {
  if (!status)
    throw std::runtime_error(status.error().message);
}

Secret secret_of(std::string_view text) {
  return Secret::copy_of(common::as_bytes(text));
}

void make_certificates(const KdcFiles& files) {
  const common::WallTime now = common::SystemClock().wall_now();
  const auto authority = take(common::crypto::create_authority("test", now));
  common::crypto::CertificateRequest request;
  request.identity = {std::string(KdcFiles::kCell), "kdc", "kdc1"};
  request.dns_names = {"localhost"};
  request.addresses = {"127.0.0.1"};
  const auto server = take(common::crypto::issue_certificate(authority, request, now));
  insist(common::cell::write_certificate(files.ca(), authority.certificate));
  insist(common::cell::write_certificate(files.certificate(), server.certificate));
  insist(common::cell::write_key(files.key(), server.key));
}

}  // namespace

KdcFiles::KdcFiles() {
  make_certificates(*this);
  std::filesystem::create_directory(data());
  std::filesystem::permissions(data(), std::filesystem::perms::owner_all);

  common::cell::FirstContents contents;
  contents.cell = kCell;
  contents.master_key = take(ticket::new_key());
  for (const std::string name : {"fileserver/fs1", "fileserver/fs2", "host/desk7"}) {
    Secret key = take(ticket::new_key());
    auto keytab = take(ticket::Keytab::make(kCell, name));
    insist(keytab.add(1, key.clone()));
    keytabs_.push_back(std::move(keytab));
    contents.services.push_back({name, std::move(key)});
  }
  contents.administrator = "root";
  std::array<std::byte, 16> random{};
  insist(common::crypto::random_bytes(random));
  contents.salt = kdc::password_salt(kCell, "root", random);
  contents.administrator_key =
      take(common::crypto::scrypt(secret_of(kRootPassword), contents.salt, contents.parameters));
  const Secret bytes = take(common::cell::encode_first_contents(contents));
  insist(kdc::write_private_file(data() + "/" + std::string(kdc::kFirstContentsFile), bytes));
}

ticket::Keytab KdcFiles::keytab(const std::string& name) const {
  for (const ticket::Keytab& keytab : keytabs_) {
    if (keytab.principal() == name)
      return keytab.clone();
  }
  throw std::runtime_error("no keytab of " + name);
}

std::shared_ptr<common::tls::ReloadableContext> KdcFiles::server_tls() const {
  const common::tls::ServerOptions options{certificate(), key(), ca(),
                                           common::tls::ClientCertificates::Optional};
  return take(common::tls::ReloadableContext::make(
      [options] { return common::tls::make_server(options); }));
}

std::shared_ptr<common::tls::ReloadableContext> KdcFiles::client_tls() const {
  const common::tls::ClientOptions options{ca(), {}, {}};
  return take(common::tls::ReloadableContext::make(
      [options] { return common::tls::make_client(options); }));
}

common::auth::KdcClient KdcFiles::client(std::uint16_t port) const {
  return common::auth::KdcClient({.cell = std::string(kCell),
                                  .servers = {{.host = "127.0.0.1", .port = port}},
                                  .tls = client_tls()});
}

Result<common::rpc::Answer> AdminClient::call(std::string_view operation,
                                              const nlohmann::json& args, std::string_view bytes,
                                              std::optional<common::OperationId> id) {
  common::rpc::Request request;
  request.service = "kdc";
  request.operation = operation;
  request.args = args.dump();
  request.bytes = common::as_bytes(bytes);
  request.head.id = id ? *id : take(common::crypto::new_operation_id());
  request.deadline = in_a_while();
  return client_.call(request).answer;
}

nlohmann::json AdminClient::must(std::string_view operation, const nlohmann::json& args,
                                 std::string_view bytes) {
  return take(call(operation, args, bytes)).result();
}

KdcServer::KdcServer() {
  options.database.directory = files_.data();
  options.database.cell = KdcFiles::kCell;
  options.ca = files_.ca();
  start();
}

KdcServer::~KdcServer() {
  stop();
}

void KdcServer::start() {
  kdc_ = take(kdc::Kdc::open(options, clock, metrics));
  common::rpc::OperationTable table;
  insist(kdc_->add_operations(table));
  common::rpc::ServerOptions server;
  server.tls = files_.server_tls();
  server.role = "kdc";
  server.version = "0";
  server.limits = limits;
  server_ = take(common::rpc::Server::start(std::move(server), std::move(table)));
}

void KdcServer::stop() {
  server_.reset();
  kdc_.reset();
}

Result<ticket::Credential> KdcServer::login(std::string_view user, std::string_view password,
                                            std::string_view service) const {
  ticket::AsWanted wanted;
  wanted.client = user;
  wanted.service = service;
  return client().login(std::move(wanted), secret_of(password), in_a_while());
}

Result<ticket::Credential> KdcServer::ticket(const ticket::Credential& tgt,
                                             std::string_view service) const {
  return client().ticket({.service = std::string(service)}, tgt, in_a_while());
}

std::unique_ptr<AdminClient> KdcServer::admin(ticket::Credential credential) const {
  auto shared = std::make_shared<const ticket::Credential>(std::move(credential));
  return std::make_unique<AdminClient>(
      client().client_options(0, common::auth::authenticate_with(std::move(shared))));
}

std::unique_ptr<AdminClient> KdcServer::admin(std::string_view user,
                                              std::string_view password) const {
  return admin(take(login(user, password, "kdc/admin")));
}

std::unique_ptr<common::rpc::Client> KdcServer::stranger() const {
  return std::make_unique<common::rpc::Client>(client().client_options(0));
}

void KdcServer::add_user(std::string_view name, std::string_view password) {
  admin("root", KdcFiles::kRootPassword)->must("user-add", {{"name", name}}, password);
}

}  // namespace test_support
