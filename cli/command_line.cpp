#include "cli/command_line.hpp"

#include <algorithm>
#include <set>

#include <CLI/CLI.hpp>

namespace cli {
namespace {

// Names of the commands whose long options may begin with one dash.
std::set<std::string>& one_dash() {
  static std::set<std::string> names;
  return names;
}

std::vector<std::string> with_two_dashes(std::vector<std::string> words) {
  if (words.empty() || !one_dash().contains(words[0]))
    return words;
  for (std::string& word : words) {
    if (word == "--")
      break;
    // "-1" and "-5k" are values of options such as -size.
    if (word.size() > 2 && word[0] == '-' && word[1] >= 'a' && word[1] <= 'z')
      word.insert(0, "-");
  }
  return words;
}

template <typename Value>
Option add(CLI::App& app, const std::string& name, Value& into, const std::string& help) {
  return Option(*app.add_option(name, into, help));
}

template <typename Text>
Option add_text(CLI::App& app, const std::string& name, Text& into, const std::string& help) {
  CLI::Option* option = app.add_option(name, into, help);
  option->check([](const std::string& value) {
    return value.empty() ? "is empty; name one, or leave it out" : std::string();
  });
  return Option(*option);
}

}  // namespace

const Option& Option::type_name(const char* name) const {
  option_->type_name(name);
  return *this;
}

const Option& Option::required() const {
  option_->required();
  return *this;
}

const Option& Option::show_default() const {
  option_->capture_default_str();
  return *this;
}

const Option& Option::repeatable() const {
  option_->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return *this;
}

const Option& Option::may_be_empty() const {
  option_->get_validator(0)->active(false);
  return *this;
}

const Option& Option::excludes(const Option& other) const {
  option_->excludes(other.option_);
  return *this;
}

Command Command::add_command(const std::string& name, const std::string& help) const {
  return Command(*app_->add_subcommand(name, help));
}

Command Command::add_group(const std::string& name, const std::string& help) const {
  CLI::App* group = app_->add_subcommand(name, help);
  group->require_subcommand(0, 1);
  return Command(*group);
}

Option Command::add_option(const std::string& name, std::string& into,
                           const std::string& help) const {
  return add_text(*app_, name, into, help);
}

Option Command::add_option(const std::string& name, std::vector<std::string>& into,
                           const std::string& help) const {
  return add_text(*app_, name, into, help);
}

Option Command::add_option(const std::string& name, int& into, const std::string& help) const {
  return add(*app_, name, into, help);
}

Option Command::add_option(const std::string& name, std::uint16_t& into,
                           const std::string& help) const {
  return add(*app_, name, into, help);
}

Option Command::add_option(const std::string& name, std::uint32_t& into,
                           const std::string& help) const {
  return add(*app_, name, into, help);
}

Option Command::add_option(const std::string& name, std::optional<std::uint64_t>& into,
                           const std::string& help) const {
  return Option(*app_->add_option_function<std::uint64_t>(
      name, [&into](std::uint64_t value) { into = value; }, help));
}

Option Command::add_flag(const std::string& name, bool& into, const std::string& help) const {
  return Option(*app_->add_flag(name, into, help));
}

void Command::help_without_short() const {
  app_->set_help_flag("--help", "Show this help.");
}

void Command::long_options_with_one_dash() const {
  one_dash().insert(app_->get_name());
}

void Command::hide() const {
  app_->group("");
}

void Command::on_chosen(std::function<void()> action) const {
  app_->callback(std::move(action));
}

std::optional<Command> Command::find(const std::string& name) const {
  const auto all = app_->get_subcommands(nullptr);
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const CLI::App* sub) { return sub->get_name() == name; });
  return found == all.end() ? std::nullopt : std::optional(Command(**found));
}

std::string Command::path() const {
  std::string path;
  for (const CLI::App* at = app_; at != nullptr; at = at->get_parent())
    path = at->get_name() + (path.empty() ? "" : " ") + path;
  return path;
}

// CLI11's own App::help() would answer for the command that was parsed, which may be "help".
std::string Command::help() const {
  return app_->get_formatter()->make_help(app_, path(), CLI::AppFormatMode::Normal);
}

CommandTree::CommandTree(const char* name, const char* help, const char* footer)
    : app_(std::make_unique<CLI::App>(help, name)) {
  app_->require_subcommand(0, 1);
  app_->set_help_flag("-h,--help", "Show this help.");
  app_->footer(footer);
}

CommandTree::~CommandTree() = default;

Command CommandTree::chosen() const {
  CLI::App* at = app_.get();
  for (auto below = at->get_subcommands(); !below.empty(); below = at->get_subcommands())
    at = below.front();
  return Command(*at);
}

CommandTree::Outcome CommandTree::parse(const std::vector<std::string>& words) {
  // CLI11 takes the words from the back.
  std::vector<std::string> reversed = with_two_dashes(words);
  std::reverse(reversed.begin(), reversed.end());
  try {
    app_->parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
      return {.parsed = Parsed::HelpWanted, .mistake = {}};
    return {.parsed = Parsed::Wrong, .mistake = error.what()};
  }
  return {};
}

}  // namespace cli
