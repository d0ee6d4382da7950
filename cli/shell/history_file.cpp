#include "cli/shell/history_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/io/unique_fd.hpp"

namespace cli {

using common::fail;
using common::fail_errno;
using common::Status;
using common::UniqueFd;

namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 20;

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  return value == nullptr ? "" : value;
}

Status check(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0)
    return fail_errno(errno, "look at {}", path);
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 0077) != 0) {
    return fail(common::ErrorCode::PermissionDenied,
                "{} is not a file that only you can read: history is not kept; chmod 600 it", path);
  }
  return {};
}

}  // namespace

std::string history_path() {
  std::string state = variable("XDG_STATE_HOME");
  if (!state.starts_with('/')) {
    const std::string home = variable("HOME");
    if (!home.starts_with('/'))
      return {};
    for (const char* part : {"/.local", "/.local/state"})
      static_cast<void>(::mkdir((home + part).c_str(), 0700));
    state = home + "/.local/state";
  }
  static_cast<void>(::mkdir((state + "/troth").c_str(), 0700));
  return state + "/troth/shell_history";
}

HistoryFile::HistoryFile(std::string path) : path_(std::move(path)) {
  if (!path_.empty())
    trouble_ = load();
}

Status HistoryFile::load() {
  const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && errno == ENOENT)
    return {};
  if (!fd.valid())
    return fail_errno(errno, "read {}", path_);
  TROTH_TRY_VOID(check(fd.get(), path_));
  std::string text(kMostBytes, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got < 0)
    return fail_errno(errno, "read {}", path_);
  text.resize(static_cast<std::size_t>(got));
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin && end - begin <= kMaxHistoryLine)
      lines_.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines_.size() <= 2 * kMaxHistory) {
    if (lines_.size() > kMaxHistory)
      lines_.erase(lines_.begin(), lines_.end() - kMaxHistory);
    return {};
  }
  // Written anew with what is kept, beside it and then in its place.
  lines_.erase(lines_.begin(), lines_.end() - kMaxHistory);
  const std::string fresh = path_ + ".new";
  const UniqueFd out(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  std::string all;
  for (const std::string& line : lines_)
    all += line + "\n";
  if (!out.valid() ||
      ::write(out.get(), all.data(), all.size()) != static_cast<ssize_t>(all.size()) ||
      ::rename(fresh.c_str(), path_.c_str()) != 0)
    return fail_errno(errno, "shorten {}", path_);
  return {};
}

Status HistoryFile::append(const std::string& line) const {
  const UniqueFd fd(::open(
      path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd.valid())
    return fail_errno(errno, "write {}", path_);
  TROTH_TRY_VOID(check(fd.get(), path_));
  const std::string text = line + "\n";
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(errno, "write {}", path_);
  return {};
}

void HistoryFile::add(const std::string& line) {
  if (line.empty() || line[0] == ' ' || line.size() > kMaxHistoryLine ||
      line.find('\n') != std::string::npos || (!lines_.empty() && lines_.back() == line))
    return;
  lines_.push_back(line);
  if (lines_.size() > 2 * kMaxHistory)
    lines_.erase(lines_.begin(), lines_.end() - kMaxHistory);
  if (!path_.empty() && trouble_)
    trouble_ = append(line);
}

}  // namespace cli
