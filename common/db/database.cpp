#include "common/db/database.hpp"

#include "common/db/open_database.hpp"
#include "common/db/read_pool.hpp"
#include "common/db/writer.hpp"

namespace common::db {
namespace {

using namespace std::chrono_literals;

// For calls that name no deadline, so that there is none without one.
constexpr auto kDefaultPatience = 30s;
// Syncing what is left at close.
constexpr auto kClosePatience = 60s;

}  // namespace

// In the order of their making; destroyed in the reverse one, the lock last.
struct Database::Parts {
  Parts(std::string path_, Options options_, const Clock& clock_, OpenedDatabase opened)
      : path(std::move(path_)),
        options(std::move(options_)),
        clock(clock_),
        lock(std::move(opened.lock)),
        directory(std::move(opened.directory)),
        vfs(std::move(opened.vfs)),
        marked(opened.marked),
        flusher(std::move(opened.wal), std::move(opened.mark), opened.commits,
                {options.flush_interval, options.before_sync, options.probe, options.hold_mark},
                poison, clock),
        readers({path, options.readers, options.reader_cache_kib, options.longest_read}, vfs, state,
                poison, clock),
        writer(std::move(opened.writer), opened.commits,
               {options.checkpoint_pages, options.wal_cap_pages}, flusher, readers, state, poison,
               clock) {}

  const std::string path;
  const Options options;
  const Clock& clock;
  const std::unique_ptr<io::LockFile> lock;
  const std::unique_ptr<io::PosixFileIo> directory;
  const std::shared_ptr<ChecksumVfs> vfs;
  const std::uint64_t marked;
  Poison poison;
  Flusher flusher;
  ReadState state;
  ReadPool readers;
  Writer writer;
};

Result<std::unique_ptr<Database>> Database::open(const std::string& path, Options options,
                                                 std::span<const Migration> migrations,
                                                 const Clock& clock) {
  TROTH_TRY(OpenedDatabase opened, open_database(path, options, migrations, clock));
  return std::unique_ptr<Database>(
      new Database(std::make_unique<Parts>(path, std::move(options), clock, std::move(opened))));
}

Database::Database(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Database::~Database() {
  if (parts_ != nullptr)
    static_cast<void>(close());
}

Status Database::close() {
  const std::unique_ptr<Parts> parts = std::move(parts_);
  if (parts == nullptr)
    return {};
  // Readers first: they would keep the WAL from being emptied.
  parts->readers.close();
  TROTH_TRY_VOID(parts->flusher.wait_stable(parts->flusher.last_committed(),
                                            parts->clock.now() + kClosePatience));
  TROTH_TRY_VOID(parts->writer.close(true));
  return parts->flusher.close(true);
}

Result<std::uint64_t> Database::commit_change(FunctionRef<Status(WriteTx&)> change,
                                              std::optional<Instant> deadline) {
  return parts_->writer.commit(change, deadline.value_or(parts_->clock.now() + kDefaultPatience));
}

Status Database::read_view(FunctionRef<Status(ReadTx&)> look, std::optional<Instant> deadline) {
  return parts_->readers.read(look, deadline.value_or(parts_->clock.now() + kDefaultPatience));
}

std::uint64_t Database::committed() const {
  return parts_->flusher.last_committed();
}
std::uint64_t Database::stable() const {
  return parts_->flusher.stable();
}
std::uint64_t Database::marked_when_opened() const {
  return parts_->marked;
}
void Database::release_mark() {
  parts_->flusher.release_mark();
}

std::uint64_t Database::read_state() const {
  return parts_->state.now();
}

Status Database::wait_stable(std::uint64_t number, Instant deadline) {
  return parts_->flusher.wait_stable(number, deadline);
}

Status Database::sync(Instant deadline) {
  return wait_stable(committed(), deadline);
}

Status Database::check(CheckDepth depth) {
  // A connection of its own: the pool's have a short time for each read.
  TROTH_TRY(const auto connection, Connection::open(parts_->path, Connection::Access::ReadOnly,
                                                    parts_->vfs, parts_->clock));
  Status whole = check_structure(*connection, depth);
  if (!whole && whole.error().code == ErrorCode::Corrupt)
    parts_->poison.set(whole.error());
  return whole;
}

Status Database::health() const {
  return parts_->poison.check();
}

DatabaseStatus Database::status() const {
  const Writer::Counters counters = parts_->writer.counters();
  DatabaseStatus status{.committed = committed(),
                        .stable = stable(),
                        .requests = counters.requests,
                        .waiting = counters.waiting,
                        .largest_group = counters.largest_group,
                        .checkpoints = counters.checkpoints,
                        .blocked_checkpoints = counters.blocked_checkpoints,
                        .wal_pages = counters.wal_pages,
                        .wal_over_cap = counters.wal_pages > parts_->options.wal_cap_pages,
                        .poison = std::nullopt};
  if (Status healthy = parts_->poison.check(); !healthy)
    status.poison = healthy.error();
  return status;
}

}  // namespace common::db
