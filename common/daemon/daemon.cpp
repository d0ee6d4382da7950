#include "common/daemon/daemon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "common/auth/service_keys.hpp"
#include "common/crypto/certificates.hpp"
#include "common/daemon/data_directory.hpp"
#include "common/daemon/descriptor_limit.hpp"
#include "common/daemon/port_probe.hpp"
#include "common/daemon/self_probe.hpp"
#include "common/daemon/server_certificate.hpp"
#include "common/daemon/server_tls.hpp"
#include "common/log/log.hpp"
#include "common/rpc/health_listener.hpp"
#include "common/rpc/server.hpp"
#include "common/version.hpp"

namespace common::daemon {
namespace {

// Descriptors beside connections: standard streams, listeners, epoll sets, database and log files.
constexpr std::uint64_t kOtherDescriptors = 256;

CertificateFiles files_of(const ServerSettings& settings) {
  return {settings.certificate, settings.key, settings.ca};
}

// How long no call may be answered, with nothing moving at all, before the watchdog is no longer
// fed: several probes, each with its deadline.
constexpr std::chrono::seconds kCallSilence{20};

// What this server is called in tickets.
std::string service_name(const ServerSettings& settings) {
  return settings.role + "/" + settings.name;
}

Result<std::string> cell_of(const ServerSettings& settings) {
  TROTH_TRY(const auto identity, read_server_certificate(settings.certificate));
  if (identity.cell_id.empty()) {
    return fail(ErrorCode::InvalidArgument,
                "{} names no cell; make a new one with `troth cell cert renew`",
                settings.certificate);
  }
  return identity.cell_id;
}

std::string_view sentence_of(CertificateUrgency urgency) {
  switch (urgency) {
    case CertificateUrgency::None:
    case CertificateUrgency::Soon:
      return "the certificate runs out soon; renew it with `troth cell cert renew`";
    case CertificateUrgency::Near:
      return "the certificate runs out within a week; renew it with `troth cell cert renew`";
    case CertificateUrgency::Last:
      return "the certificate runs out within a day; renew it now with `troth cell cert renew`";
    case CertificateUrgency::Expired:
      return "the certificate has run out: nobody can connect; renew it with `troth cell cert "
             "renew`";
  }
  return "";
}

// The certificate in use: tells people when it runs out. Main thread, apart from the metrics.
class CertificateWatch {
 public:
  CertificateWatch(const ServerSettings& settings, const Foundation& foundation)
      : files_(files_of(settings)),
        role_(settings.role),
        clock_(foundation.clock),
        not_after_(foundation.metrics.gauge("troth_certificate_not_after_seconds",
                                            "When the certificate runs out, since 1970.")),
        urgency_(foundation.metrics.gauge(
            "troth_certificate_urgency",
            "0: fine, 1: at most 30 days left, 2: 7 days, 3: one day, 4: expired.")) {}

  // Reads the files anew: after the start and after every reload that succeeded.
  void refresh() {
    const auto checked = check_server_certificate(files_, role_, clock_.wall_now());
    if (!checked)
      return;  // replaced since it was loaded; the next reload will tell
    validity_ = checked->validity;
    const auto end = std::chrono::floor<std::chrono::seconds>(validity_.not_after);
    not_after_.set(static_cast<double>(end.time_since_epoch().count()));
    tick();
  }

  void tick() {
    const WallTime now = clock_.wall_now();
    urgency_.set(static_cast<double>(certificate_urgency(validity_, now)));
    const auto urgency = alarm_.on(validity_, now);
    if (!urgency)
      return;
    const bool late = *urgency >= CertificateUrgency::Last;
    log::write(late ? log::Level::Error : log::Level::Warn, sentence_of(*urgency),
               {{"certificate", files_.certificate},
                {"not_after", crypto::format_time(validity_.not_after)},
                {"days_left", crypto::days_left(validity_.not_after, now)}});
  }

