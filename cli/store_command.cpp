// What is inside a volume on this machine: shown by troth-fsck, which knows volumes.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/commands.hpp"
#include "cli/output.hpp"

namespace cli {
namespace {

constexpr const char* kProgram = "troth-fsck";

struct InspectWords {
  std::string directory;
  std::string what = "summary";
  std::optional<std::uint64_t> from;
  std::string key_file;
};

// Becomes troth-fsck: the one beside this program, else the one in PATH. Returns only if there is
// none.
int inspect(const InspectWords& given) {
  std::vector<std::string> words{kProgram, "--inspect", given.what};
  if (!given.key_file.empty())
    words.insert(words.end(), {"--key-file", given.key_file});
  if (given.from)
    words.push_back(std::to_string(*given.from));
  // A name that begins with a dash is no option.
  words.push_back(given.directory.starts_with('-') ? "./" + given.directory : given.directory);
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::error_code unknown;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown)
    ::execv((self.parent_path() / kProgram).c_str(), arguments.data());
  ::execvp(kProgram, arguments.data());
  print_error(fmt::format("{} cannot be run: {}", kProgram, std::strerror(errno)));
  return kExitFailure;
}

}  // namespace

void add_store_commands(Command app, Session& session) {
  const Command store = app.add_group("store", "Look into volumes on this machine.");
  auto words = std::make_shared<InspectWords>();
  const Command command = store.add_command(
      "inspect", "Show what is inside a volume that nobody has open: tables, records, segments.");
  command.add_option("directory", words->directory, "Of the volume").type_name("DIR").required();
  command.add_option("--what", words->what, "What to show")
      .type_name("summary|commits|node|segments|segment")
      .show_default();
  command.add_option("--from", words->from, "From this seq on; of this node or segment")
      .type_name("N");
  command.add_option("--key-file", words->key_file, "The key of a sealed volume").type_name("FILE");
  command.on_chosen([&session, words] { session.action = [words] { return inspect(*words); }; });
}

}  // namespace cli
