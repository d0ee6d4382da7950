#pragma once

// The tree of commands as the commands see it. CLI11 stands behind it, in command_line.cpp alone:
// its header takes longer to compile than what any command does. Main thread only.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cli {

// An option, flag or positional argument: a handle, good as long as its CommandTree.
class Option {
 public:
  explicit Option(CLI::Option& option) : option_(&option) {}

  // What help and completion say of its value: "FILE" and "DIR" are completed as such, "a|b" as a
  // choice.
  const Option& type_name(const char* name) const;
  const Option& required() const;
  // Help shows what the variable holds now.
  const Option& show_default() const;
  // May be given again and again, with one value each time.
  const Option& repeatable() const;
  const Option& excludes(const Option& other) const;
  // Texts are refused when they are empty: "" is somebody's unset variable. But this one.
  const Option& may_be_empty() const;

 private:
  CLI::Option* option_;
};

// A command or group of commands: a handle, good as long as its CommandTree. What it writes values
// into must live until the words are parsed; what was not given is left alone.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(&app) {}

  [[nodiscard]] Command add_command(const std::string& name, const std::string& help) const;
  // A group, which does nothing by itself but show its help.
  [[nodiscard]] Command add_group(const std::string& name, const std::string& help) const;

  // "--long,-l" is an option, "name" a positional argument; a vector takes all that follow.
  Option add_option(const std::string& name, std::string& into, const std::string& help) const;
  Option add_option(const std::string& name, std::vector<std::string>& into,
                    const std::string& help) const;
  Option add_option(const std::string& name, int& into, const std::string& help) const;
  Option add_option(const std::string& name, std::uint16_t& into, const std::string& help) const;
  Option add_option(const std::string& name, std::uint32_t& into, const std::string& help) const;
  Option add_option(const std::string& name, std::optional<std::uint64_t>& into,
                    const std::string& help) const;
  Option add_flag(const std::string& name, bool& into, const std::string& help) const;

  // Help is --help alone: -h means something else here.
  void help_without_short() const;
  // "-name" is read as "--name", as find(1) has it; short options cannot be put together.
  void long_options_with_one_dash() const;
  // Neither help nor completion show it.
  void hide() const;

  // Called while parsing, if this is the command that was named.
  void on_chosen(std::function<void()> action) const;

  [[nodiscard]] std::optional<Command> find(const std::string& name) const;
  // "troth cell init".
  [[nodiscard]] std::string path() const;
  [[nodiscard]] std::string help() const;
  [[nodiscard]] const CLI::App& app() const { return *app_; }

 private:
  CLI::App* app_;
};

// The whole tree, which everything above points into.
class CommandTree {
 public:
  CommandTree(const char* name, const char* help, const char* footer);
  ~CommandTree();
  CommandTree(const CommandTree&) = delete;
  CommandTree& operator=(const CommandTree&) = delete;

  [[nodiscard]] Command root() const { return Command(*app_); }
  // The innermost command that the words named.
  [[nodiscard]] Command chosen() const;

  enum class Parsed : std::uint8_t { Fine, HelpWanted, Wrong };
  struct Outcome {
    Parsed parsed = Parsed::Fine;
    std::string mistake;  // one sentence, if it is Wrong
  };
  // The words behind the program's name, in their order.
  Outcome parse(const std::vector<std::string>& words);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace cli
