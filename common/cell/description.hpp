#pragma once

// What a cell consists of: the file cell.toml, which `troth cell init` writes and every program
// that needs to find the servers reads.

#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::cell {

inline constexpr std::string_view kDescriptionFile = "cell.toml";
// A cell of this size has other problems; bounds what a damaged file costs.
inline constexpr std::size_t kMaxServers = 1000;

// The roles a server can have, in the order in which they are started.
inline constexpr std::string_view kServerRoles[] = {"kdc", "lockserver", "fileserver"};
bool is_server_role(std::string_view role);

struct ServerEntry {
  std::string name;
  std::string role;
  std::string address;  // host:port where clients reach it
  std::string health;   // host:port of its health listener, often reachable on its machine only
  friend bool operator==(const ServerEntry&, const ServerEntry&) = default;
};

struct Description {
  std::string name;  // for people
  std::string id;    // in every certificate; tells two cells of one name apart
  std::string ca;    // path of the authority's certificate, relative to the cell's directory
  std::vector<ServerEntry> servers;
  friend bool operator==(const Description&, const Description&) = default;
};

// A name of a cell or server: 1 to 64 letters, digits, '.', '_' and '-', no leading '.' or '-'.
Status check_name(std::string_view what, std::string_view name);

// Decoding names file and line of what is wrong; unknown keys are refused.
Result<Description> parse_description(const std::string& file, std::string_view text);
std::string to_toml(const Description& description);

// Reads DIRECTORY/cell.toml. `ca` comes back as a path that can be opened. Blocks on the disk.
Result<Description> load_description(const std::string& directory);

}  // namespace common::cell
