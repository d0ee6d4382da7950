#include "common/cell/init.hpp"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "common/bytes.hpp"
#include "common/cell/first_contents.hpp"
#include "common/cell/first_secrets.hpp"
#include "common/config/document.hpp"
#include "common/config/values.hpp"
#include "common/crypto/random.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/ticket/principal.hpp"

namespace common::cell {
namespace {

using crypto::Secret;

constexpr std::string_view kKdcRole = "kdc";
constexpr std::string_view kFileServerRole = "fileserver";

bool is_address(const std::string& text) {
  std::array<std::byte, 16> parsed{};
  return ::inet_pton(AF_INET, text.c_str(), parsed.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), parsed.data()) == 1;
}

bool is_any_address(const std::string& address) {
  return address == "0.0.0.0" || address == "::";
}

Status check_options(const InitOptions& options) {
  TROTH_TRY_VOID(check_name("the cell's name", options.name));
  if (const Status checked = ticket::check_user_name(options.administrator); !checked)
    return tl::unexpected(checked.error().in("the administrator's name"));
  if (!is_address(options.listen)) {
    return fail(ErrorCode::InvalidArgument,
                "\"{}\" is not an address to listen on; give an IPv4 or IPv6 address of this "
                "machine, such as 127.0.0.1 or 0.0.0.0",
                options.listen);
  }
  if (is_any_address(options.listen) && options.hosts.empty()) {
    return fail(ErrorCode::InvalidArgument,
                "listening on all addresses needs a name at which clients reach this machine; "
                "give it with --host");
  }
  for (const std::string& host : options.hosts) {
    if (is_any_address(host) ||
        !config::parse_endpoint(config::format_endpoint({.host = host, .port = 1}))) {
      return fail(ErrorCode::InvalidArgument,
                  "\"{}\" is not a host name or address at which clients can reach this machine",
                  host);
    }
  }
  constexpr std::uint16_t kHighest = 65535 - kHealthPortOffset - std::size(kServerRoles);
  if (options.port < 1 || options.port > kHighest) {
    return fail(ErrorCode::InvalidArgument, "port {} is outside 1..{}", options.port, kHighest);
  }
  return {};
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end())
    list.push_back(text);
}

Result<Description> describe(const InitOptions& options) {
  TROTH_TRY(const std::uint64_t random, crypto::random_u64());
  Description description{
      .name = options.name, .id = fmt::format("{:016x}", random), .ca = "ca/ca.crt", .servers = {}};
  const std::string& reached = options.hosts.empty() ? options.listen : options.hosts.front();
  std::uint16_t port = options.port;
  for (const std::string_view role : kServerRoles) {
    const auto health = static_cast<std::uint16_t>(port + kHealthPortOffset);
    description.servers.push_back(
        {.name = std::string(role) + "1",
         .role = std::string(role),
         .address = config::format_endpoint({.host = reached, .port = port}),
         .health = config::format_endpoint({.host = "127.0.0.1", .port = health})});
    ++port;
  }
  return description;
}

crypto::CertificateRequest request_for(const ServerEntry& server, const InitOptions& options,
                                       const std::string& cell_id) {
  crypto::CertificateRequest request{
      .identity = {.cell_id = cell_id, .role = server.role, .name = server.name},
      .dns_names = {},
      .addresses = {},
      .validity = options.certificate_validity};
  std::vector<std::string> hosts = options.hosts;
  for (const char* local : {"localhost", "127.0.0.1", "::1"})
    add_once(hosts, local);
  if (!is_any_address(options.listen))
    add_once(hosts, options.listen);
  for (const std::string& host : hosts)
    (is_address(host) ? request.addresses : request.dns_names).push_back(host);
  return request;
}

// What only one kind of server is told. `kdc`: where the cell's is reached.
std::string own_configuration(const ServerEntry& server, const InitOptions& options,
                              std::uint16_t port, const std::string& kdc) {
  if (server.role == kKdcRole)
    return "[kdc]\ncell_description = \"cell.toml\"\n";
  std::string text = "[auth]\nkeytab = \"keytab\"\n";
  if (server.role == kFileServerRole) {
    const auto streams = static_cast<std::uint16_t>(port + kStreamPortOffset);
    text += fmt::format(
        "\n[streams]\nlisten = {}\n\n[callers]\nkdc = {}\n",
        config::toml_quoted(config::format_endpoint({.host = options.listen, .port = streams})),
        config::toml_quoted(kdc));
  }
  return text;
}

std::string server_configuration(const ServerEntry& server, const InitOptions& options,
                                 std::uint16_t port, const std::string& kdc) {
  using config::toml_quoted;
  const std::string listen = config::format_endpoint({.host = options.listen, .port = port});
  return fmt::format(
      "# Configuration of the server {0}, read by troth-{1} --config FILE.\n"
      "# Relative paths are relative to this file. troth-{1} --help lists all settings.\n"
      "[server]\n"
      "name = {2}\nrole = {3}\nlisten = {4}\nhealth_listen = {5}\ndata_dir = \"data\"\n\n"
      "[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\nca = \"ca.crt\"\n\n{6}",
      server.name, server.role, toml_quoted(server.name), toml_quoted(server.role),
      toml_quoted(listen), toml_quoted(server.health),
      own_configuration(server, options, port, kdc));
}

Secret content(std::string_view text) {
  return Secret::copy_of(as_bytes(text));
}

