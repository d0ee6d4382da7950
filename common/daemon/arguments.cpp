#include "common/daemon/arguments.hpp"

namespace common::daemon {

std::string_view arguments_help() {
  return "  --config FILE   read this configuration\n"
         "  --check         validate configuration and certificates, then exit\n"
         "  --help          show this and every setting, then exit\n"
         "  --version       show the version, then exit\n";
}

Result<Arguments> parse_arguments(const std::vector<std::string>& words,
                                  std::size_t most_positional) {
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--help" || word == "-h") {
      arguments.action = Arguments::Action::Help;
      return arguments;
    }
    if (word == "--version") {
      arguments.action = Arguments::Action::Version;
      return arguments;
    }
    if (word == "--check") {
      arguments.action = Arguments::Action::Check;
    } else if (word == "--config" || word.starts_with("--config=")) {
      if (word == "--config" && i + 1 == words.size()) {
        return fail(ErrorCode::InvalidArgument, "--config needs the path of a file after it");
      }
      if (!arguments.config.empty()) {
        return fail(ErrorCode::InvalidArgument,
                    "--config was given twice; all settings are in one file");
      }
      arguments.config = word == "--config" ? words[++i] : word.substr(word.find('=') + 1);
    } else if (word.starts_with('-') || arguments.positional.size() == most_positional) {
      return fail(ErrorCode::InvalidArgument, "unknown argument \"{}\"; --help shows what there is",
                  word);
    } else {
      arguments.positional.push_back(word);
    }
  }
  return arguments;
}

}  // namespace common::daemon
