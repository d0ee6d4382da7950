#pragma once

// The histories of all clients of a run, put into one order while they are written, and judged.

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "tests/support/history/append_check.hpp"
#include "tests/support/history/names_check.hpp"
#include "tests/support/history/register_check.hpp"

namespace history {

// One file that grows.
class Tail {
 public:
  explicit Tail(std::string path) : path_(std::move(path)) {}
  // What has been written since; a line that is not whole waits for its end.
  [[nodiscard]] common::Status read_on(std::deque<Record>& into);

 private:
  const std::string path_;
  std::uint64_t read_ = 0;
  std::string rest_;
};

// One thread.
class Checker {
 public:
  // A file that will be, or is, written by Writer.
  void add(std::uint64_t client, const std::string& path);
  // Its process has ended: nothing more comes than what the file holds now.
  void ended(std::uint64_t client);
  // Reads on and judges what is certainly in order by now: up to the last stamp of the client that
  // has been silent longest. In the end, when all have ended, everything.
  [[nodiscard]] common::Status go_on();

  [[nodiscard]] RegisterCheck& registers() { return registers_; }
  [[nodiscard]] AppendCheck& appends() { return appends_; }
  [[nodiscard]] NamesCheck& names() { return names_; }
  [[nodiscard]] Verdicts& verdicts() { return verdicts_; }
  // Operations whose outcome is known.
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  // By kind and outcome.
  [[nodiscard]] std::uint64_t count(Kind kind, Outcome outcome) const;
  // Records that wait for the silent.
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Source {
    explicit Source(const std::string& path) : tail(path) {}
    Tail tail;
    std::deque<Record> records;
    std::int64_t heard = 0;  // the last stamp
    bool ended = false;
  };
  void judge(const Record& record);
  // The source with the earliest record, of those that may be judged; null: none.
  [[nodiscard]] Source* next(std::int64_t certain);

  Verdicts verdicts_;
  RegisterCheck registers_{verdicts_};
  AppendCheck appends_{verdicts_};
  NamesCheck names_{verdicts_};
  std::map<std::uint64_t, Source> sources_;
  std::map<std::pair<Kind, Outcome>, std::uint64_t> counts_;
  std::uint64_t answered_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace history
