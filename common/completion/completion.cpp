#include "common/completion/completion.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <functional>

namespace common::completion {
namespace {

// Every command with its path ("troth cell init"), parents first.
void walk(const Command& command, const std::string& path,
          const std::function<void(const std::string& path, const Command&)>& visit) {
  visit(path, command);
  for (const Command& sub : command.subcommands)
    walk(sub, path + " " + sub.name, visit);
}

void visit_all(const Command& program,
               const std::function<void(const std::string& path, const Command&)>& visit) {
  walk(program, program.name, visit);
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

std::vector<std::string> subcommand_names(const Command& command) {
  std::vector<std::string> names;
  for (const Command& sub : command.subcommands)
    names.push_back(sub.name);
  return names;
}

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names;
  for (const Option& option : command.options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

// The text inside single quotes, for every one of the three shells.
std::string single_quoted(std::string_view text, std::string_view quote_as) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += quote_as;
    } else {
      out += c;
    }
  }
  return out + "'";
}
std::string posix_quoted(std::string_view text) {
  return single_quoted(text, "'\\''");
}
std::string fish_quoted(std::string_view text) {
  return single_quoted(text, "\\'");
}

// --- bash ---------------------------------------------------------------------------------------

std::string bash_reply(const Value& value) {
  switch (value.kind) {
    case ValueKind::File:
      return "COMPREPLY=($(compgen -f -- \"$cur\"))";
    case ValueKind::Directory:
      return "COMPREPLY=($(compgen -d -- \"$cur\"))";
    case ValueKind::Words:
      return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))",
                         posix_quoted(joined(value.words, " ")));
    case ValueKind::Remote:
      return "_troth_remote_paths \"$cur\"";
    case ValueKind::FileOrRemote:
      return "_troth_remote_paths \"$cur\"; COMPREPLY+=($(compgen -f -- \"$cur\"))";
    case ValueKind::None:
    case ValueKind::Text:
      break;
  }
  return "COMPREPLY=()";
}

bool asks_program(const Value& value) {
  return value.kind == ValueKind::Remote || value.kind == ValueKind::FileOrRemote;
}

// Whether any value of the tree is a path of the cell.
bool has_remote(const Command& program) {
  bool found = false;
  visit_all(program, [&](const std::string&, const Command& command) {
    for (const Option& option : command.options)
      found = found || asks_program(option.value);
    for (const Value& value : command.positionals)
      found = found || asks_program(value);
  });
  return found;
}

// Cases of `case "$path $prev"`: what follows an option that takes a value.
std::string bash_option_cases(const Command& program) {
  std::string cases;
  visit_all(program, [&](const std::string& path, const Command& command) {
    for (const Option& option : command.options) {
      if (option.value.kind == ValueKind::None)
        continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names)
        patterns.push_back(fmt::format("'{} {}'", path, name));
      cases += fmt::format("    {})\n      {}; return ;;\n", joined(patterns, "|"),
                           bash_reply(option.value));
    }
  });
  return cases;
}

std::string bash_path_cases(const Command& program) {
  std::string cases;
  visit_all(program, [&](const std::string& path, const Command& command) {
    const std::string otherwise =
        command.positionals.empty() ? "COMPREPLY=()" : bash_reply(command.positionals.front());
    const auto names = subcommand_names(command);
    cases += fmt::format(
        "    '{}')\n"
        "      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W {} -- \"$cur\"))\n"
        "      else {}; fi ;;\n",
        path, posix_quoted(joined(option_names(command), " ")),
        names.empty() ? otherwise
                      : fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))",
                                    posix_quoted(joined(names, " "))));
  });
  return cases;
}

std::string bash_commands(const Command& program) {
  std::vector<std::string> paths;
  visit_all(program,
            [&](const std::string& path, const Command&) { paths.push_back("'" + path + "'"); });
  return joined(paths, "|");
}

