#include "common/log/log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/sink.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/log/line.hpp"
#include "common/log/stream_sink.hpp"
#include "common/sync/locked.hpp"
#include "common/sync/mutex.hpp"

namespace common::log {
namespace {

const char* pattern_of(Format format) {
  switch (format) {
    case Format::Json:
      return R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})";
    case Format::Journal:
      return "%v";  // the journal keeps its own time
    case Format::Auto:
    case Format::Text:
      break;
  }
  return "%Y-%m-%dT%H:%M:%S.%eZ %v";
}

std::unique_ptr<spdlog::formatter> make_formatter(const char* pattern) {
  return std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc, "\n");
}

// spdlog's view of our StreamSink.
class Sink final : public spdlog::sinks::sink {
 public:
  Sink(int fd, Format format)
      : format_(format), stream_(fd), formatter_(make_formatter(pattern_of(format))) {}

  void log(const spdlog::details::log_msg& event) override {
    MutexLock lock(mutex_);
    if (stream_.dropped_in_a_row() > 0 && !report_losses(event))
      return;
    write(event);
  }
  void flush() override {}  // nothing is held back
  void set_pattern(const std::string& pattern) override {
    set_formatter(make_formatter(pattern.c_str()));
  }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    MutexLock lock(mutex_);
    formatter_ = std::move(formatter);
  }
  // The count is atomic in itself.
  [[nodiscard]] std::uint64_t dropped() const NO_THREAD_SAFETY_ANALYSIS {
    return stream_.dropped();
  }

 private:
  // While the reader is still behind this fails, which also counts the line we are called for.
  bool report_losses(const spdlog::details::log_msg& event) REQUIRES(mutex_) {
    const Field lost{"lost", stream_.dropped_in_a_row()};
    const std::string payload =
        render_payload(format_, Level::Warn, "log lines were lost: their reader was behind",
                       std::span<const Field>(&lost, 1));
    spdlog::details::log_msg notice = event;
    notice.payload = payload;
    return write(notice);
  }

  bool write(const spdlog::details::log_msg& event) REQUIRES(mutex_) {
    spdlog::memory_buf_t line;
    formatter_->format(event, line);
    return stream_.write_line({line.data(), line.size()});
  }

  Mutex mutex_;
  Format format_;
  StreamSink stream_ GUARDED_BY(mutex_);
  std::unique_ptr<spdlog::formatter> formatter_ GUARDED_BY(mutex_);
};

struct State {
  Level level;
  Format format;
  std::shared_ptr<Sink> sink;
  spdlog::logger logger;

  State(Level l, Format f, int fd)
      : level(l), format(f), sink(std::make_shared<Sink>(fd, f)), logger("troth", sink) {
    logger.set_level(spdlog::level::trace);  // write() has already decided
  }
};

// The log is the one thing of a process that every place may reach. Former states are kept: a
// thread may still be writing through one when a test configures again.
class Keeper {
 public:
  Keeper() { set(Options{}); }

  State& current() { return *current_.load(std::memory_order_acquire); }
  void set(const Options& options) {
    Format format = options.format;
    if (format == Format::Auto) {
      const bool journal = is_journal_stream(options.fd, std::getenv("JOURNAL_STREAM"));
      format = journal ? Format::Journal : Format::Text;
    }
    auto states = states_.lock();
    states->push_back(std::make_unique<State>(options.level, format, options.fd));
    current_.store(states->back().get(), std::memory_order_release);
  }

 private:
  Locked<std::vector<std::unique_ptr<State>>> states_;
  std::atomic<State*> current_{nullptr};
};

Keeper& keeper() {
  static auto* kept = new Keeper;  // never destroyed: destructors of other statics may log
  return *kept;
}

// Lines that could not be put together: a line is not worth a process.
std::atomic<std::uint64_t> lost_for_memory{0};

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::Debug:
      return spdlog::level::debug;
    case Level::Info:
      return spdlog::level::info;
    case Level::Warn:
      return spdlog::level::warn;
    case Level::Error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void configure(const Options& options) {
  keeper().set(options);
}

bool enabled(Level level) {
  return level >= keeper().current().level;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  State& state = keeper().current();
  if (level < state.level)
    return;
  try {
    const std::string payload =
        render_payload(state.format, level, message, {fields.begin(), fields.size()});
    state.logger.log(to_spdlog(level), spdlog::string_view_t(payload.data(), payload.size()));
  } catch (const std::bad_alloc&) {
    ++lost_for_memory;
  }
}

bool is_journal_stream(int fd, const char* journal_stream) {
  struct stat info {};
  if (journal_stream == nullptr || ::fstat(fd, &info) != 0)
    return false;
  return fmt::format("{}:{}", info.st_dev, info.st_ino) == journal_stream;
}

std::uint64_t dropped_lines() {
  return keeper().current().sink->dropped() + lost_for_memory;
}

}  // namespace common::log
