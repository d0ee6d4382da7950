#pragma once

// `troth shell`: the commands that work with files, one after the other, in a place of one's own.

#include <memory>
#include <string>
#include <vector>

#include "cli/files/files.hpp"
#include "cli/shell/terminal.hpp"
#include "cli/shell/words.hpp"

namespace cli {

class Shell {
 public:
  Shell(std::unique_ptr<Files> files, const common::Clock& clock);

  // At a terminal, until exit or the end of input.
  int interact();
  // Each command of a script; its exit code is that of the last one.
  int run_script(const std::string& text);
  // Lines of standard input, without a prompt. What follows a line stays for its commands to read.
  int run_input();
  // The first command that fails ends a script, or what comes from standard input.
  void stop_at_failure() { stops_ = true; }

 private:
  using Strings = std::vector<std::string>;

  // One line of one or more commands. False: the shell ends.
  bool run_line(const std::string& line);
  bool run_command(const Words& words);
  int run_verb(const Strings& words);
  std::optional<int> run_own(const Strings& words);  // nullopt: not one of the shell's own
  int cd(const Strings& words);
  int lcd(const Strings& words);
  int help(const Strings& words);
  // A pattern that could not be looked up everywhere expands to nothing: half of it would do
  // something else than was meant.
  [[nodiscard]] common::Result<Strings> expanded(const Words& words);
  [[nodiscard]] std::string prompt() const;
  [[nodiscard]] Completion complete(std::string_view line);
  [[nodiscard]] Strings complete_word(const Unfinished& unfinished);
  // `trouble`: why they are not all, unless it is that nothing is there.
  [[nodiscard]] Strings names_in(const std::string& directory, common::Status& trouble);

  FileContextPtr context_;
  const common::Clock& clock_;
  std::string before_ = "/";  // where `cd -` goes
  std::vector<std::string> typed_;
  int code_ = kExitOk;
  bool ended_ = false;
  bool stops_ = false;
};

}  // namespace cli
