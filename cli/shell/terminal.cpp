#include "cli/shell/terminal.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "cli/files/out.hpp"
#include "cli/shell/words.hpp"

namespace cli {
namespace {

using common::fail_errno;
using common::Result;

// Of a lone Escape: what follows within this time belongs to it.
constexpr int kEscapeMs = 50;
constexpr std::size_t kMostShown = 200;  // of the words that Tab may go on with

// For signal handlers: what the terminal was like.
termios before{};
volatile std::sig_atomic_t raw = 0;

void restore() {
  if (raw != 0)
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  raw = 0;
}

void on_end(int number) {
  restore();
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(number, &standard, nullptr);
  ::raise(number);
}

// Keys as they come, one at a time, while it lives.
class RawMode {
 public:
  RawMode() {
    if (::tcgetattr(STDIN_FILENO, &before) != 0)
      return;
    struct sigaction action {};
    action.sa_handler = &on_end;
    for (std::size_t i = 0; i < std::size(kSignals); ++i)
      ::sigaction(kSignals[i], &action, &old_[i]);
    termios changed = before;
    changed.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    changed.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
    changed.c_cc[VMIN] = 1;
    changed.c_cc[VTIME] = 0;
    raw = 1;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &changed);
    handled_ = true;
  }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode() {
    restore();
    for (std::size_t i = 0; handled_ && i < std::size(kSignals); ++i)
      ::sigaction(kSignals[i], &old_[i], nullptr);
  }

 private:
  static constexpr int kSignals[] = {SIGTERM, SIGHUP};
  struct sigaction old_[2]{};
  bool handled_ = false;
};

std::size_t width() {
  constexpr std::size_t kUsual = 80;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return kUsual;
}

void put(std::string_view text) {
  standard_out().write(text);
  static_cast<void>(standard_out().flush());
}

class Reading {
 public:
  Reading(const std::string& prompt, const std::vector<std::string>& history,
          const Complete& complete)
      : prompt_(prompt), complete_(complete), editor_(history) {}

  Result<ReadLine> run();

 private:
  Result<std::optional<KeyPress>> next();
  void redraw() const;
  void complete();
  void list(const std::vector<std::string>& words) const;
  ReadLine end(LineEnd how, std::string_view after) {
    put(after);
    return {how, editor_.text()};
  }

  const std::string& prompt_;
  const Complete& complete_;
  LineEditor editor_;
  KeyDecoder decoder_;
  bool tab_before_ = false;
};

void Reading::redraw() const {
  std::string prompt = prompt_;
  if (editor_.search())
    prompt = "(search \"" + *editor_.search() + "\") ";
  const ShownLine line = show_line(prompt, editor_.text(), editor_.cursor(), width());
  std::string text = "\r" + line.text + "\x1B[K\r";
  if (line.cursor > 0)
    text += fmt::format("\x1B[{}C", line.cursor);
  put(text);
}

// nullopt: the input has ended.
Result<std::optional<KeyPress>> Reading::next() {
  for (;;) {
    if (decoder_.waits()) {
      pollfd input{STDIN_FILENO, POLLIN, 0};
      if (::poll(&input, 1, kEscapeMs) == 0) {
        if (auto press = decoder_.pause())
          return press;
      }
    }
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) {
      redraw();  // the terminal has another size, or we were stopped
      continue;
    }
    if (got < 0)
      return fail_errno(errno, "read the terminal");
    if (got == 0)
      return std::optional<KeyPress>();
    if (auto press = decoder_.feed(byte))
      return press;
  }
}

void Reading::list(const std::vector<std::string>& words) const {
  // Only the last part: the directory is on the line already.
  std::vector<std::string> names;
  std::size_t widest = 0;
  for (const std::string& word : words) {
    const std::size_t slash = word.find_last_of('/', word.size() < 2 ? 0 : word.size() - 2);
    names.push_back(
        quoted_name(std::string_view(word).substr(slash == std::string::npos ? 0 : slash + 1)));
    widest = std::max(widest, names.back().size() + 2);
    if (names.size() == kMostShown)
      break;
  }
  const std::size_t across = std::max<std::size_t>(1, width() / widest);
  std::string text = "\r\n";
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += names[i];
    const bool last = i + 1 == names.size() || (i + 1) % across == 0;
    text += last ? "\r\n" : std::string(widest - names[i].size(), ' ');
  }
  if (words.size() > names.size())
    text += fmt::format("... and {} more\r\n", words.size() - names.size());
  put(text);
}

void Reading::complete() {
  const Completion completion =
      complete_(std::string_view(editor_.text()).substr(0, editor_.cursor()));
  if (completion.words.empty())
    return put("\a");
  const std::string common = common_beginning(completion.words);
  const std::string typed =
      unfinished_word(std::string_view(editor_.text()).substr(0, editor_.cursor())).text;
  if (completion.words.size() == 1) {
    const bool goes_on = common.ends_with('/');
    editor_.replace_to_cursor(completion.begin, quoted_word(common) + (goes_on ? "" : " "));
    return;
  }
  if (common.size() > typed.size()) {
    // What is quoted stays open, so that typing goes on within the word.
    std::string quoted = quoted_word(common);
    if (quoted != common && quoted.size() > 1)
      quoted.pop_back();
    editor_.replace_to_cursor(completion.begin, quoted);
    return;
  }
  if (tab_before_)
    list(completion.words);
  else
    put("\a");
}

Result<ReadLine> Reading::run() {
  const RawMode raw_mode;
  for (;;) {
    redraw();
    TROTH_TRY(const auto press, next());
    if (!press)
      return end(LineEnd::Ended, "\r\n");
    switch (editor_.on(*press)) {
      case LineEditor::Outcome::Accepted:
        redraw();
        return end(LineEnd::Line, "\r\n");
      case LineEditor::Outcome::Interrupted:
        return end(LineEnd::Interrupted, "^C\r\n");
      case LineEditor::Outcome::Ended:
        return end(LineEnd::Ended, "\r\n");
      case LineEditor::Outcome::Clear:
        put("\x1B[H\x1B[2J");
        break;
      case LineEditor::Outcome::WantsCompletion:
        complete();
        break;
      case LineEditor::Outcome::Going:
        break;
    }
    tab_before_ = press->key == Key::Tab;
  }
}

}  // namespace

bool can_edit() {
  const char* kind = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && kind != nullptr &&
         std::string_view(kind) != "dumb";
}

Result<ReadLine> read_line(const std::string& prompt, const std::vector<std::string>& history,
                           const Complete& complete) {
  return Reading(prompt, history, complete).run();
}

}  // namespace cli
