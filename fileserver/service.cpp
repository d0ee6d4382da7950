#include "fileserver/service.hpp"

#include "common/crypto/process_secrets.hpp"
#include "common/crypto/random.hpp"
#include "common/daemon/descriptor_limit.hpp"
#include "common/daemon/port_probe.hpp"
#include "common/daemon/server_certificate.hpp"
#include "common/daemon/server_tls.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/log/log.hpp"
#include "fileserver/callers/disabled_watch.hpp"
#include "fileserver/callers/kdc_questions.hpp"
#include "fileserver/changes/pipeline.hpp"
#include "fileserver/content/dump_table.hpp"
#include "fileserver/content/load_table.hpp"
#include "fileserver/sessions/sessions.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

namespace {

using namespace std::chrono_literals;
using common::metrics::Type;

// A piece of maintenance waits for the disk; one that waits for longer than this is stuck.
constexpr std::chrono::seconds kThreadSilence{120};
// Of the two seconds that a stop may take; what is open then is recovered at the next start.
constexpr std::chrono::milliseconds kCloseVolumes{500};
// Database, log and segments of an open volume, with its readers.
constexpr std::uint64_t kDescriptorsOfVolume = 24;
constexpr std::uint64_t kOtherDescriptors = 512;
// From then on health says that nobody knows who has been disabled since: a few questions in a row
// went unanswered.
constexpr std::chrono::minutes kOldNews{2};

// Tests of whole cells plant them from outside: promises.bug.NAME=error(internal).
common::sim::BugSet<PromiseBug> planted_bugs() {
  std::uint64_t mask = 0;
  if constexpr (common::failpoint::kCompiledIn) {
    const auto names = promise_bug_names();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!common::failpoint::hit("promises.bug." + names[i]))
        mask |= std::uint64_t{1} << i;
    }
  }
  return common::sim::BugSet<PromiseBug>::from_mask(mask);
}

class FileService final : public common::daemon::Service {
 public:
  static Result<std::unique_ptr<FileService>> make(
      const Settings& settings, const common::daemon::ServerFoundation& foundation);
  ~FileService() override { end(); }

  Status add_operations(common::rpc::OperationTable& table) override {
    return add_file_operations(table, *parts_, foundation_.program.metrics, access_log_);
  }
  [[nodiscard]] common::rpc::HealthReport health() const override;
  Status reload() override { return tls_->reload(); }
  void stop() override { end(); }

 private:
  explicit FileService(const common::daemon::ServerFoundation& foundation, AccessLog log)
      : foundation_(foundation),
        access_log_(log),
        dumps_(foundation.program.clock),
        loads_(foundation.program.clock) {}

  Status open_volumes(const Settings& settings);
  Status start_sessions(const Settings& settings);
  Status start_watch(const Settings& settings, const std::string& cell);
  void add_metrics();
  void add_watch_metrics();
  void end();

  const common::daemon::ServerFoundation& foundation_;
  const AccessLog access_log_;
  std::shared_ptr<common::tls::ReloadableContext> tls_;
  // Below, destroyed in this order from the last.
  DisabledList disabled_;
  access::PathCache paths_;
  DumpTable dumps_;
  LoadTable loads_;
  std::unique_ptr<VolumeSet> volumes_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<ChangePipeline> pipeline_;
  std::unique_ptr<FileParts> parts_;
  std::unique_ptr<KdcQuestions> questions_;  // none, as its watch: there is no KDC to be asked
  std::unique_ptr<DisabledWatch> watch_;
  bool ended_ = false;
};

Result<std::unique_ptr<FileService>> FileService::make(
    const Settings& settings, const common::daemon::ServerFoundation& foundation) {
  TROTH_TRY_VOID(common::crypto::keep_memory_private());
  std::unique_ptr<FileService> service(new FileService(foundation, settings.access_log));
  const common::Clock& clock = foundation.program.clock;
  TROTH_TRY(const auto identity,
            common::daemon::read_server_certificate(foundation.settings.certificate));
  TROTH_TRY_VOID(common::daemon::check_can_listen(
      settings.stream_listen, foundation.program.schema.origin("streams", "listen")));
  const auto warning = common::daemon::raise_descriptor_limit(
      foundation.settings.connections + common::stream::AdmissionOptions{}.streams +
      settings.open_volumes * kDescriptorsOfVolume + kOtherDescriptors);
  if (warning)
    common::log::warn(*warning);
  TROTH_TRY_VOID(service->open_volumes(settings));
  TROTH_TRY_VOID(service->start_sessions(settings));
  service->pipeline_ = std::make_unique<ChangePipeline>(service->sessions_->keeper(), clock);
  service->parts_ = std::make_unique<FileParts>(
      FileParts{clock, identity.cell_id, *service->volumes_, *service->sessions_,
                service->sessions_->keeper(), *service->pipeline_, service->paths_,
                &service->dumps_, &service->loads_, &service->disabled_});
  TROTH_TRY_VOID(service->start_watch(settings, identity.cell_id));
  service->add_metrics();
  return service;
}