Status add_server(const crypto::CertificateAndKey& authority, const ServerEntry& server,
                  const InitOptions& options, std::uint16_t port, WallTime now,
                  PlannedCell& planned, FirstContents& first) {
  TROTH_TRY(const auto issued,
            crypto::issue_certificate(authority,
                                      request_for(server, options, planned.description.id), now));
  TROTH_TRY(const std::string authority_pem, authority.certificate.to_pem());
  TROTH_TRY(const std::string certificate, issued.certificate.to_pem());
  TROTH_TRY(Secret key, issued.key.to_pem());
  NewTree& tree = planned.tree;
  const std::string& role = server.role;
  tree.directories.push_back({.path = role});
  tree.directories.push_back({.path = role + "/data"});
  tree.files.push_back({.path = fmt::format("{0}/troth-{0}.toml", role),
                        .content = content(server_configuration(
                            server, options, port, planned.description.servers.front().address))});
  tree.files.push_back({.path = role + "/ca.crt", .content = content(authority_pem)});
  tree.files.push_back({.path = role + "/server.crt", .content = content(certificate)});
  tree.files.push_back({.path = role + "/server.key", .content = std::move(key)});
  if (role == kKdcRole) {
    tree.files.push_back({.path = fmt::format("{}/{}", role, kDescriptionFile),
                          .content = content(to_toml(planned.description))});
    return {};
  }
  TROTH_TRY(auto keys, new_service_keys(planned.description.id, role + "/" + server.name));
  tree.files.push_back({.path = role + "/keytab", .content = std::move(keys.keytab)});
  first.services.push_back(std::move(keys.service));
  return {};
}

// A failure of making the cell at `directory`, as one line that says what to do.
tl::unexpected<Error> explained(const Error& error, const std::string& directory) {
  switch (error.code) {
    case ErrorCode::AlreadyExists:
      return fail(error.code,
                  "{} exists already and is never overwritten; choose another directory or move "
                  "it away",
                  directory);
    case ErrorCode::NoSpace:
      return fail(error.code, "cannot make the cell {}: {}; free some space and try again",
                  directory, error.message);
    case ErrorCode::PermissionDenied:
      return fail(error.code,
                  "cannot make the cell {}: {}; choose a directory whose parent you may write to",
                  directory, error.message);
    default:
      return fail(error.code, "cannot make the cell {}: {}", directory, error.message);
  }
}

Status make_public_below(const std::string& parent, const std::string& path) {
  const std::string whole = parent + "/" + path;
  struct stat info {};
  if (::lstat(whole.c_str(), &info) != 0)
    return fail_errno(errno, "look at {}", whole);
  if (::chmod(whole.c_str(), S_ISDIR(info.st_mode) ? 0755 : 0644) != 0)
    return fail_errno(errno, "make {} readable", whole);
  return {};
}

}  // namespace

Result<PlannedCell> plan_cell(const InitOptions& options, WallTime now) {
  TROTH_TRY_VOID(check_options(options));
  PlannedCell planned;
  TROTH_TRY(planned.description, describe(options));
  TROTH_TRY(const auto authority, crypto::create_authority(options.name, now));
  TROTH_TRY(const std::string authority_pem, authority.certificate.to_pem());
  TROTH_TRY(Secret authority_key, authority.key.to_pem());
  NewTree& tree = planned.tree;
  tree.directories.push_back({.path = "ca", .audience = Audience::Everybody});
  tree.files.push_back({.path = std::string(kDescriptionFile),
                        .content = content(to_toml(planned.description)),
                        .audience = Audience::Everybody});
  tree.files.push_back(
      {.path = "ca/ca.crt", .content = content(authority_pem), .audience = Audience::Everybody});
  tree.files.push_back({.path = "ca/ca.key", .content = std::move(authority_key)});
  TROTH_TRY(FirstContents first,
            new_first_contents(planned.description.id, options.administrator,
                               options.administrator_password, planned.administrator_password));
  std::uint16_t port = options.port;
  for (const ServerEntry& server : std::vector<ServerEntry>(planned.description.servers)) {
    TROTH_TRY_VOID(add_server(authority, server, options, port, now, planned, first));
    ++port;
  }
  TROTH_TRY(Secret encoded, encode_first_contents(first));
  tree.files.push_back({.path = fmt::format("{}/data/{}", kKdcRole, kFirstContentsFile),
                        .content = std::move(encoded)});
  return planned;
}

Result<InitReport> init_cell(const std::string& directory, const InitOptions& options,
                             WallTime now) {
  std::error_code failed;
  auto whole = std::filesystem::absolute(directory, failed).lexically_normal();
  if (!whole.has_filename())
    whole = whole.parent_path();  // a trailing slash
  if (failed || directory.empty() || !whole.has_filename()) {
    return fail(ErrorCode::InvalidArgument, "\"{}\" is not a directory that can be made",
                directory);
  }
  TROTH_TRY(PlannedCell planned, plan_cell(options, now));
  const std::string parent_path = whole.parent_path().string();
  const std::string name = whole.filename().string();
  const auto parent = io::PosixFileIo::open_root(parent_path);
  if (!parent && parent.error().code == ErrorCode::NotFound) {
    return fail(ErrorCode::NotFound, "cannot make the cell {}: make {} first", whole.string(),
                parent_path);
  }
  if (!parent)
    return explained(parent.error(), whole.string());
  InitReport report{.directory = whole.string(),
                    .description = std::move(planned.description),
                    .unfinished = {},
                    .administrator_password = std::move(planned.administrator_password)};
  for (const std::string& left : unfinished_trees(**parent, name))
    report.unfinished.push_back(parent_path + "/" + left);
  const Status written = write_new_tree(**parent, name, planned.tree, [&](const std::string& path) {
    return make_public_below(parent_path, path);
  });
  if (!written)
    return explained(written.error(), whole.string());
  return report;
}

}  // namespace common::cell
