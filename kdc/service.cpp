#include "kdc/service.hpp"

#include <exception>
#include <thread>

#include "common/cell/certificate_files.hpp"
#include "common/crypto/process_secrets.hpp"
#include "common/log/log.hpp"
#include "common/sync/mutex.hpp"
#include "kdc/kdc.hpp"
#include "kdc/offline.hpp"

namespace kdc {
namespace {

using common::Result;
using common::Status;
using namespace std::chrono_literals;

// A round waits for the disk; one that waits for longer than this is stuck.
constexpr std::chrono::seconds kHousekeepingSilence{60};
constexpr std::chrono::seconds kHousekeepingEvery{1};

class KdcService final : public common::daemon::Service {
 public:
  KdcService(std::unique_ptr<Kdc> kdc, const common::daemon::Foundation& program)
      : kdc_(std::move(kdc)),
        beat_(program.heartbeats.add("kdc-housekeeping", kHousekeepingSilence)),
        housekeeping_([this] { housekeeping_main(); }) {}
  ~KdcService() override { end_housekeeping(); }

  Status add_operations(common::rpc::OperationTable& table) override {
    return kdc_->add_operations(table);
  }
  [[nodiscard]] common::rpc::HealthReport health() const override { return kdc_->health(); }
  Status reload() override { return kdc_->reload(); }
  void stop() override {
    end_housekeeping();
    if (const Status closed = kdc_->close(); !closed)
      common::log::error("the KDC's database did not close well",
                         {{"why", closed.error().message}});
  }

 private:
  void housekeeping_main() EXCLUDES(mutex_) {
    ::pthread_setname_np(::pthread_self(), "kdc-housekeep");
    common::MutexLock lock(mutex_);
    while (!ended_) {
      lock.unlock();
      beat_.beat();
      try {
        kdc_->housekeeping();
      } catch (const std::exception&) {
        // No memory just now; what was due is due again in a second.
      }
      lock.lock();
      if (!ended_)
        wake_.wait_for(mutex_, kHousekeepingEvery);
    }
    beat_.rest();
  }

  void end_housekeeping() EXCLUDES(mutex_) {
    {
      const common::MutexLock lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
    if (housekeeping_.joinable())
      housekeeping_.join();
  }

  const std::unique_ptr<Kdc> kdc_;
  common::daemon::Heartbeat& beat_;
  common::Mutex mutex_;
  common::CondVar wake_;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::thread housekeeping_;  // last: it uses the others
};

// The certificate says which cell this is, also when it has run out.
Result<DatabaseOptions> database_of(const common::daemon::ServerFoundation& foundation) {
  const std::string& file = foundation.settings.certificate;
  TROTH_TRY(const auto certificate, common::cell::read_certificate(file));
  TROTH_TRY(const auto info, certificate.inspect());
  if (!info.identity) {
    return common::fail(common::ErrorCode::InvalidArgument, "{} does not name its cell", file);
  }
  DatabaseOptions options;
  options.directory = foundation.data_directory;
  options.cell = info.identity->cell_id;
  return options;
}

}  // namespace

void Settings::declare(common::config::Schema& schema) {
  schema.section("kdc", "What this KDC gives away and asks of passwords.")
      .path("cell_description", &cell_description,
            "The cell's cell.toml, for machines that join; without it none can.")
      .integer("scrypt_log2_n", &scrypt_log2_n, {common::crypto::ScryptParameters::kMinLog2N, 18},
               "Cost of guessing a password: each step doubles it. Passwords set earlier follow at "
               "their next login.");
}

Result<std::unique_ptr<common::daemon::Service>> make_service(
    const Settings& settings, const common::daemon::ServerFoundation& foundation) {
  // Before the first key is read.
  TROTH_TRY_VOID(common::crypto::keep_memory_private());
  KdcOptions options;
  TROTH_TRY(options.database, database_of(foundation));
  options.description = settings.cell_description;
  options.ca = foundation.settings.ca;
  TROTH_TRY(options.scrypt, common::crypto::ScryptParameters::make(settings.scrypt_log2_n, 8, 1));
  TROTH_TRY(auto kdc,
            Kdc::open(std::move(options), foundation.program.clock, foundation.program.metrics));
  return std::make_unique<KdcService>(std::move(kdc), foundation.program);
}

std::vector<common::daemon::OfflineTask> offline_tasks() {
  using Run =
      Result<std::string> (*)(const DatabaseOptions&, const std::string&, const common::Clock&);
  const auto task = [](common::daemon::TaskWord word, Run run) {
    return common::daemon::OfflineTask{word,
                                       [run](const common::daemon::ServerFoundation& foundation,
                                             const std::string& file) -> Result<std::string> {
                                         TROTH_TRY_VOID(common::crypto::keep_memory_private());
                                         TROTH_TRY(const DatabaseOptions options,
                                                   database_of(foundation));
                                         return run(options, file, foundation.program.clock);
                                       }};
  };
  return {task({"--dump", "FILE", "write the database to a new file"}, dump_to_file),
          task({"--load", "FILE", "make the database of such a file, where there is none"},
               load_from_file)};
}

}  // namespace kdc
