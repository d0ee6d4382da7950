#include "cli/files/progress_line.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/rpc/socket.hpp"

namespace cli {
namespace {

constexpr std::chrono::milliseconds kEvery{200};
constexpr std::chrono::seconds kSpeedOver{3};
// A transfer that is over sooner shows nothing.
constexpr std::chrono::milliseconds kFirst{500};

std::string left_text(std::uint64_t seconds) {
  constexpr std::uint64_t kMinute = 60;
  constexpr std::uint64_t kHour = 3600;
  if (seconds >= 100 * kHour)
    return duration_text(seconds);
  if (seconds >= kHour)
    return fmt::format("{}:{:02}:{:02}", seconds / kHour, seconds % kHour / kMinute,
                       seconds % kMinute);
  return fmt::format("{}:{:02}", seconds / kMinute, seconds % kMinute);
}

std::size_t error_width() {
  constexpr std::size_t kUsual = 80;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return kUsual;
}

void put_error(std::string_view text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
  static_cast<void>(std::fflush(stderr));
}

}  // namespace

std::string progress_text(const ProgressState& state, std::uint64_t bytes_per_second,
                          std::size_t width) {
  std::string line;
  if (state.totals_known && state.bytes_total > 0) {
    line = fmt::format("{:3}% ",
                       std::min<std::uint64_t>(100, state.bytes_done * 100 / state.bytes_total));
  }
  line += human_size(state.bytes_done);
  if (state.bytes_total > 0)
    line += fmt::format(" of {}{}", human_size(state.bytes_total), state.totals_known ? "" : "+");
  if (state.files_total > 1)
    line += fmt::format(", {} of {}{} files", state.files_done, state.files_total,
                        state.totals_known ? "" : "+");
  line += fmt::format(", {}/s", human_size(bytes_per_second));
  if (state.totals_known && bytes_per_second > 0 && state.bytes_total > state.bytes_done) {
    line += fmt::format(", {} left",
                        left_text((state.bytes_total - state.bytes_done + bytes_per_second - 1) /
                                  bytes_per_second));
  }
  if (!state.current.empty() && line.size() + 3 < width) {
    const std::string name = said(state.current, 1'000);
    const std::size_t room = width - line.size() - 3;
    // The end of a path says most; a cut inside a character shows as one odd sign for a moment.
    line += "  " + (name.size() <= room ? name : ".." + name.substr(name.size() - room + 2));
  }
  return line.substr(0, width);
}

ProgressLine::ProgressLine(fileclient::Progress& progress, bool quiet)
    : progress_(progress), shows_(!quiet && ::isatty(STDERR_FILENO) == 1) {
  if (shows_)
    thread_ = std::thread([this] { run(); });
}

ProgressLine::~ProgressLine() {
  if (!shows_)
    return;
  {
    const common::MutexLock lock(mutex_);
    stop_ = true;
    ended_.notify_all();
  }
  thread_.join();
  const common::MutexLock lock(mutex_);
  clear_locked();
}

void ProgressLine::run() {
  const common::MutexLock lock(mutex_);
  from_ = common::rpc::now();
  std::chrono::milliseconds wait = kFirst;
  while (!stop_) {
    const common::Instant until = common::rpc::now() + wait;
    while (!stop_ && common::rpc::now() < until)
      ended_.wait_for(mutex_, until - common::rpc::now());
    if (!stop_)
      show_locked();
    wait = kEvery;
  }
}

void ProgressLine::show_locked() {
  ProgressState state;
  state.bytes_done = progress_.bytes_done;
  state.bytes_total = progress_.bytes_total;
  state.bytes_resumed = progress_.bytes_resumed;
  state.files_done = progress_.files_done;
  state.files_total = progress_.files_total;
  state.totals_known = progress_.totals_known;
  state.current = *progress_.current.lock();
  const std::uint64_t moved = state.bytes_done - std::min(state.bytes_done, state.bytes_resumed);
  const common::Duration past = common::rpc::now() - from_;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(past).count();
  if (ms > 0 && (speed_ == 0 || past >= kSpeedOver))
    speed_ = (moved - std::min(moved, bytes_then_)) * 1000 / static_cast<std::uint64_t>(ms);
  if (past >= kSpeedOver) {
    from_ = common::rpc::now();
    bytes_then_ = moved;
  }
  put_error("\r\x1B[K" + progress_text(state, speed_, error_width() - 1));
  visible_ = true;
}

void ProgressLine::clear_locked() {
  if (visible_)
    put_error("\r\x1B[K");
  visible_ = false;
}

void ProgressLine::say(const std::string& line) {
  const common::MutexLock lock(mutex_);
  clear_locked();
  print_error(line);
}

}  // namespace cli
