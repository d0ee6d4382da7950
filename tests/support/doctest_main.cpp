#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/test.hpp"

namespace test_support {
namespace {

// Tells tests/run.py about each test case in the file named by TROTH_TEST_REPORT, one JSON object a
// line, each written with a single write(2): whatever kills the program, complete lines are true.
class CaseReport {
 public:
  static CaseReport& instance() {
    static CaseReport report;
    return report;
  }

  void start(std::string_view name) {
    case_ = escape(name);
    write_line(fmt::format(R"({{"event": "start", "case": "{}"}})", case_));
  }
  void skip(std::string_view reason) {
    write_line(
        fmt::format(R"({{"event": "skip", "case": "{}", "reason": "{}"}})", case_, escape(reason)));
  }
  void end(double seconds, bool failed) {
    write_line(fmt::format(R"({{"event": "end", "case": "{}", "seconds": {:.6f}, "failed": {}}})",
                           case_, seconds, failed));
  }

 private:
  CaseReport() {
    // Forked children must not report for us, hence close on exec; a fork without exec may.
    if (const char* path = std::getenv("TROTH_TEST_REPORT"))
      fd_ = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }

  static std::string escape(std::string_view text) {
    std::string result;
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        result += '\\';
        result += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        result += ' ';
      } else {
        result += c;
      }
    }
    return result;
  }

  void write_line(std::string line) const {
    if (fd_ < 0)
      return;
    line += '\n';
    if (::write(fd_, line.data(), line.size()) < 0)
      std::perror("writing the test report");
  }

  int fd_ = -1;
  std::string case_;
};

struct ReportListener : doctest::IReporter {
  explicit ReportListener(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData& data) override {
    CaseReport::instance().start(data.m_name);
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    CaseReport::instance().end(stats.seconds, !stats.testCaseSuccess);
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

DOCTEST_REGISTER_LISTENER("run.py", 1, ReportListener);

}  // namespace

void report_check(bool passed, const Outcome& outcome, bool required, const char* file, int line,
                  const char* what) {
  if (passed) {
    CHECK(passed);
    return;
  }
  const std::string said = fmt::format("{}: {}", what, outcome.text());
  if (required) {
    ADD_FAIL_AT(file, line, said);
  } else {
    ADD_FAIL_CHECK_AT(file, line, said);
  }
}

void report_skip(const char* file, std::string_view reason) {
  std::printf("SKIPPED: %s: %.*s\n", file, static_cast<int>(reason.size()), reason.data());
  std::fflush(stdout);
  CaseReport::instance().skip(reason);
}

}  // namespace test_support
