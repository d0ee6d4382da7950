// A daemon that does nothing but live, for program_test.cpp: its arguments make it misbehave.

#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "common/daemon/program.hpp"
#include "common/log/log.hpp"

namespace daemon_ns = common::daemon;
using common::ErrorCode;

namespace {

// Long enough for a signal to come meanwhile, shorter than the time to stop.
constexpr int kSlowMs = 500;

// Never woken: stands for work that is stuck.
void hang(int ms = -1) {
  ::poll(nullptr, 0, ms);
}

class Example final : public daemon_ns::Application {
 public:
  Example(const daemon_ns::Foundation& foundation, std::string mode)
      : mode_(std::move(mode)),
        beat_(foundation.heartbeats.add("example loop", std::chrono::milliseconds{1})) {
    beat_.beat();
  }
  std::string status() const override { return "example"; }
  void tick() override {
    if (mode_ != "silent")
      beat_.rest();
  }
  common::Status reload() override {
    if (mode_ == "stuck-reload")
      hang();
    if (mode_ == "bad-reload")
      return common::fail(ErrorCode::Expired, "nothing newer");
    return {};
  }
  void stop() override {
    if (mode_ == "stuck")
      hang();
  }

 private:
  std::string mode_;
  daemon_ns::Heartbeat& beat_;
};

}  // namespace

int main(int argc, char** argv) {
  int answer = 42;
  const daemon_ns::Program program{
      .name = "example",
      .about = "lives until it is told to stop",
      .usage = "[MODE]",
      .most_positional = 1,
      .settings =
          [&](common::config::Schema& schema) {
            schema.section("example", "The example.")
                .integer("answer", &answer, {1, 100}, "The answer.");
          },
      .check = [](const daemon_ns::Foundation& foundation) -> common::Result<std::string> {
        if (!foundation.arguments.empty() && foundation.arguments[0] == "bad-check") {
          return common::fail(ErrorCode::Expired, "the example\nhas expired");
        }
        return "the example is good";
      },
      .start = [](const daemon_ns::Foundation& foundation)
          -> common::Result<std::unique_ptr<daemon_ns::Application>> {
        const std::string mode = foundation.arguments.empty() ? "" : foundation.arguments[0];
        if (mode == "bad-start")
          return common::fail(ErrorCode::Busy, "the port is in use");
        if (mode == "stuck-start" || mode == "slow-start") {
          common::log::info("starting");
          hang(mode == "slow-start" ? kSlowMs : -1);
        }
        return std::make_unique<Example>(foundation, mode);
      },
  };
  return daemon_ns::run_program(argc, argv, program);
}
