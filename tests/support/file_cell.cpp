#include "tests/support/file_cell.hpp"

#include <algorithm>
#include <csignal>
#include <stdexcept>

#include "common/auth/kdc_client.hpp"
#include "common/cell/description.hpp"
#include "common/ticket/keytab.hpp"

namespace test_support {

namespace {

template <typename T>
T take(common::Result<T> result, std::string_view what) {
  if (!result)
    throw std::runtime_error(fmt::format("{}: {}", what, result.error().message));
  return *std::move(result);
}
void check(const common::Status& status, std::string_view what) {
  if (!status)
    throw std::runtime_error(fmt::format("{}: {}", what, status.error().message));
}

constexpr std::uint16_t kKdcPort = 7480;
constexpr std::uint16_t kFilePort = 7482;
constexpr std::string_view kService = "fileserver/fileserver1";

struct Place {
  std::string cell;
  std::string host;
  std::shared_ptr<common::tls::ReloadableContext> tls;
};

std::shared_ptr<common::tls::ReloadableContext> trust(const std::string& ca) {
  return take(
      common::tls::ReloadableContext::make([ca] { return common::tls::make_client({.ca = ca}); }),
      "believing the cell's authority");
}

struct Login {
  std::string user{kAdministrator};
  std::string password{kAdministratorPassword};
  std::chrono::milliseconds life{0};  // of its tickets; 0: as long as the policy gives
  std::function<bool()> allowed;      // none: always
};

common::auth::KdcClient make_kdc(const Place& place) {
  common::auth::KdcOptions kdc;
  kdc.cell = place.cell;
  kdc.servers = {{place.host, kKdcPort}};
  kdc.tls = place.tls;
  return common::auth::KdcClient(kdc);
}

std::shared_ptr<common::auth::CredentialSource> make_source(const Place& place,
                                                            const Login& login) {
  const common::auth::KdcClient client = make_kdc(place);
  auto options = common::auth::from_kdc(client);
  static const common::SystemClock clock;
  options.clock = &clock;
  options.login = [client,
                   login](common::Instant deadline) -> common::Result<common::ticket::Credential> {
    if (login.allowed && !login.allowed())
      return common::fail(common::ErrorCode::Expired, "nobody logs in now");
    common::ticket::AsWanted wanted;
    wanted.client = login.user;
    wanted.life = login.life;
    return client.login(std::move(wanted),
                        common::crypto::Secret::copy_of(common::as_bytes(login.password)),
                        deadline);
  };
  return std::make_shared<common::auth::CredentialSource>(std::move(options));
}

FileServerAddress make_address(const Place& place, const Login& login) {
  FileServerAddress address;
  address.host = place.host;
  address.port = kFilePort;
  address.service = kService;
  address.cell = place.cell;
  address.tls = place.tls;
  address.source = make_source(place, login);
  return address;
}

}  // namespace

FileCell::FileCell(const FileCellOptions& options) {
  LiveCellOptions how;
  how.address = options.address;
  how.network_namespace = options.network_namespace;
  how.environment = options.environment;
  if (!options.fileserver_failpoints.empty())
    how.environment["TROTH_FAILPOINTS"] = options.fileserver_failpoints;
  how.environment["TROTH_STREAMS_LEASE"] = fmt::format("{}ms", options.lease.count());
  how.environment["TROTH_ACCESS_LOG_LINES"] = options.access_log;
  how.environment["TROTH_CALLERS_ASK_EVERY"] = fmt::format("{}ms", options.ask_every.count());
  cell_ = take(LiveCell::create(how), "making a cell");
  const auto description =
      take(common::cell::load_description(cell_->directory().string()), "reading cell.toml");
  id_ = description.id;
  tls_ = trust(description.ca);
  check(cell_->start("kdc"), "starting the KDC");
  check(cell_->start("fileserver"), "starting the file server");
  FileMount admin(address());
  const auto made =
      take(admin.call("volume-create",
                      {{"name", "data"}, {"policy", nlohmann::json::object()}, {"mode", 0777}}),
           "making a volume");
  volume_ = made["volume"].get<std::uint32_t>();
}

FileServerAddress FileCell::address(const std::string& user, const std::string& password) const {
  return make_address({id_, cell_->address(), tls_}, {user, password});
}

FileServerAddress FileCell::address_in(const std::string& directory, const std::string& host) {
  const auto description = take(common::cell::load_description(directory), "reading cell.toml");
  return make_address({description.id, host, trust(description.ca)}, {});
}

std::shared_ptr<common::auth::CredentialSource> FileCell::short_tickets(
    std::chrono::milliseconds life, std::function<bool()> may_log_in) const {
  Login login;
  login.life = life;
  login.allowed = std::move(may_log_in);
  return make_source({id_, cell_->address(), tls_}, login);
}

std::unique_ptr<FileMount> FileCell::mount() const {
  return mount(address());
}

std::unique_ptr<FileMount> FileCell::mount(FileServerAddress address) const {
  auto mount = std::make_unique<FileMount>(std::move(address));
  check(mount->open(), "opening a session");
  check(mount->dial(), "dialling the stream");
  return mount;
}

void FileCell::administer(std::vector<std::string> words, const std::string& input) {
  const auto run = [&](const std::vector<std::string>& all, std::string typed) {
    const auto done = take(cell_->troth(all, {.input = std::move(typed)}), all.front());
    if (!done.status.ok())
      throw std::runtime_error(done.error_output);
  };
  const std::string directory = cell_->directory().string();
  const std::string password = fmt::format("{}\n", kAdministratorPassword);
  run({"login", std::string(kAdministrator), "--password-stdin", "--cell", directory}, password);
  words.insert(words.end(), {"--password-stdin", "--cell", directory});
  run(words, password + input);
}

void FileCell::add_user(const std::string& name, const std::string& password) {
  administer({"user", "add", name, "--new-password-stdin"}, fmt::format("{}\n", password));
}

FileServerAddress FileCell::add_host(const std::string& name) {
  std::string file = name;
  std::replace(file.begin(), file.end(), '/', '-');
  const std::string path = cell_->directory() / fmt::format("{}.keytab", file);
  administer({"service", "add", name, "--out", path});
  FileServerAddress host = address();
  host.source = std::make_shared<common::auth::CredentialSource>(
      common::auth::from_kdc(make_kdc({id_, cell_->address(), tls_}),
                             take(common::ticket::load_keytab(path), "reading a keytab")));
  return host;
}

void FileCell::set_disabled(const std::string& name, const std::string& word) {
  const auto done = take(cell_->troth({"user", word, name, "--as", std::string(kAdministrator),
                                       "--password-stdin", "--cell", cell_->directory().string()},
                                      {.input = fmt::format("{}\n", kAdministratorPassword)}),
                         word);
  if (!done.status.ok())
    throw std::runtime_error(done.error_output);
}

void FileCell::restart() {
  cell_->process("fileserver").kill();
  check(cell_->start("fileserver"), "starting the file server again");
}

void FileCell::restart_in_order() {
  auto& server = cell_->process("fileserver");
  check(server.signal(SIGTERM), "telling the file server to stop");
  static_cast<void>(take(server.wait(), "waiting for its end"));
  check(cell_->start("fileserver"), "starting the file server again");
}

}  // namespace test_support
