#include "common/cell/locate.hpp"

#include <cstdlib>
#include <filesystem>

#include "common/cell/description.hpp"

namespace common::cell {

std::string process_variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  return value == nullptr ? "" : value;
}

Result<std::string> find_cell(const std::string& asked, const GetVariable& variable) {
  if (!asked.empty())
    return asked;
  if (std::string named = variable("TROTH_CELL"); !named.empty())
    return named;
  std::string looked = "/etc/troth";
  const auto holds_cell = [](const std::string& directory) {
    std::error_code ignored;
    return std::filesystem::exists(directory + "/" + std::string(kDescriptionFile), ignored);
  };
  if (holds_cell(looked))
    return looked;
  std::string base = variable("XDG_CONFIG_HOME");
  if (const std::string home = variable("HOME"); base.empty() && !home.empty())
    base = home + "/.config";
  if (!base.empty()) {
    const std::string own = base + "/troth";
    if (holds_cell(own))
      return own;
    looked += " or " + own;
  }
  return fail(ErrorCode::NotFound,
              "no cell found in {}; name its directory with --cell DIR or TROTH_CELL", looked);
}

}  // namespace common::cell