// Asks the program for paths of the cell. Candidates may have spaces in them, so one comes on each
// line; behind a directory typing goes on. bash splits words at colons, of which a path may have
// one: the word is put together again, and what is before its last colon is left out of the
// answers, for bash has it already.
std::string bash_remote_paths(const Command& program) {
  return fmt::format(
      "_troth_remote_paths() {{\n"
      "  local word=$1 i=$COMP_CWORD line=${{COMP_LINE:0:COMP_POINT}} before\n"
      "  while ((i > 1)) && [[ ${{COMP_WORDS[i-1]}} == *: || $word == :* ]] &&\n"
      "    [[ $line == *\"${{COMP_WORDS[i-1]}}$word\" ]]; do\n"
      "    word=${{COMP_WORDS[i-1]}}$word\n"
      "    i=$((i - 1))\n"
      "  done\n"
      "  word=${{word#[\\'\\\"]}}\n"
      "  word=${{word//\\\\/}}\n"
      "  before=${{word%\"${{word##*:}}\"}}\n"
      "  [[ $COMP_WORDBREAKS == *:* ]] || before=\n"
      "  mapfile -t COMPREPLY < <({0} complete-path -- \"$word\" 2>/dev/null)\n"
      "  COMPREPLY=(\"${{COMPREPLY[@]#\"$before\"}}\")\n"
      "  if [[ ${{#COMPREPLY[@]}} -eq 1 && $COMPREPLY == */ ]]; then\n"
      "    compopt -o nospace 2>/dev/null\n"
      "  fi\n"
      "}}\n",
      program.name);
}

std::string bash_script(const Command& program) {
  return (has_remote(program) ? bash_remote_paths(program) : "") +
         fmt::format(
             "# bash completion for {0}; generated.\n"
             "_{0}() {{\n"
             "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} "
             "path={0} i\n"
             "  COMPREPLY=()\n"
             "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
             "    case \"$path ${{COMP_WORDS[i]}}\" in\n"
             "      {1}) path=\"$path ${{COMP_WORDS[i]}}\" ;;\n"
             "    esac\n"
             "  done\n"
             "  case \"$path $prev\" in\n"
             "{2}"
             "    *) ;;\n"
             "  esac\n"
             "  case \"$path\" in\n"
             "{3}"
             "  esac\n"
             "}}\n"
             "complete -o filenames -F _{0} {0}\n",
             program.name, bash_commands(program), bash_option_cases(program),
             bash_path_cases(program));
}

// --- zsh ----------------------------------------------------------------------------------------

// Text within an _arguments specification, where brackets and colons mean something.
std::string zsh_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\')
      out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const Value& value) {
  switch (value.kind) {
    case ValueKind::File:
      return "_files";
    case ValueKind::Directory:
      return "_files -/";
    case ValueKind::Words:
      return "(" + joined(value.words, " ") + ")";
    case ValueKind::Remote:
      return "_troth_remote_paths";
    case ValueKind::FileOrRemote:
      return "{_troth_remote_paths; _files}";
    case ValueKind::None:
    case ValueKind::Text:
      break;
  }
  return " ";
}

std::string function_of(const std::string& path) {
  std::string name = "_";
  for (const char c : path)
    name += c == ' ' || c == '-' ? '_' : c;
  return name;
}

std::string zsh_function(const std::string& path, const Command& command) {
  std::string specs;
  for (const Option& option : command.options) {
    for (const std::string& name : option.names) {
      std::string spec = fmt::format("{}[{}]", name, zsh_escaped(option.help));
      if (option.value.kind != ValueKind::None)
        spec += ":value:" + zsh_action(option.value);
      specs += " \\\n    " + posix_quoted(spec);
    }
  }
  if (command.subcommands.empty()) {
    for (const Value& value : command.positionals)
      specs += " \\\n    " + posix_quoted("*:value:" + zsh_action(value));
    return fmt::format("{}() {{\n  _arguments{}\n}}\n", function_of(path), specs);
  }
  std::string names;
  std::string cases;
  for (const Command& sub : command.subcommands) {
    names += fmt::format("    {}\n", posix_quoted(sub.name + ":" + zsh_escaped(sub.help)));
    cases += fmt::format("      {}) {} ;;\n", sub.name, function_of(path + " " + sub.name));
  }
  return fmt::format(
      "{}() {{\n  local state line\n  local -a commands\n  commands=(\n{}  )\n"
      "  _arguments -C{} \\\n    '1: :->command' '*:: :->rest'\n"
      "  case $state in\n    command) _describe command commands ;;\n"
      "    rest) case $line[1] in\n{}    esac ;;\n  esac\n}}\n",
      function_of(path), names, specs, cases);
}

