#include "common/cell/description.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/bytes.hpp"
#include "common/config/document.hpp"
#include "common/config/values.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"

namespace common::cell {
namespace {

using config::TextTable;

constexpr std::size_t kMaxName = 64;
constexpr std::size_t kMaxDescription = std::size_t{256} * 1024;

Status refuse_others(const TextTable& table, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : table.values) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return fail(ErrorCode::InvalidArgument, "{}: unknown key \"{}\"; expected one of {}",
                  table.where, key, fmt::join(known, ", "));
    }
  }
  return {};
}

Result<std::string> required(const TextTable& table, std::string_view key) {
  const auto found = table.values.find(key);
  if (found == table.values.end() || found->second.empty()) {
    return fail(ErrorCode::InvalidArgument, "{}: \"{}\" is missing", table.where, key);
  }
  return found->second;
}

Result<std::string> required_name(const TextTable& table, std::string_view key) {
  TROTH_TRY(std::string name, required(table, key));
  if (auto good = check_name(key, name); !good)
    return tl::unexpected(good.error().in(table.where));
  return name;
}

Result<std::string> required_endpoint(const TextTable& table, std::string_view key) {
  TROTH_TRY(std::string text, required(table, key));
  const auto endpoint = config::parse_endpoint(text);
  if (!endpoint) {
    return fail(ErrorCode::InvalidArgument, "{}: {} is \"{}\"; expected {}", table.where, key, text,
                endpoint.error().message);
  }
  return text;
}

Result<ServerEntry> read_server(const TextTable& table) {
  TROTH_TRY_VOID(refuse_others(table, {"name", "role", "address", "health"}));
  ServerEntry server;
  TROTH_TRY(server.name, required_name(table, "name"));
  TROTH_TRY(server.role, required_name(table, "role"));
  if (!is_server_role(server.role)) {
    return fail(ErrorCode::InvalidArgument, "{}: role is \"{}\"; expected one of {}", table.where,
                server.role, fmt::join(kServerRoles, ", "));
  }
  TROTH_TRY(server.address, required_endpoint(table, "address"));
  if (table.values.contains("health")) {
    TROTH_TRY(server.health, required_endpoint(table, "health"));
  }
  return server;
}

}  // namespace

bool is_server_role(std::string_view role) {
  return std::find(std::begin(kServerRoles), std::end(kServerRoles), role) !=
         std::end(kServerRoles);
}

Status check_name(std::string_view what, std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (!name.empty() && name.size() <= kMaxName && name[0] != '.' && name[0] != '-' &&
      std::all_of(name.begin(), name.end(), allowed)) {
    return {};
  }
  return fail(ErrorCode::InvalidArgument,
              "{} is \"{}\"; expected 1 to {} letters, digits, '.', '_' or '-'", what, name,
              kMaxName);
}

Result<Description> parse_description(const std::string& file, std::string_view text) {
  TROTH_TRY(const config::TextDocument document, config::read_text_document(file, text));
  for (const auto& [name, table] : document.tables) {
    if (name != "cell")
      return fail(ErrorCode::InvalidArgument, "{}: unknown section [{}]", table.where, name);
  }
  for (const auto& [name, list] : document.lists) {
    if (name != "servers")
      return fail(ErrorCode::InvalidArgument, "{}: unknown section [[{}]]", file, name);
  }
  const auto cell = document.tables.find("cell");
  if (cell == document.tables.end())
    return fail(ErrorCode::InvalidArgument, "{}: the section [cell] is missing", file);
  TROTH_TRY_VOID(refuse_others(cell->second, {"name", "id", "ca"}));
  Description description;
  TROTH_TRY(description.name, required_name(cell->second, "name"));
  TROTH_TRY(description.id, required_name(cell->second, "id"));
  TROTH_TRY(description.ca, required(cell->second, "ca"));

  const auto servers = document.lists.find("servers");
  if (servers == document.lists.end())
    return description;
  if (servers->second.size() > kMaxServers)
    return fail(ErrorCode::TooLarge, "{}: more than {} servers", file, kMaxServers);
  std::set<std::string> names;
  for (const TextTable& table : servers->second) {
    TROTH_TRY(ServerEntry server, read_server(table));
    if (!names.insert(server.name).second) {
      return fail(ErrorCode::InvalidArgument, "{}: there is a second server named \"{}\"",
                  table.where, server.name);
    }
    description.servers.push_back(std::move(server));
  }
  return description;
}

std::string to_toml(const Description& description) {
  using config::toml_quoted;
  std::string text = fmt::format(
      "# What this cell consists of. Programs find its servers here.\n"
      "[cell]\nname = {}\nid = {}\nca = {}\n",
      toml_quoted(description.name), toml_quoted(description.id), toml_quoted(description.ca));
  for (const ServerEntry& server : description.servers) {
    text +=
        fmt::format("\n[[servers]]\nname = {}\nrole = {}\naddress = {}\n", toml_quoted(server.name),
                    toml_quoted(server.role), toml_quoted(server.address));
    if (!server.health.empty())
      text += fmt::format("health = {}\n", toml_quoted(server.health));
  }
  return text;
}

Result<Description> load_description(const std::string& directory) {
  const std::string path = directory + "/" + std::string(kDescriptionFile);
  const auto root = io::PosixFileIo::open_root(directory);
  if (!root) {
    return fail(root.error().code, "no cell at {}: {}; make one with: troth cell init {}",
                directory, root.error().message, directory);
  }
  const auto bytes = io::read_whole_file(**root, kDescriptionFile, kMaxDescription);
  if (!bytes && bytes.error().code == ErrorCode::NotFound) {
    return fail(ErrorCode::NotFound, "{} holds no cell: there is no {} in it", directory,
                kDescriptionFile);
  }
  if (!bytes)
    return fail(bytes.error().code, "cannot read {}: {}", path, bytes.error().message);
  TROTH_TRY(Description description, parse_description(path, as_text(*bytes)));
  description.ca = (std::filesystem::path(directory) / description.ca).string();
  return description;
}

}  // namespace common::cell