 private:
  CertificateFiles files_;
  std::string role_;
  const Clock& clock_;
  metrics::Gauge& not_after_;
  metrics::Gauge& urgency_;
  CertificateValidity validity_{};
  CertificateAlarm alarm_;
};

// What the RPC server counts anyway, as metrics.
void add_rpc_metrics(metrics::Registry& metrics, const rpc::Server& server) {
  const auto add = [&](metrics::Type type, std::string_view name, std::string_view help,
                       std::uint64_t rpc::ServerStats::*field) {
    metrics.sampled(type, name, help, {},
                    [&server, field] { return static_cast<double>(server.stats().*field); });
  };
#define TROTH_RPC_METRIC(field, help) \
  add(metrics::Type::Counter, "troth_rpc_" #field "_total", help, &rpc::ServerStats::field);
  TROTH_RPC_SERVER_COUNTS(TROTH_RPC_METRIC)
#undef TROTH_RPC_METRIC
  add(metrics::Type::Gauge, "troth_rpc_connections", "Connections open now.",
      &rpc::ServerStats::connections);
  add(metrics::Type::Gauge, "troth_rpc_threads", "Worker threads running now.",
      &rpc::ServerStats::threads);
  add(metrics::Type::Gauge, "troth_rpc_threads_busy", "Worker threads at work now.",
      &rpc::ServerStats::threads_busy);
  add(metrics::Type::Gauge, "troth_rpc_parked", "Calls that wait for others without a thread.",
      &rpc::ServerStats::parked_now);
}

// Grows with whatever the RPC server does for anybody. While it moves the server is busy, perhaps
// too busy for our own probe, but not dead: killing it for that would finish an attacker's work.
std::uint64_t work_done(const rpc::Server& server) {
  const rpc::ServerStats stats = server.stats();
  return stats.accepted + stats.handshakes + stats.calls + stats.bytes_in + stats.bytes_out;
}

// A started server: owns, in this order, the data directory, the service and the listeners.
class ServerApplication final : public Application {
 public:
  static Result<std::unique_ptr<Application>> start(const Daemon& daemon,
                                                    const ServerSettings& settings,
                                                    const Foundation& foundation);

  [[nodiscard]] std::string status() const override;
  void tick() override {
    certificate_.tick();
    service_->tick();
  }
  Status reload() override;
  void stop() override;

 private:
  ServerApplication(const ServerSettings& settings, const Foundation& foundation,
                    DataDirectory directory)
      : settings_(settings),
        foundation_(foundation),
        directory_(std::move(directory)),
        server_foundation_{foundation_, settings_, directory_.path()},
        certificate_(settings, foundation) {}

  // What status and health answer. Any thread.
  [[nodiscard]] rpc::HealthReport health() const {
    if (auto overdue = foundation_.heartbeats.overdue())
      return {false, *std::move(overdue)};
    return service_->health();
  }

  Status start_rpc(const Daemon& daemon);
  Status add_auth(rpc::OperationTable& table);
  Status start_health();
  Status start_probe();

  const ServerSettings& settings_;
  const Foundation& foundation_;
  DataDirectory directory_;
  ServerFoundation server_foundation_;
  CertificateWatch certificate_;
  std::unique_ptr<Service> service_;
  std::shared_ptr<auth::ServiceKeys> keys_;  // none: callers are not recognised by tickets
  std::unique_ptr<rpc::Server> rpc_;
  std::shared_ptr<tls::ReloadableContext> health_tls_;  // none: plain, on loopback
  std::unique_ptr<rpc::HealthListener> health_;
  std::unique_ptr<SelfProbe> probe_;
};

Status ServerApplication::add_auth(rpc::OperationTable& table) {
  TROTH_TRY(std::string cell, cell_of(settings_));
  TROTH_TRY(keys_, auth::ServiceKeys::load(settings_.keytab, std::move(cell),
                                           service_name(settings_), foundation_.clock));
  table.demand_sessions();
  return table.add(auth::ServiceKeys::operation(settings_.role, keys_));
}

Status ServerApplication::start_rpc(const Daemon& daemon) {
  rpc::OperationTable table;
  if (daemon.demands_tickets)
    TROTH_TRY_VOID(add_auth(table));
  TROTH_TRY_VOID(service_->add_operations(table));
  rpc::ServerOptions options;
  options.address = settings_.listen.host;
  options.port = settings_.listen.port;
  TROTH_TRY(options.tls,
            make_server_tls(settings_, foundation_.clock, tls::ClientCertificates::Optional,
                            daemon.receives_secrets ? tls::Content::Secrets : tls::Content::Data));
  options.role = daemon.role;
  options.version = version();
  options.health = [this] { return health(); };
  options.limits.connections = settings_.connections;
  options.limits.connections_per_address = settings_.connections_per_address;
  options.limits.threads = settings_.threads;
  TROTH_TRY(rpc_, rpc::Server::start(std::move(options), std::move(table)));
  add_rpc_metrics(foundation_.metrics, *rpc_);
  return {};
}

Status ServerApplication::start_health() {
  rpc::HealthListenerOptions options;
  options.address = settings_.health_listen.host;
  options.port = settings_.health_listen.port;
  if (!is_loopback_address(options.address)) {
    TROTH_TRY(health_tls_,
              make_server_tls(settings_, foundation_.clock, tls::ClientCertificates::Required));
    options.tls = health_tls_;
  }
  TROTH_TRY(health_,
            rpc::HealthListener::start(
                std::move(options), [&metrics = foundation_.metrics] { return metrics.render(); },
                [this] { return health(); }));
  return {};
}

Status ServerApplication::start_probe() {
  Heartbeat& calls = foundation_.heartbeats.add("answering calls", kCallSilence);
  foundation_.heartbeats.add_activity(calls, [server = rpc_.get()] { return work_done(*server); });
  const std::string& host = settings_.listen.host;
  const bool any = host == "0.0.0.0" || host == "::";
  TROTH_TRY(const auto identity, read_server_certificate(settings_.certificate));
  TROTH_TRY(probe_, SelfProbe::start({.address = any ? (host == "::" ? "::1" : "127.0.0.1") : host,
                                      .port = rpc_->port(),
                                      .server_name = identity.any_name,
                                      .role = settings_.role,
                                      .ca = settings_.ca,
                                      .heartbeat = &calls}));
  return {};
}

Result<std::unique_ptr<Application>> ServerApplication::start(const Daemon& daemon,
                                                              const ServerSettings& settings,
                                                              const Foundation& foundation) {
  // A directory in use names the process that has it, so it is looked at before the ports.
  const auto& schema = foundation.schema;
  TROTH_TRY(auto directory, DataDirectory::open(settings.data_dir));
  TROTH_TRY_VOID(check_can_listen(settings.listen, schema.origin("server", "listen")));
  TROTH_TRY_VOID(
      check_can_listen(settings.health_listen, schema.origin("server", "health_listen")));
  const auto warning = raise_descriptor_limit(settings.connections + kOtherDescriptors);

  std::unique_ptr<ServerApplication> server(
      new ServerApplication(settings, foundation, std::move(directory)));
  TROTH_TRY(server->service_, daemon.make(server->server_foundation_));
  TROTH_TRY_VOID(server->start_rpc(daemon));
  TROTH_TRY_VOID(server->start_health());
  TROTH_TRY_VOID(server->start_probe());
  server->directory_.keep();
  if (warning)
    log::warn(*warning);
  log::info("serving", {{"role", daemon.role},
                        {"name", settings.name},
                        {"port", server->rpc_->port()},
                        {"health_port", server->health_->port()},
                        {"data_dir", settings.data_dir}});
  server->certificate_.refresh();
  return server;
}

std::string ServerApplication::status() const {
  const rpc::HealthReport report = health();
  const config::Endpoint listen{settings_.listen.host, rpc_->port()};
  const config::Endpoint health_listen{settings_.health_listen.host, health_->port()};
  return fmt::format("{} listening={} health={} {}", report.ready ? "serving" : "not ready",
                     config::format_endpoint(listen), config::format_endpoint(health_listen),
                     report.message);
}

Status ServerApplication::reload() {
  TROTH_TRY_VOID(rpc_->reload_tls());
  if (keys_)
    TROTH_TRY_VOID(keys_->reload());
  if (health_tls_)
    TROTH_TRY_VOID(health_tls_->reload());
  TROTH_TRY_VOID(probe_->reload());
  certificate_.refresh();
  return service_->reload();
}

void ServerApplication::stop() {
  probe_.reset();
  // Health last: until the end, whoever asks is told.
  rpc_->stop();
  service_->stop();
  health_->stop();
}

// Nothing is made or changed here; --check ends after it.
Result<std::string> check(const Daemon& daemon, const ServerSettings& settings,
                          const Foundation& foundation) {
  TROTH_TRY_VOID(settings.check(foundation.schema));
  const WallTime now = foundation.clock.wall_now();
  TROTH_TRY(const auto checked, check_server_certificate(files_of(settings), settings.role, now));
  if (daemon.demands_tickets) {
    TROTH_TRY(const std::string cell, cell_of(settings));
    TROTH_TRY_VOID(auth::ServiceKeys::check(settings.keytab, cell, service_name(settings)));
  }
  // The same once more, as the listener will read it.
  TROTH_TRY([[maybe_unused]] const auto context,
            make_server_tls(settings, foundation.clock, tls::ClientCertificates::Optional));
  return fmt::format(
      "{}: the configuration of {} \"{}\" is good; its certificate lasts {} more days", daemon.name,
      daemon.role, settings.name, crypto::days_left(checked.validity.not_after, now));
}

Result<std::string> run_offline(const OfflineTask& task, const ServerSettings& settings,
                                const Foundation& foundation, const std::string& value) {
  TROTH_TRY(auto directory, DataDirectory::open(settings.data_dir));
  const ServerFoundation server{foundation, settings, directory.path()};
  TROTH_TRY(std::string done, task.run(server, value));
  directory.keep();
  return done;
}

class HealthOnlyService final : public Service {
 public:
  explicit HealthOnlyService(std::string message) : message_(std::move(message)) {}
  Status add_operations(rpc::OperationTable&) override { return {}; }
  [[nodiscard]] rpc::HealthReport health() const override { return {true, message_}; }

 private:
  std::string message_;
};

}  // namespace

std::unique_ptr<Service> health_only_service(std::string message) {
  return std::make_unique<HealthOnlyService>(std::move(message));
}

int run_daemon(int argc, char** argv, const Daemon& daemon) {
  ServerSettings settings;
  settings.listen = daemon.listen;
  settings.health_listen = daemon.health_listen;
  Program program;
  program.name = daemon.name;
  program.about = daemon.about;
  program.settings = [&](config::Schema& schema) {
    settings.declare(schema, daemon.role);
    if (daemon.demands_tickets)
      settings.declare_auth(schema);
    if (daemon.settings)
      daemon.settings(schema);
  };
  program.check = [&](const Foundation& foundation) { return check(daemon, settings, foundation); };
  program.start = [&](const Foundation& foundation) {
    return ServerApplication::start(daemon, settings, foundation);
  };
  for (const OfflineTask& task : daemon.tasks) {
    program.tasks.push_back(
        {task.word, [&](const Foundation& foundation, const std::string& value) {
           return run_offline(task, settings, foundation, value);
         }});
  }
  return run_program(argc, argv, program);
}

}  // namespace common::daemon
