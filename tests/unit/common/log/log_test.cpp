#include "common/log/log.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/io/unique_fd.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"

namespace logging = common::log;

namespace {

struct Pipe {
  common::UniqueFd read_end;
  common::UniqueFd write_end;

  Pipe() {
    std::array<int, 2> fds{};
    REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
    // Reading never waits: what a logging call has written is in the pipe when it returns.
    REQUIRE(::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) == 0);
  }
  std::string drain() const {
    std::string all;
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t n = ::read(read_end.get(), buffer.data(), buffer.size());
      if (n <= 0)
        return all;
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }
};

// Sends the log to a pipe for one test, and back to standard error afterwards.
class Captured {
 public:
  Captured(logging::Level level, logging::Format format) {
    logging::configure({level, format, pipe_.write_end.get()});
  }
  ~Captured() { logging::configure({}); }
  std::string drain() const { return pipe_.drain(); }

 private:
  Pipe pipe_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    lines.push_back(text.substr(start, end - start));
  }
  CHECK(start == text.size());
  return lines;
}

}  // namespace

TEST_CASE("text lines carry an ISO time in UTC") {
  const Captured captured(logging::Level::Info, logging::Format::Text);
  logging::info("started", {{"port", 7480}});
  const std::string line = captured.drain();
  CHECK(line.size() == std::string("2026-01-01T00:00:00.000Z INFO started port=7480\n").size());
  CHECK(line.substr(10, 1) == "T");
  CHECK(line.substr(23) == "Z INFO started port=7480\n");
}

TEST_CASE("levels below the configured one are not written") {
  const Captured captured(logging::Level::Warn, logging::Format::Text);
  CHECK_FALSE(logging::enabled(logging::Level::Info));
  CHECK(logging::enabled(logging::Level::Warn));
  logging::debug("a");
  logging::info("b");
  logging::warn("c");
  logging::error("d");
  CHECK(lines_of(captured.drain()).size() == 2);
}

TEST_CASE("JSON lines are whole objects with a time") {
  const Captured captured(logging::Level::Debug, logging::Format::Json);
  logging::debug("read\na line", {{"peer", "\x01\xff"}, {"bytes", 12}});
  const auto lines = lines_of(captured.drain());
  REQUIRE(lines.size() == 1);
  const auto parsed = nlohmann::json::parse(lines[0], nullptr, false);
  REQUIRE_FALSE(parsed.is_discarded());
  CHECK(parsed["message"] == "read\na line");
  CHECK(parsed["bytes"] == 12);
  CHECK(parsed["time"].get<std::string>().ends_with("Z"));
}

TEST_CASE("a sentence with spdlog's and fmt's own marks is text like any other") {
  const Captured captured(logging::Level::Info, logging::Format::Text);
  logging::info("100 %v {} {0} %n");
  CHECK(captured.drain().ends_with("INFO 100 %v {} {0} %n\n"));
}

TEST_CASE("the journal is recognised by device and inode, not by the variable alone") {
  const Pipe pipe;
  struct stat info {};
  REQUIRE(::fstat(pipe.write_end.get(), &info) == 0);
  const std::string ours = std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
  CHECK(logging::is_journal_stream(pipe.write_end.get(), ours.c_str()));
  CHECK_FALSE(logging::is_journal_stream(pipe.write_end.get(), nullptr));
  CHECK_FALSE(logging::is_journal_stream(pipe.write_end.get(), ""));
  CHECK_FALSE(logging::is_journal_stream(pipe.write_end.get(), (ours + "1").c_str()));
  CHECK_FALSE(logging::is_journal_stream(-1, ours.c_str()));
}

TEST_CASE("lines of several threads never mix") {
  constexpr int kThreads = 4;
  constexpr int kLines = 50;  // 4 * 50 lines of about 120 bytes fit in a pipe of 64 KiB
  const Captured captured(logging::Level::Info, logging::Format::Json);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < kLines; ++i)
        logging::info("line", {{"thread", t}, {"i", i}});
    });
  }
  for (auto& thread : threads)
    thread.join();
  const auto lines = lines_of(captured.drain());
  CHECK(lines.size() == kThreads * kLines);
  CHECK(std::none_of(lines.begin(), lines.end(), [](const std::string& line) {
    return nlohmann::json::parse(line, nullptr, false).is_discarded();
  }));
}

TEST_CASE("a reader that stops holds nobody up, and is told what it missed") {
  Pipe pipe;
  REQUIRE(::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, 16384) == 16384);
  logging::configure({logging::Level::Info, logging::Format::Text, pipe.write_end.get()});
  const auto before = std::chrono::steady_clock::now();
  constexpr int kLines = 1000;  // far more than the pipe takes
  for (int i = 0; i < kLines; ++i)
    logging::info("line", {{"i", i}});
  // One wait of 100 ms, not one for each line.
  CHECK(std::chrono::steady_clock::now() - before < test_support::kPatience);
  const std::uint64_t lost = logging::dropped_lines();
  CHECK(lost > 0);
  const auto kept = lines_of(pipe.drain());
  CHECK(kept.size() + lost == kLines);

  logging::info("after");
  const auto after = lines_of(pipe.drain());
  logging::configure({});
  REQUIRE(after.size() == 2);
  CHECK(after[0].ends_with("lost=" + std::to_string(lost)));
  CHECK(after[1].ends_with("after"));
}

TEST_CASE("a log that nobody can read any more kills nobody") {
  Pipe pipe;
  logging::configure({logging::Level::Info, logging::Format::Text, pipe.write_end.get()});
  pipe.read_end.reset();
  ::signal(SIGPIPE, SIG_IGN);  // as every daemon does
  logging::info("into the void");
  CHECK(logging::dropped_lines() == 1);
  logging::configure({});
}
