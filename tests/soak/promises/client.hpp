#pragma once

// One client of a run: a process that works on the files until it is told to end, and writes down
// what it did.

#include <string>
#include <vector>

namespace promises_real {

struct ClientOptions {
  std::string field;    // path of what Field::to_text() says
  std::string history;  // path
  std::uint64_t client = 0;
  std::uint64_t seed = 0;
  std::string mount;  // 32 hex digits
  std::uint64_t first_number = 1;
  std::string wall;   // path: by how many ns the wall clock is wrong, as a binary number
  std::string plant;  // name, or empty
};

[[nodiscard]] std::vector<std::string> to_arguments(const ClientOptions& options);
// The names that `plant` may have: what clients can be made to get wrong.
[[nodiscard]] std::vector<std::string> client_plants();

// The process's main function; SIGTERM ends it. `arguments` are to_arguments().
int client_main(const std::vector<std::string>& arguments);

}  // namespace promises_real
