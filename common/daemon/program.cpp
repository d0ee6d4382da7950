#include "common/daemon/program.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>

#include "common/crypto/process_secrets.hpp"
#include "common/daemon/arguments.hpp"
#include "common/daemon/notifier.hpp"
#include "common/daemon/stop_guard.hpp"
#include "common/log/escape.hpp"
#include "common/log/log.hpp"
#include "common/metrics/process.hpp"
#include "common/version.hpp"

namespace common::daemon {
namespace {

// How often the main loop comes round when nothing happens.
constexpr std::chrono::milliseconds kTick{1000};

// The one line about a failure to start. Written whatever the log level or format is: who typed the
// command must see it.
int fail_to_start(std::string_view program, const Error& error, int exit_code) {
  std::string line =
      log::is_journal_stream(STDERR_FILENO, std::getenv("JOURNAL_STREAM")) ? "<3>" : "";
  line += program;
  line += ": ";
  // Long enough for two paths; a message that quotes more is cut rather than lost.
  constexpr std::size_t kMaxMessage = 3500;
  log::append_escaped(line, error.message, log::Quoting::Bare, kMaxMessage);
  line += '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());  // nobody else to tell
  return exit_code;
}

// The leak checker of a sanitizer build attaches to the process at its end, which a process with
// private memory refuses to everybody but root.
void allow_leak_checker() {
#if defined(__SANITIZE_ADDRESS__)
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
#endif
}

void declare_log(config::Schema& schema, log::Options& options) {
  schema.section("log", "What is written to standard error.")
      .choice("level", &options.level,
              {{"debug", log::Level::Debug},
               {"info", log::Level::Info},
               {"warn", log::Level::Warn},
               {"error", log::Level::Error}},
              "Messages less important than this are left out.")
      .choice("format", &options.format,
              {{"auto", log::Format::Auto},
               {"text", log::Format::Text},
               {"json", log::Format::Json},
               {"journal", log::Format::Journal}},
              "auto: for the journal if that is where standard error goes, else text.");
}

std::vector<TaskWord> task_words(const Program& program) {
  std::vector<TaskWord> words;
  for (const Task& task : program.tasks)
    words.push_back(task.word);
  return words;
}

std::string help_text(const Program& program, const config::Schema& schema) {
  return fmt::format(
      "{0} - {1}\n\nUsage: {0} {2}{3}\n\n{4}\n{5}\nExit code 0: stopped as asked; 1: failure at "
      "run "
      "time; 2: the command line,\nthe configuration or the certificates are wrong.\n",
      program.name, program.about, program.needs_config ? "--config FILE" : "[--config FILE]",
      program.usage.empty() ? "" : " " + std::string(program.usage),
      arguments_help(task_words(program)), schema.help());
}

// The running program's main loop.
class Loop {
 public:
  Loop(Application& application, Heartbeats& heartbeats, Notifier& notifier, StopGuard& signals)
      : application_(application),
        heartbeats_(heartbeats),
        notifier_(notifier),
        signals_(signals) {}

  // Returns when somebody asks to stop.
  void run() {
    if (signals_.stop_asked())
      return;
    signals_.serving();
    notifier_.status(application_.status());
    notifier_.ready();
    const auto turn = std::min(kTick, notifier_.watchdog_interval().value_or(kTick));
    auto next_tick = std::chrono::steady_clock::now();
    for (;;) {
      pollfd entry{signals_.fd(), POLLIN, 0};
      ::poll(&entry, 1, static_cast<int>(turn.count()));
      while (const auto signal = signals_.next()) {
        if (*signal == Signal::Stop)
          return;
        unless_short_of_memory([this] { reload(); });
      }
      const auto now = std::chrono::steady_clock::now();
      unless_short_of_memory([&] {
        if (now >= next_tick) {
          next_tick = now + kTick;
          application_.tick();
        }
        report_life();
      });
    }
  }

 private:
  // What ends for want of memory is done again at the next turn, or at the next signal. A shortage
  // that lasts starves the watchdog, which is for that.
  template <typename Action>
  static void unless_short_of_memory(Action action) {
    try {
      action();
    } catch (const std::bad_alloc&) {
      log::error("short of memory");
    }
  }

  void reload() {
    notifier_.reloading();
    if (const auto status = application_.reload(); status) {
      log::info("reloaded");
    } else {
      log::error("reloading failed; what was loaded before stays in use",
                 {{"error", status.error().message}});
    }
    notifier_.ready();
  }

