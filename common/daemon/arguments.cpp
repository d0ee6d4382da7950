#include "common/daemon/arguments.hpp"

#include <algorithm>

namespace common::daemon {

std::string arguments_help(std::span<const TaskWord> tasks) {
  std::string help =
      "  --config FILE   read this configuration\n"
      "  --check         validate configuration and certificates, then exit\n";
  for (const TaskWord& task : tasks)
    help += fmt::format("  {:<14}  {}, then exit\n", fmt::format("{} {}", task.option, task.value),
                        task.help);
  return help +
         "  --help          show this and every setting, then exit\n"
         "  --version       show the version, then exit\n";
}

Result<Arguments> parse_arguments(const std::vector<std::string>& words,
                                  std::size_t most_positional, std::span<const TaskWord> tasks) {
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
    const auto task = std::find_if(tasks.begin(), tasks.end(), [&](const TaskWord& known) {
      return word == known.option || word.starts_with(std::string(known.option) + "=");
    });
    const bool once = word == "--check" || task != tasks.end();
    if (once && arguments.action != Arguments::Action::Run)
      return fail(ErrorCode::InvalidArgument, "{} is one thing too many: one at a time", word);
    if (task != tasks.end()) {
      const bool apart = word == task->option;
      if (apart && i + 1 < words.size())
        arguments.task_value = words[++i];
      else if (!apart)
        arguments.task_value = word.substr(task->option.size() + 1);
      if (arguments.task_value.empty())
        return fail(ErrorCode::InvalidArgument, "{} needs a {} after it", task->option,
                    task->value);
      arguments.action = Arguments::Action::Task;
      arguments.task = task->option;
    } else if (word == "--check") {
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
