#include "kdc/kdc.hpp"

#include <sys/stat.h>

#include <filesystem>

#include "common/auth/session.hpp"
#include "common/cell/certificate_files.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/log/log.hpp"
#include "common/wire/base64.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::rpc::Call;
using common::rpc::Operation;
using common::rpc::Reply;
using common::wire::JsonWriter;

// A request of an exchange with its JSON head.
constexpr std::uint64_t kMostRequest = common::ticket::kMaxTicketBytes + 8 * 1024;
// A description of a thousand servers.
constexpr std::size_t kMostDescription = 256 * 1024;

}  // namespace

// What is counted, and where.
class Kdc::Counts {
 public:
  explicit Counts(common::metrics::Registry& metrics)
      : metrics_(metrics),
        running_(metrics.gauge("troth_kdc_scrypt_running", "Passwords that are being set now.")),
        waiting_(metrics.gauge("troth_kdc_scrypt_waiting", "Passwords that wait to be set.")) {}

  // Outcomes are few, so each series is looked up as it is counted: a lock, no more.
  void exchange(std::string_view name, std::string_view outcome, common::Duration took) {
    metrics_
        .counter("troth_kdc_exchanges_total", "AS and TGS requests by how they ended.",
                 {{"exchange", name}, {"outcome", outcome}})
        .inc();
    metrics_
        .histogram("troth_kdc_exchange_seconds", "Time to answer an AS or TGS request.",
                   common::metrics::latency_buckets(), {{"exchange", name}})
        .observe(std::chrono::duration<double>(took).count());
  }
  void administration(std::string_view operation, std::string_view outcome) {
    metrics_
        .counter("troth_kdc_administration_total", "Calls of administration by how they ended.",
                 {{"operation", operation}, {"outcome", outcome}})
        .inc();
  }
  void scrypt(const ScryptGate& gate) {
    running_.set(static_cast<double>(gate.running()));
    waiting_.set(static_cast<double>(gate.waiting()));
  }
  void housekeeping_failed() {
    metrics_.counter("troth_kdc_housekeeping_failures_total", "Rounds of housekeeping that failed.")
        .inc();
  }

 private:
  common::metrics::Registry& metrics_;
  common::metrics::Gauge& running_;
  common::metrics::Gauge& waiting_;
};

Result<std::unique_ptr<Kdc>> Kdc::open(KdcOptions options, const common::Clock& clock,
                                       common::metrics::Registry& metrics) {
  TROTH_TRY(auto database, Database::open(options.database, clock));
  std::unique_ptr<Kdc> kdc(new Kdc(std::move(options), std::move(database), clock, metrics));
  TROTH_TRY_VOID(kdc->own_.refresh());
  // Without it everything else works.
  if (const Status read = kdc->reload(); !read)
    common::log::warn("machines cannot join: the cell's description",
                      {{"why", read.error().message}});
  return kdc;
}

Kdc::Kdc(KdcOptions options, std::unique_ptr<Database> database, const common::Clock& clock,
         common::metrics::Registry& metrics)
    : options_(std::move(options)),
      database_(std::move(database)),
      clock_(clock),
      counts_(std::make_unique<Counts>(metrics)),
      own_(*database_, options_.database.cell, clock),
      gate_(options_.scrypt_at_once == 0 ? kdc::scrypt_at_once() : options_.scrypt_at_once,
            kMostScryptWaiting, clock),
      exchanges_(*database_, own_, clock, options_.scrypt),
      administration_(
          {*database_, own_, gate_, clock, options_.scrypt, options_.database.directory},
          [this](std::string_view operation, std::string_view outcome) {
            counts_->administration(operation, outcome);
          }) {}

Kdc::~Kdc() = default;

Operation Kdc::exchange(std::string_view name, Exchange run) {
  const auto handler = [this, name, run](Call& call) -> Result<Reply> {
    const common::Instant begun = clock_.now();
    TROTH_TRY(const common::ticket::Channel channel, call.peer().channel_binding());
    auto bytes = (exchanges_.*run)(call.body(), channel, call.peer().address());
    counts_->exchange(name, bytes ? kAuditOk : to_string(bytes.error().code), clock_.now() - begun);
    if (!bytes)
      return tl::unexpected(std::move(bytes).error());
    return Reply{.result = "{}", .bytes = *std::move(bytes)};
  };
  return {.service = "kdc",
          .name = std::string(name),
          .handler = handler,
          .body_cap = kMostRequest,
          .open_to_all = true};
}