Status FileService::open_volumes(const Settings& settings) {
  VolumeSetOptions options;
  options.directory = foundation_.data_directory;
  options.key_directory = settings.volume_keys;
  options.open_volumes = settings.open_volumes;
  options.idle = std::chrono::ceil<std::chrono::seconds>(settings.idle);
  options.scrub_bytes_per_second = settings.scrub_bytes_per_second;
  options.retention.keep_for = std::chrono::days(settings.keep_days);
  options.retention.keep_commits = settings.keep_commits;
  auto& beat = foundation_.program.heartbeats.add("volumes", kThreadSilence);
  options.beat = [this, &beat] {
    beat.beat();
    dumps_.tidy();
  };
  TROTH_TRY(volumes_, VolumeSet::open(std::move(options), foundation_.program.clock));
  return {};
}

Status FileService::start_sessions(const Settings& settings) {
  const auto& server = foundation_.settings;
  TROTH_TRY(tls_, common::daemon::make_server_tls(server, foundation_.program.clock,
                                                  common::tls::ClientCertificates::None));
  SessionsOptions options;
  options.promises.lease = settings.lease;
  options.promises.bugs = planted_bugs();
  TROTH_TRY(options.promises.hash_seed, common::crypto::random_u64());
  options.streams.address = settings.stream_listen.host;
  options.streams.port = settings.stream_listen.port;
  options.streams.tls = tls_;
  auto& beat = foundation_.program.heartbeats.add("sessions", kThreadSilence);
  options.beat = [&beat] { beat.beat(); };
  TROTH_TRY(sessions_, Sessions::start(std::move(options), *volumes_, foundation_.program.clock));
  common::log::info("streams are served", {{"port", sessions_->stream_port()}});
  return {};
}

Status FileService::start_watch(const Settings& settings, const std::string& cell) {
  if (settings.kdc.empty()) {
    common::log::warn(
        "no KDC is named in [callers], so users who are disabled are served until their tickets "
        "end");
    return {};
  }
  KdcQuestionsOptions where;
  where.cell = cell;
  auto kdc = common::config::parse_endpoint(settings.kdc);
  if (!kdc)
    return tl::unexpected(kdc.error().in(foundation_.program.schema.origin("callers", "kdc")));
  where.kdc = *std::move(kdc);
  where.ca = foundation_.settings.ca;
  where.keytab = foundation_.settings.keytab;
  TROTH_TRY(questions_, KdcQuestions::make(where));
  DisabledWatchOptions options;
  options.every = settings.ask_every;
  options.ask = [this](std::optional<std::uint64_t> since, PrincipalId after) {
    return questions_->disabled(since, after);
  };
  options.told = [this](std::span<const PrincipalId> newly) {
    if (disabled_.size() > 0)
      sessions_->revoke([this](PrincipalId id) { return disabled_.has(id); }, newly);
  };
  auto& beat = foundation_.program.heartbeats.add("disabled", kThreadSilence);
  options.beat = [&beat] { beat.beat(); };
  watch_ =
      std::make_unique<DisabledWatch>(std::move(options), disabled_, foundation_.program.clock);
  return {};
}

void FileService::add_watch_metrics() {
  auto& metrics = foundation_.program.metrics;
  metrics.sampled(Type::Gauge, "troth_file_disabled_principals",
                  "Principals of the cell that are disabled or removed, as far as is known.", {},
                  [this] { return static_cast<double>(disabled_.size()); });
  if (!watch_)
    return;
  metrics.sampled(Type::Gauge, "troth_file_disabled_age_seconds",
                  "How long ago the KDC said who they are.", {},
                  [this] { return std::chrono::duration<double>(watch_->age()).count(); });
  metrics.sampled(Type::Counter, "troth_file_disabled_failures_total",
                  "Times that it was asked and did not say.", {},
                  [this] { return static_cast<double>(watch_->failures()); });
}

