#include "tests/support/history/checker.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace history {

using common::Status;

Status Tail::read_on(std::deque<Record>& into) {
  const common::UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid())
    return errno == ENOENT ? Status() : common::fail_errno(errno, "open {}", path_);
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t n = ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(read_));
    if (n < 0)
      return common::fail_errno(errno, "read {}", path_);
    if (n == 0)
      return {};
    read_ += static_cast<std::uint64_t>(n);
    rest_.append(buffer.data(), static_cast<std::size_t>(n));
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      TROTH_TRY(Record record, from_line(std::string_view(rest_).substr(begin, end - begin)));
      into.push_back(std::move(record));
      begin = end + 1;
    }
    rest_.erase(0, begin);
  }
}

void Checker::add(std::uint64_t client, const std::string& path) {
  sources_.try_emplace(client, path);
}

void Checker::ended(std::uint64_t client) {
  if (const auto source = sources_.find(client); source != sources_.end())
    source->second.ended = true;
}

Checker::Source* Checker::next(std::int64_t certain) {
  Source* best = nullptr;
  for (auto& [client, source] : sources_) {
    if (source.records.empty() || source.records.front().at > certain)
      continue;
    // Of two with one stamp what begins comes first: they may have met.
    const auto before = [](const Record& a, const Record& b) {
      return a.at != b.at ? a.at < b.at : a.phase < b.phase;
    };
    if (best == nullptr || before(source.records.front(), best->records.front()))
      best = &source;
  }
  return best;
}

Status Checker::go_on() {
  std::int64_t certain = INT64_MAX;
  for (auto& [client, source] : sources_) {
    TROTH_TRY_VOID(source.tail.read_on(source.records));
    if (!source.records.empty())
      source.heard = std::max(source.heard, source.records.back().at);
    // Whoever has the same stamp may yet write.
    if (!source.ended)
      certain = std::min(certain, source.heard - 1);
  }
  while (Source* const source = next(certain)) {
    judge(source->records.front());
    source->records.pop_front();
  }
  for (auto it = sources_.begin(); it != sources_.end();) {
    if (!it->second.ended || !it->second.records.empty()) {
      ++it;
      continue;
    }
    registers_.client_gone(it->first);
    appends_.client_gone(it->first);
    names_.client_gone(it->first);
    it = sources_.erase(it);
  }
  return {};
}

void Checker::judge(const Record& record) {
  if (record.phase == Phase::Return) {
    ++counts_[{record.kind, record.outcome}];
    if (record.kind != Kind::Idle && record.outcome != Outcome::Unknown)
      ++answered_;
    if (record.kind != Kind::Idle && record.outcome == Outcome::Done)
      ++done_;
  }
  switch (record.kind) {
    case Kind::Idle:
      return;
    case Kind::Read:
    case Kind::Write:
      return registers_.take(record);
    case Kind::Append:
    case Kind::Log:
      return appends_.take(record);
    case Kind::Create:
    case Kind::Remove:
    case Kind::Rename:
    case Kind::Look:
    case Kind::List:
      return names_.take(record);
    case Kind::Torn:
      return verdicts_.add(Fault::Torn, fmt::format("{}: {}", describe(record), record.text));
  }
}

std::uint64_t Checker::count(Kind kind, Outcome outcome) const {
  const auto found = counts_.find({kind, outcome});
  return found == counts_.end() ? 0 : found->second;
}

std::size_t Checker::waiting() const {
  std::size_t all = 0;
  for (const auto& [client, source] : sources_)
    all += source.records.size();
  return all;
}

}  // namespace history
