#include "cli/shell/shell.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "cli/files/complete_path.hpp"
#include "cli/files/interrupt.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "cli/shell/glob.hpp"
#include "cli/shell/history_file.hpp"
#include "common/completion/from_cli11.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace cli {

using common::Status;
namespace completion = common::completion;

namespace {

constexpr std::string_view kOwn[] = {"cd", "exit", "help", "history", "lcd", "lls", "lpwd", "pwd"};

constexpr std::string_view kHelp =
    "Where you are:      cd [DIR]  pwd, and on this machine: lcd [DIR]  lpwd  lls [DIR]\n"
    "The shell:          help [COMMAND]  history  exit\n"
    "Tab completes paths, Ctrl-R searches what you typed before, Ctrl-C ends a command.\n"
    "Quote names as in sh: 'a b', \"it's\", $'a\\nb'. Patterns: * ? [a-z].\n";

// The commands that work with files, as one line of the shell has them.
struct Verbs {
  Verbs(const common::Clock& clock, const FileContextPtr& context)
      : session{.clock = clock, .action = nullptr} {
    add_file_commands(tree.root(), session, context);
    add_volume_commands(tree.root(), session, context);
  }
  Session session;
  CommandTree tree{"troth", "", ""};
};

std::vector<std::string> names_of(const completion::Command& command) {
  std::vector<std::string> names;
  for (const completion::Command& below : command.subcommands)
    names.push_back(below.name);
  return names;
}

// "Files of the cell: ls mkdir ...", on as many lines as it takes.
std::string verbs_text(const completion::Command& verbs) {
  constexpr std::string_view kBegin = "Files of the cell: ";
  constexpr std::size_t kWidth = 78;
  std::string text;
  std::string line(kBegin);
  for (const std::string& name : names_of(verbs)) {
    if (line.size() + 1 + name.size() > kWidth) {
      text += line + "\n";
      line.assign(kBegin.size(), ' ');
    }
    line += " " + name;
  }
  return text + line + "\n";
}

const char* home_directory() {
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  return home == nullptr ? "/" : home;
}

std::string local_directory() {
  char path[PATH_MAX];
  return ::getcwd(path, sizeof path) == nullptr ? "?" : path;
}

std::vector<std::string> local_names(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = ::opendir(directory.empty() ? "." : directory.c_str());
  if (stream == nullptr)
    return names;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    struct stat info {};
    if (name == "." || name == "..")
      continue;
    const bool is_directory =
        ::stat((directory + name).c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    names.push_back(name + (is_directory ? "/" : ""));
  }
  ::closedir(stream);
  return names;
}

std::vector<std::string> complete_local(const std::string& word, bool only_directories) {
  const std::size_t slash = word.rfind('/');
  const std::string before = slash == std::string::npos ? "" : word.substr(0, slash + 1);
  const std::string begun = slash == std::string::npos ? word : word.substr(slash + 1);
  std::vector<std::string> found;
  for (const std::string& name : local_names(before)) {
    if (name.starts_with(begun) && !(begun.empty() && name.starts_with('.')) &&
        (!only_directories || name.ends_with('/')))
      found.push_back(before + name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Adds a line of standard input to `line`, byte by byte, so that the rest stays where it is. False:
// it has ended.
bool read_input_line(std::string& line) {
  char c = 0;
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    if (c == '\n')
      return true;
    line += c;
  }
}

// Whether the argument with that number (from 1) of a command is a local path; options not counted.
bool is_local(const std::string& verb, std::size_t number, bool last) {
  if (verb == "put")
    return !last || number == 1;
  if (verb == "get")
    return last && number > 1;
  return verb == "lcd" || verb == "lls";
}

}  // namespace

Shell::Shell(std::unique_ptr<Files> files, const common::Clock& clock)
    : context_(std::make_shared<FileContext>()), clock_(clock) {
  context_->files = std::move(files);
  context_->in_shell = true;
}

Shell::Strings Shell::names_in(const std::string& directory, Status& trouble) {
  Strings names;
  const auto failed_with = [&](const common::Error& error) {
    if (trouble && error.code != common::ErrorCode::NotFound)
      trouble = tl::unexpected(error);
    return names;
  };
  Files& files = *context_->files;
  const auto found = files.find(directory.empty() ? "." : directory);
  if (!found)
    return failed_with(found.error());
  if (!found->is_directory())
    return names;
  fileclient::Listing listing(files.client(), found->fid, files.calls());
  for (;;) {
    const auto entry = listing.next();
    if (!entry)
      return failed_with(entry.error().in(said(found->path)));
    if (*entry == nullptr)
      return names;
    names.push_back((*entry)->name +
                    ((*entry)->node.kind == fileproto::NodeKind::Directory ? "/" : ""));
  }
}

common::Result<Shell::Strings> Shell::expanded(const Words& words) {
  Strings out;
  Status trouble;
  const std::string& verb = words[0].text;
  std::size_t arguments = 0;
  std::size_t number = 0;
  for (std::size_t i = 1; i < words.size(); ++i)
    arguments += words[i].text.starts_with('-') ? 0 : 1;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == 0 || words[i].text.starts_with('-')) {
      out.push_back(words[i].text);
      continue;
    }
    ++number;
    const bool local = is_local(verb, number, number == arguments);
    TROTH_TRY(const auto found, expand(words[i], [&](const std::string& directory) {
                return local ? local_names(directory) : names_in(directory, trouble);
              }));
    TROTH_TRY_VOID(trouble);
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

int Shell::cd(const Strings& words) {
  if (words.size() > 2) {
    print_error("cd: one directory, please");
    return kExitUsage;
  }
  const std::string to = words.size() < 2 ? "/" : words[1] == "-" ? before_ : words[1];
  Files& files = *context_->files;
  const auto found = files.find(to);
  if (!found)
    return failed(found.error());
  if (!found->is_directory()) {
    print_error(said(to) + ": not a directory");
    return kExitFailure;
  }
  // Whoever may not search it learns it now and not with the next command.
  fileproto::ListArgs args;
  args.dir = found->fid;
  args.limit = 1;
  if (const auto page = files.client().list(args, files.client().filled(files.calls())); !page)
    return failed(page.error().in(said(to)));
  before_ = fileclient::to_text(files.here());
  auto parsed = fileclient::parse_remote_path(found->path);
  if (!parsed)
    return failed(parsed.error());
  files.go(*std::move(parsed));
  return kExitOk;
}

int Shell::lcd(const Strings& words) {
  const std::string to = words.size() < 2 ? home_directory() : words[1];
  if (::chdir(to.c_str()) != 0)
    return failed(common::fail_errno(errno, "{}", said(to)).value());
  return kExitOk;
}

int Shell::help(const Strings& words) {
  if (words.size() < 2) {
    const Verbs verbs(clock_, context_);
    standard_out().write(verbs_text(completion::from_cli11(verbs.tree.root().app())) +
                         std::string(kHelp));
    return kExitOk;
  }
  Strings asked(words.begin() + 1, words.end());
  asked.emplace_back("--help");
  return run_verb(asked);
}

std::optional<int> Shell::run_own(const Strings& words) {
  const std::string& verb = words[0];
  if (verb == "cd")
    return cd(words);
  if (verb == "lcd")
    return lcd(words);
  if (verb == "help" || verb == "?")
    return help(words);
  if (verb == "pwd")
    standard_out().write(shown_name(fileclient::to_text(context_->files->here())) + "\n");
  else if (verb == "lpwd")
    standard_out().write(shown_name(local_directory()) + "\n");
  else if (verb == "history" && words.size() == 1)
    for (std::size_t i = 0; i < typed_.size(); ++i)
      standard_out().write(fmt::format("{:>5}  {}\n", i + 1, typed_[i]));
  else if (verb == "lls")
    for (const std::string& name : complete_local(words.size() > 1 ? words[1] + "/" : "", false))
      standard_out().write(shown_name(name.substr(words.size() > 1 ? words[1].size() + 1 : 0)) +
                           "\n");
  else if (verb == "exit" || verb == "quit")
    ended_ = true;
  else
    return std::nullopt;
  if (!ended_)
    return kExitOk;
  int code = code_;
  if (words.size() > 1)
    std::from_chars(words[1].data(), words[1].data() + words[1].size(), code);
  return code;
}

int Shell::run_verb(const Strings& words) {
  Verbs verbs(clock_, context_);
  const auto outcome = verbs.tree.parse(words);
  if (outcome.parsed == CommandTree::Parsed::HelpWanted) {
    print(verbs.tree.chosen().help());
    return kExitOk;
  }
  if (!verbs.tree.root().find(words[0])) {
    print_error(fmt::format("there is no command \"{}\" here; see: help", said(words[0])));
    return kExitUsage;
  }
  if (outcome.parsed == CommandTree::Parsed::Wrong) {
    print_error(outcome.mistake + "; see: help " + words[0]);
    return kExitUsage;
  }
  if (!verbs.session.action) {
    print(verbs.tree.chosen().help());
    return kExitUsage;
  }
  return verbs.session.action();
}

bool Shell::run_command(const Words& words) {
  Files& files = *context_->files;
  files.begin();
  InterruptScope interrupts(files.cancellation(), true);
  const auto strings = expanded(words);
  if (!strings)
    code_ = failed(strings.error());
  else if (const auto own = run_own(*strings))
    code_ = *own;
  else
    code_ = run_verb(*strings);
  static_cast<void>(standard_out().flush());
  code_ = interrupts.ended(code_);
  return !ended_ && !(stops_ && code_ != kExitOk);
}

bool Shell::run_line(const std::string& line) {
  const auto commands = split_line(line);
  if (!commands) {
    print_error(commands.error().message);
    code_ = kExitUsage;
    return !stops_;
  }
  for (const Words& words : *commands) {
    if (!run_command(words))
      return false;
    if (context_->files->interrupted())
      return true;
  }
  return true;
}

std::string Shell::prompt() const {
  std::string place = fileclient::to_text(context_->files->here());
  constexpr std::size_t kMostShown = 40;
  if (place.size() > kMostShown)
    place = "..." + place.substr(place.size() - kMostShown + 3);
  return fmt::format("{} {}> ", context_->files->client().cell_name(), said(place));
}

Completion Shell::complete(std::string_view line) {
  Unfinished unfinished = unfinished_word(line);
  Completion completion;
  completion.begin = unfinished.begin;
  completion.words = complete_word(unfinished);
  if (!completion.words.empty() || unfinished.words_before.empty())
    return completion;
  const std::string& verb = unfinished.words_before[0];
  std::size_t number = 1;
  for (std::size_t i = 1; i < unfinished.words_before.size(); ++i)
    number += unfinished.words_before[i].starts_with('-') ? 0 : 1;
  if (is_local(verb, number, number > 1)) {
    completion.words = complete_local(unfinished.text, verb == "lcd");
    return completion;
  }
  context_->files->begin();
  completion.words = complete_path(*context_->files, unfinished.text);
  if (verb == "cd")
    std::erase_if(completion.words, [](const std::string& word) { return !word.ends_with('/'); });
  for (std::string& word : completion.words) {
    if (word.starts_with('-'))
      word = as_path(std::move(word));
  }
  return completion;
}

// Names of commands, of their parts, and options.
Shell::Strings Shell::complete_word(const Unfinished& unfinished) {
  const Verbs verbs(clock_, context_);
  Strings before = unfinished.words_before;
  if (!before.empty() && before[0] == "help")
    before.erase(before.begin());
  const completion::Command top = completion::from_cli11(verbs.tree.root().app());
  const completion::Command* at = &top;
  for (const std::string& word : before) {
    const auto below = std::find_if(at->subcommands.begin(), at->subcommands.end(),
                                    [&](const auto& command) { return command.name == word; });
    if (below == at->subcommands.end())
      break;
    at = &*below;
  }
  Strings names;
  if (at != &top && unfinished.text.starts_with('-')) {
    for (const completion::Option& option : at->options)
      names.insert(names.end(), option.names.begin(), option.names.end());
  } else if (at != &top || before.empty()) {
    names = names_of(*at);
    if (at == &top)
      names.insert(names.end(), std::begin(kOwn), std::end(kOwn));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(unfinished.text); });
  return names;
}

int Shell::interact() {
  // Ctrl-C between two commands ends nothing; while one runs, it is that one's.
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  ::sigaction(SIGINT, &nothing, nullptr);
  HistoryFile history(history_path());
  if (!history.trouble())
    print_error(history.trouble().error().message);
  typed_ = history.lines();
  std::string begun;
  for (;;) {
    auto line = read_line(begun.empty() ? prompt() : "> ", typed_,
                          [this](std::string_view text) { return complete(text); });
    if (!line)
      return failed(line.error());
    if (line->end == LineEnd::Ended)
      return code_;
    if (line->end == LineEnd::Interrupted) {
      begun.clear();
      continue;
    }
    begun += line->text;
    if (goes_on(begun)) {
      begun += "\n";
      continue;
    }
    history.add(begun);
    typed_ = history.lines();
    const std::string whole = std::move(begun);
    begun.clear();
    if (!run_line(whole))
      return code_;
  }
}

int Shell::run_script(const std::string& text) {
  std::string begun;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    begun += rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!rest.empty() && goes_on(begun)) {
      begun += "\n";
      continue;
    }
    if (!run_line(begun) || context_->files->interrupted())
      return code_;
    begun.clear();
  }
  return code_;
}

int Shell::run_input() {
  std::string begun;
  for (bool more = true; more;) {
    more = read_input_line(begun);
    if (more && goes_on(begun)) {
      begun += "\n";
      continue;
    }
    if (!run_line(begun) || context_->files->interrupted())
      return code_;
    begun.clear();
  }
  return code_;
}

}  // namespace cli