void FileService::add_metrics() {
  add_watch_metrics();
  auto& metrics = foundation_.program.metrics;
  const auto add = [&](Type type, std::string_view name, std::string_view help, auto sample) {
    metrics.sampled(type, name, help, {}, [sample] { return static_cast<double>(sample()); });
  };
  Sessions* const sessions = sessions_.get();
  add(Type::Gauge, "troth_file_sessions", "Mounts that have a session.",
      [=] { return sessions->counts().sessions; });
  add(Type::Counter, "troth_file_sessions_opened_total", "Sessions opened.",
      [=] { return sessions->counts().opened; });
  add(Type::Counter, "troth_file_breaks_sent_total", "Break messages sent.",
      [=] { return sessions->counts().breaks_sent; });
  add(Type::Counter, "troth_file_updates_sent_total", "Update messages sent.",
      [=] { return sessions->counts().updates_sent; });
  add(Type::Gauge, "troth_file_streams", "Streams open now.",
      [=] { return sessions->stream_stats().open(); });
  const auto count = [&](Type type, std::string_view name, std::string_view help, auto field) {
    add(type, name, help, [=] { return sessions->keeper().counts().*field; });
  };
  count(Type::Gauge, "troth_promises", "Promises that stand.", &PromiseCounts::promises);
  count(Type::Gauge, "troth_promises_marked", "Nodes with a change under way.",
        &PromiseCounts::marked);
  count(Type::Gauge, "troth_changes_waiting", "Changes that wait for promises of others.",
        &PromiseCounts::waiting_changes);
  count(Type::Counter, "troth_promises_granted_total", "Promises given.", &PromiseCounts::granted);
  count(Type::Counter, "troth_promises_broken_total", "Promises withdrawn.",
        &PromiseCounts::breaks);
  count(Type::Counter, "troth_promises_evicted_total", "Of those, for want of room.",
        &PromiseCounts::evicted);
  count(Type::Counter, "troth_sessions_lost_total", "Sessions whose lease ran out.",
        &PromiseCounts::sessions_lost);
  add(Type::Gauge, "troth_promises_bytes", "Memory of the tables of promises.",
      [=] { return sessions->keeper().memory_bytes(); });
  VolumeSet* const volumes = volumes_.get();
  const auto in_state = [=](VolumeState state) {
    const auto all = volumes->list();
    return std::count_if(all.begin(), all.end(),
                         [=](const VolumeReport& one) { return one.state == state; });
  };
  add(Type::Gauge, "troth_volumes", "Volumes that this server has.",
      [=] { return volumes->list().size(); });
  add(Type::Gauge, "troth_volumes_open", "Of those, open now.",
      [=] { return in_state(VolumeState::Open); });
  add(Type::Gauge, "troth_volumes_unavailable", "Of those, impossible to open.",
      [=] { return in_state(VolumeState::Unavailable); });
}

common::rpc::HealthReport FileService::health() const {
  if (const Status registry = volumes_->registry().health(); !registry)
    return {false,
            fmt::format("the registry of volumes cannot be written: {}", registry.error().message)};
  const auto all = volumes_->list();
  std::string bad;
  for (const VolumeReport& one : all) {
    if (one.state == VolumeState::Unavailable)
      bad += fmt::format("; volume \"{}\" is unavailable: {}", one.entry->name, one.why);
  }
  if (watch_ && watch_->age() > kOldNews) {
    bad += fmt::format("; the KDC has not said for {} s who is disabled: {}",
                       std::chrono::duration_cast<std::chrono::seconds>(watch_->age()).count(),
                       watch_->trouble().value_or("it is being asked"));
  }
  return {true,
          fmt::format("{} volumes, {} sessions{}", all.size(), sessions_->counts().sessions, bad)};
}

void FileService::end() {
  if (std::exchange(ended_, true))
    return;
  if (watch_) {
    // It ends with this: metrics are told until then.
    watch_->stop();
    questions_->cancel();
  }
  const bool clean = sessions_ == nullptr || sessions_->stop();
  if (!volumes_)
    return;
  dumps_.clear();
  loads_.clear();
  volumes_->close(foundation_.program.clock.now() + kCloseVolumes);
  if (const Status closed = volumes_->registry().close(clean); !closed)
    common::log::error("the registry of volumes did not close well",
                       {{"why", closed.error().message}});
}

}  // namespace

void Settings::declare(common::config::Schema& schema) {
  schema.section("streams", "How mounts are told of changes.")
      .endpoint("listen", &stream_listen,
                "Numeric address and port of the streams; port 0 is any free one.",
                common::config::PortZero::Allowed)
      .duration("lease", &lease, {1s, 60s},
                "How long a mount trusts what it was promised without hearing from this server.");
  schema.section("volumes", "What this server keeps.")
      .path("keys", &volume_keys,
            "Directory of the keys of sealed volumes, best on another disk; it must exist. Without "
            "it they are in the data directory.")
      .integer("open", &open_volumes, {1, 4096}, "Volumes that may be open at a time.")
      .duration("idle", &idle, {1s, 24h}, "After which an unused volume is closed.")
      .integer("keep_days", &keep_days, {0, 36'500}, "For which overwritten versions are kept.")
      .integer("keep_commits", &keep_commits, {0, 1'000'000'000},
               "The newest changes of a volume that are kept whatever their age.")
      .size("scrub_per_second", &scrub_bytes_per_second, {0, std::uint64_t{1} << 40},
            "Bytes that are read and verified in the background; 0: none.");
  schema.section("callers", "Who may call.")
      .text("kdc", &kdc,
            "host:port of the KDC, which is asked who has been disabled; without it, whoever is "
            "disabled is served until his ticket ends.")
      .duration("ask_every", &ask_every, {100ms, 60s}, "How often, give or take a quarter.");
  schema.section("access_log", "Which calls have a line in the log.")
      .choice("lines", &access_log,
              {{"off", AccessLog::Off},
               {"refused", AccessLog::Refused},
               {"changes", AccessLog::Changes},
               {"all", AccessLog::All}},
              "Refused: for lack of rights. Changes: these, and all that change something.");
}

Result<std::unique_ptr<common::daemon::Service>> make_service(
    const Settings& settings, const common::daemon::ServerFoundation& foundation) {
  TROTH_TRY(auto service, FileService::make(settings, foundation));
  return std::unique_ptr<common::daemon::Service>(std::move(service));
}

}  // namespace fileserver