Result<Reply> Kdc::preauth(Call& call) {
  TROTH_TRY(const auto args, common::wire::JsonObject::of(call.args(), "args"));
  TROTH_TRY_VOID(args.refuse_others({"client"}));
  TROTH_TRY(const std::string client, args.text("client", common::ticket::kMaxPrincipalName));
  TROTH_TRY(const Keys::Preauth found, exchanges_.preauth(client));
  JsonWriter writer;
  writer.field("salt", common::wire::to_base64(found.salt))
      .field("log2_n", found.parameters.log2_n())
      .field("r", found.parameters.r())
      .field("p", found.parameters.p());
  return answer(writer);
}

Result<std::string> Kdc::read_cell() const {
  const std::filesystem::path path(options_.description);
  TROTH_TRY(const auto directory, common::io::PosixFileIo::open_root(path.parent_path()));
  TROTH_TRY(const auto description,
            common::io::read_whole_file(*directory, path.filename().string(), kMostDescription));
  TROTH_TRY(const auto certificate, common::cell::read_certificate(options_.ca));
  TROTH_TRY(const std::string pem, certificate.to_pem());
  JsonWriter writer;
  writer.field("description", common::as_text(description)).field("ca", pem);
  return writer.take();
}

Status Kdc::reload() {
  if (options_.description.empty())
    return {};
  TROTH_TRY(std::string read, read_cell());
  *cell_.lock() = std::make_shared<const std::string>(std::move(read));
  return {};
}

// Strangers ask: from memory, whatever it costs to read.
Result<Reply> Kdc::cell() {
  const std::shared_ptr<const std::string> answer = *cell_.lock();
  if (!answer)
    return fail(ErrorCode::NotFound, "this KDC has no description of its cell to give away");
  return Reply::text(*answer);
}

Status Kdc::add_operations(common::rpc::OperationTable& table) {
  // Whoever has no session learns nothing but what is open to all, not even what there is.
  table.demand_sessions();
  TROTH_TRY_VOID(table.add({.service = "kdc",
                            .name = "preauth",
                            .handler = [this](Call& call) { return preauth(call); },
                            .open_to_all = true}));
  TROTH_TRY_VOID(table.add(exchange("as", &Exchanges::as)));
  TROTH_TRY_VOID(table.add(exchange("tgs", &Exchanges::tgs)));
  TROTH_TRY_VOID(table.add({.service = "kdc",
                            .name = "cell",
                            .handler = [this](Call&) { return cell(); },
                            .open_to_all = true}));
  TROTH_TRY_VOID(table.add(common::auth::auth_operation("kdc", own_.admin())));
  return administration_.add_operations(table);
}

// The file is read only at a start, so nobody would notice until it is needed most.
Status Kdc::check_stash() const {
  const std::string path = options_.database.directory + "/" + std::string(kMasterKeyFile);
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0)
    return {};
  return fail(ErrorCode::NotFound,
              "the file of master keys {} is missing: put it back before the KDC is started again, "
              "or nothing in its database can be opened",
              path);
}

void Kdc::housekeeping() {
  counts_->scrypt(gate_);
  // Of a cell that is being made, the files may come later.
  if (!*cell_.lock())
    static_cast<void>(reload());
  Status done = database_->housekeeping();
  if (const Status refreshed = own_.refresh(); done && !refreshed)
    done = refreshed;
  if (const Status stash = check_stash(); done && !stash)
    done = stash;
  auto last = last_housekeeping_.lock();
  if (!done) {
    counts_->housekeeping_failed();
    // Said once, not every second.
    if (*last)
      common::log::error("the KDC's housekeeping failed", {{"why", done.error().message}});
  } else if (!*last) {
    common::log::info("the KDC's housekeeping works again");
  }
  *last = std::move(done);
}

common::rpc::HealthReport Kdc::health() const {
  if (const Status database = database_->health(); !database)
    return {false, database.error().message};
  auto last = last_housekeeping_.lock();
  if (!*last)
    return {false, last->error().message};
  return {true, "serves logins and tickets"};
}

Status Kdc::close() {
  return database_->close();
}

}  // namespace kdc
