#include "cli/output.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "common/log/escape.hpp"
#include "common/utf8.hpp"

namespace cli {
namespace {

bool wants_colour() {
  static const bool wanted = [] {
    const char* terminal = std::getenv("TERM");
    return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr &&
           terminal != nullptr && std::string_view(terminal) != "dumb";
  }();
  return wanted;
}

constexpr char kEscape = '\x1B';
// Of one failure. The longest of our own, with two paths in it, are far shorter.
constexpr std::size_t kMaxMessage = 2000;

// Our own colour sequence at the beginning of `text`, or 0.
std::size_t own_colour_length(std::string_view text) {
  for (const std::string_view known : {"\x1B[31m", "\x1B[32m", "\x1B[33m", "\x1B[0m"}) {
    if (text.starts_with(known))
      return known.size();
  }
  return 0;
}

std::string harmless(std::string_view text, bool colours) {
  std::string out;
  while (!text.empty()) {
    if (colours && text[0] == kEscape) {
      if (const std::size_t length = own_colour_length(text); length > 0) {
        out += text.substr(0, length);
        text.remove_prefix(length);
        continue;
      }
    }
    const common::Utf8Step step = common::decode_utf8(text);
    const bool bad = !step.valid || (common::is_control(step.code_point) && text[0] != '\n');
    out += bad ? std::string_view("?") : text.substr(0, step.length);
    text.remove_prefix(step.length);
  }
  return out;
}

void write_all(std::FILE* to, std::string_view text) {
  // A closed pipe ends the program by its signal; nothing else is left to tell anybody.
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), to));
  static_cast<void>(std::fflush(to));
}

}  // namespace

std::string coloured(std::string_view text, Colour colour) {
  if (!wants_colour())
    return std::string(text);
  const char* code = colour == Colour::Good ? "32" : colour == Colour::Warning ? "33" : "31";
  return fmt::format("\x1B[{}m{}\x1B[0m", code, text);
}

std::string said(std::string_view text, std::size_t most) {
  std::string out;
  if (!common::log::append_escaped(out, text, common::log::Quoting::Bare, most))
    out += "...";
  return out;
}

void print(std::string_view text) {
  write_all(stdout, harmless(text, wants_colour()));
}

void print_error(std::string_view message) {
  const bool cut = message.size() > kMaxMessage;
  std::string line = harmless(message.substr(0, kMaxMessage), false);
  if (cut)
    line += "...";
  for (char& c : line) {
    if (c == '\n')
      c = ' ';
  }
  write_all(stderr, "troth: " + line + "\n");
}

std::string duration_text(std::uint64_t seconds) {
  constexpr std::uint64_t kMinute = 60;
  constexpr std::uint64_t kHour = 60 * kMinute;
  constexpr std::uint64_t kDay = 24 * kHour;
  if (seconds >= kDay)
    return fmt::format("{} d {} h", seconds / kDay, seconds % kDay / kHour);
  if (seconds >= kHour)
    return fmt::format("{} h {} min", seconds / kHour, seconds % kHour / kMinute);
  if (seconds >= kMinute)
    return fmt::format("{} min", seconds / kMinute);
  return fmt::format("{} s", seconds);
}

}  // namespace cli
