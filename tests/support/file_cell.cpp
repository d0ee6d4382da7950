#include "tests/support/file_cell.hpp"

#include <stdexcept>

#include "common/auth/kdc_client.hpp"
#include "common/cell/description.hpp"

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

}  // namespace

FileCell::FileCell(const FileCellOptions& options) {
  LiveCellOptions how;
  if (!options.fileserver_failpoints.empty())
    how.environment["TROTH_FAILPOINTS"] = options.fileserver_failpoints;
  how.environment["TROTH_STREAMS_LEASE"] = fmt::format("{}ms", options.lease.count());
  how.environment["TROTH_ACCESS_LOG_LINES"] = options.access_log;
  cell_ = take(LiveCell::create(how), "making a cell");
  const auto description =
      take(common::cell::load_description(cell_->directory().string()), "reading cell.toml");
  id_ = description.id;
  server_ = "fileserver/fileserver1";
  const std::string ca = description.ca;
  tls_ = take(
      common::tls::ReloadableContext::make([ca] { return common::tls::make_client({.ca = ca}); }),
      "believing the cell's authority");
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
  common::auth::KdcOptions kdc;
  kdc.cell = id_;
  kdc.servers = {{cell_->address(), kKdcPort}};
  kdc.tls = tls_;
  const common::auth::KdcClient client(kdc);
  auto options = common::auth::from_kdc(client);
  static const common::SystemClock clock;
  options.clock = &clock;
  options.login = [client, user, password](common::Instant deadline) {
    common::ticket::AsWanted wanted;
    wanted.client = user;
    return client.login(std::move(wanted),
                        common::crypto::Secret::copy_of(common::as_bytes(password)), deadline);
  };
  FileServerAddress address;
  address.host = cell_->address();
  address.port = kFilePort;
  address.service = server_;
  address.cell = id_;
  address.tls = tls_;
  address.source = std::make_shared<common::auth::CredentialSource>(std::move(options));
  return address;
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

void FileCell::add_user(const std::string& name, const std::string& password) {
  const auto run = [&](const std::vector<std::string>& words, std::string input) {
    const auto done = take(cell_->troth(words, {.input = std::move(input)}), words.front());
    if (!done.status.ok())
      throw std::runtime_error(done.error_output);
  };
  run({"login", std::string(kAdministrator), "--password-stdin", "--cell",
       cell_->directory().string()},
      fmt::format("{}\n", kAdministratorPassword));
  run({"user", "add", name, "--password-stdin", "--new-password-stdin", "--cell",
       cell_->directory().string()},
      fmt::format("{}\n{}\n", kAdministratorPassword, password));
}

void FileCell::restart() {
  cell_->process("fileserver").kill();
  check(cell_->start("fileserver"), "starting the file server again");
}

}  // namespace test_support