  void report_life() {
    heartbeats_.sample();
    const auto overdue = heartbeats_.overdue();
    if (overdue.has_value() != silent_) {
      silent_ = overdue.has_value();
      if (silent_) {
        log::error("the watchdog is no longer told that all is well", {{"reason", *overdue}});
      } else {
        log::warn("all loops are alive again");
      }
    }
    notifier_.status(overdue ? *overdue : application_.status());
    if (!overdue)
      notifier_.watchdog();
  }

  Application& application_;
  Heartbeats& heartbeats_;
  Notifier& notifier_;
  StopGuard& signals_;
  bool silent_ = false;
};

// Everything from the checked command line on. An error is a failure to start.
struct Failure {
  Error error;
  int exit_code;
};

tl::expected<int, Failure> run_checked(const Program& program, const Arguments& arguments,
                                       config::Schema& schema, log::Options& log_options) {
  const auto usage = [](Error error) {
    return tl::unexpected<Failure>(Failure{std::move(error), kExitUsage});
  };
  const auto failure = [](Error error) {
    return tl::unexpected<Failure>(Failure{std::move(error), kExitFailure});
  };
  if (program.needs_config && arguments.config.empty()) {
    return usage({ErrorCode::InvalidArgument,
                  "no configuration was named; start it with --config FILE (`troth cell init` "
                  "makes one)"});
  }
  ::umask(077);
  // From here on a signal to stop is heard, however long starting takes.
  auto signals = StopGuard::start();
  if (!signals)
    return failure(signals.error());
  if (auto status = crypto::keep_memory_private(); !status)
    return failure(status.error());
  auto notifier = Notifier::from_environment();
  if (!notifier)
    return usage(notifier.error());
  if (auto status = schema.load(arguments.config, config::process_environment()); !status) {
    return usage(status.error());
  }

  log::configure(log_options);
  const SystemClock clock;
  metrics::Registry metrics;
  metrics::add_process_metrics(metrics);
  metrics.sampled(metrics::Type::Counter, "troth_log_lines_dropped_total",
                  "Log lines lost because their reader was behind.", {},
                  [] { return static_cast<double>(log::dropped_lines()); });
  metrics.gauge("troth_build_info", "The running version, as a label.", {{"version", version()}})
      .set(1);
  Heartbeats heartbeats(clock);
  const Foundation foundation{clock, schema, metrics, heartbeats, arguments.positional};

  if (arguments.action == Arguments::Action::Task) {
    const auto task =
        std::find_if(program.tasks.begin(), program.tasks.end(),
                     [&](const Task& known) { return known.word.option == arguments.task; });
    const auto done = task->run(foundation, arguments.task_value);
    if (!done)
      return failure(done.error());
    std::printf("%s\n", done->c_str());
    return kExitOk;
  }
  auto checked = program.check(foundation);
  if (!checked)
    return usage(checked.error());
  if (arguments.action == Arguments::Action::Check) {
    std::printf("%s\n", checked->c_str());
    return kExitOk;
  }
  auto application = program.start(foundation);
  if (!application)
    return failure(application.error());
  log::info("started", {{"program", program.name}, {"version", version()}});
  Loop(**application, heartbeats, *notifier, **signals).run();

  log::info("stopping");
  notifier->stopping();
  (*application)->stop();
  application->reset();
  log::info("stopped");
  return kExitOk;
}

}  // namespace

int run_program(int argc, char** argv, const Program& program) {
  config::Schema schema;
  log::Options log_options;
  program.settings(schema);
  declare_log(schema, log_options);
  const std::vector<TaskWord> words = task_words(program);
  const auto arguments = parse_arguments(std::vector<std::string>(argv + 1, argv + argc),
                                         program.most_positional, words);
  if (!arguments)
    return fail_to_start(program.name, arguments.error(), kExitUsage);
  if (arguments->action == Arguments::Action::Help) {
    std::printf("%s", help_text(program, schema).c_str());
    return kExitOk;
  }
  if (arguments->action == Arguments::Action::Version) {
    std::printf("%s %s\n", std::string(program.name).c_str(), std::string(version()).c_str());
    return kExitOk;
  }
  const auto ended = run_checked(program, *arguments, schema, log_options);
  allow_leak_checker();
  if (!ended)
    return fail_to_start(program.name, ended.error().error, ended.error().exit_code);
  return *ended;
}

}  // namespace common::daemon