std::string zsh_script(const Command& program) {
  std::string text =
      fmt::format("#compdef {0}\n# zsh completion for {0}; generated.\n", program.name);
  if (has_remote(program)) {
    text += fmt::format(
        "_troth_remote_paths() {{\n  local -a found\n"
        "  found=(${{(f)\"$({} complete-path -- $words[CURRENT] 2>/dev/null)\"}})\n"
        "  compadd -S '' -U -- $found\n}}\n",
        program.name);
  }
  visit_all(program, [&](const std::string& path, const Command& command) {
    text += zsh_function(path, command);
  });
  return text + function_of(program.name) + " \"$@\"\n";
}

// --- fish ---------------------------------------------------------------------------------------

std::string fish_value(const Value& value) {
  switch (value.kind) {
    case ValueKind::None:
      return "";
    case ValueKind::Text:
      return " -x";
    case ValueKind::File:
      return " -r -F";
    case ValueKind::Directory:
      return " -x -a '(__fish_complete_directories)'";
    case ValueKind::Words:
      return " -x -a " + fish_quoted(joined(value.words, " "));
    case ValueKind::Remote:
      return " -x -a '(__troth_remote_paths)'";
    case ValueKind::FileOrRemote:
      return " -r -F -a '(__troth_remote_paths)'";
  }
  return "";
}

std::string fish_condition(const std::string& program, const std::string& path) {
  return fmt::format("-n '__{}_at {}'", program, path);
}

std::string fish_script(const Command& program) {
  // Words that are commands, so that options and values before the cursor are skipped.
  std::string text = fmt::format(
      "# fish completion for {0}; generated.\nfunction __{0}_at\n"
      "  set -l path {0}\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    switch \"$path $word\"\n      case",
      program.name);
  visit_all(program, [&](const std::string& path, const Command&) { text += " '" + path + "'"; });
  text += "\n        set path \"$path $word\"\n    end\n  end\n  test \"$path\" = \"$argv\"\nend\n";
  if (has_remote(program))
    text += fmt::format(
        "function __troth_remote_paths\n  {} complete-path -- (commandline -ct) 2>/dev/null\nend\n",
        program.name);
  text += fmt::format("complete -c {} -f\n", program.name);
  visit_all(program, [&](const std::string& path, const Command& command) {
    const std::string start =
        fmt::format("complete -c {} {}", program.name, fish_condition(program.name, path));
    for (const Command& sub : command.subcommands)
      text += fmt::format("{} -a {} -d {}\n", start, sub.name, fish_quoted(sub.help));
    for (const Option& option : command.options) {
      text += start;
      for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      text += fmt::format("{} -d {}\n", fish_value(option.value), fish_quoted(option.help));
    }
    if (command.subcommands.empty()) {
      for (const Value& value : command.positionals) {
        if (value.kind == ValueKind::File)
          text += start + " -F\n";
        else if (value.kind == ValueKind::Directory)
          text += start + " -a '(__fish_complete_directories)'\n";
        else if (value.kind == ValueKind::Words)
          text += fmt::format("{} -a {}\n", start, fish_quoted(joined(value.words, " ")));
        else if (asks_program(value))
          text += fmt::format("{}{} -a '(__troth_remote_paths)'\n", start,
                              value.kind == ValueKind::FileOrRemote ? " -F" : "");
      }
    }
  });
  return text;
}

}  // namespace

std::optional<Shell> shell_from_name(std::string_view name) {
  if (name == "bash")
    return Shell::Bash;
  if (name == "zsh")
    return Shell::Zsh;
  if (name == "fish")
    return Shell::Fish;
  return std::nullopt;
}

std::string script_for(Shell shell, const Command& program) {
  switch (shell) {
    case Shell::Bash:
      return bash_script(program);
    case Shell::Zsh:
      return zsh_script(program);
    case Shell::Fish:
      return fish_script(program);
  }
  return {};
}

}  // namespace common::completion
