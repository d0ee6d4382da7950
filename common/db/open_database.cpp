#include "common/db/open_database.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>

#include "common/db/meta.sql.hpp"
#include "common/db/page_checksum.hpp"

namespace common::db {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos)
    return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string file_of(const std::string& path) {
  return std::string(io::name_of(path));
}

Result<bool> exists(io::FileIo& io, const std::string& name) {
  const auto file = io.open(name, io::OpenMode::Read);
  if (file)
    return true;
  if (file.error().code == ErrorCode::NotFound)
    return false;
  return tl::unexpected(file.error());
}

Status remove_if_there(io::FileIo& io, const std::string& name) {
  Status removed = io.unlink(name);
  if (!removed && removed.error().code == ErrorCode::NotFound)
    return {};
  return removed;
}

// Not zero and positive, so that SQLite's signed integers hold it.
Result<std::uint64_t> new_database_id() {
  std::uint64_t id = 0;
  if (::getrandom(&id, sizeof id, 0) != sizeof id) {
    return fail_errno(errno, "choosing a database id");
  }
  return (id >> 1) | 1;
}

Status fill_new_database(Connection& connection, const Options& options, std::uint64_t id) {
  TROTH_TRY_VOID(connection.execute_script(
      fmt::format("PRAGMA page_size = {}; PRAGMA auto_vacuum = INCREMENTAL;"
                  "PRAGMA synchronous = FULL; PRAGMA application_id = {};",
                  kPageSize, options.application_id)));
  TROTH_TRY_VOID(connection.execute_script(kMetaSql));
  TROTH_TRY_VOID(connection.run("INSERT INTO troth_database VALUES (1, ?1, 0)", id));
  // Last: from here on the file's header says that there is a WAL.
  return connection.execute_script("PRAGMA journal_mode = WAL;");
}

// Makes the database under another name and renames it when it is whole, so a crash leaves either
// no database or one of commit 0. What bears its name already is a leftover.
Status create_database(io::FileIo& io, const std::string& path, const Options& options,
                       const std::shared_ptr<ChecksumVfs>& vfs, const Clock& clock) {
  const std::string name = file_of(path);
  const std::string temporary = name + ".new";
  for (const char* suffix : {".new", ".new-journal", ".new-wal", ".new-shm", "-wal", "-shm"}) {
    TROTH_TRY_VOID(remove_if_there(io, name + suffix));
  }
  TROTH_TRY(const std::uint64_t id, new_database_id());
  // SQLite would make it readable by everybody; the WAL and its index get the same mode as this.
  if (auto file = io.open(temporary, io::OpenMode::CreateNew); !file) {
    return tl::unexpected(file.error());
  }
  {
    TROTH_TRY(const auto connection,
              Connection::open(path + ".new", Connection::Access::Create, vfs, clock));
    TROTH_TRY_VOID(fill_new_database(*connection, options, id));
  }
  TROTH_TRY_VOID(remove_if_there(io, temporary + "-wal"));
  TROTH_TRY_VOID(remove_if_there(io, temporary + "-shm"));
  TROTH_TRY_VOID(StableMark::create(io, name + "-mark", id, true));
  return io.rename_durably(temporary, name);
}

// The mark of a database that is missing says whether anything is missed.
Status check_nothing_was_lost(io::FileIo& io, const std::string& path, const Options& options) {
  if (options.accept_lost_commits)
    return {};
  const auto mark = StableMark::open(io, file_of(path) + "-mark", nullptr);
  if (!mark && mark.error().code == ErrorCode::NotFound)
    return {};
  if (mark && (*mark)->state().stable == 0)
    return {};
  return fail(ErrorCode::Corrupt,
              "{} is missing, but its mark says that it held data; restore it from a replica or a "
              "backup, or remove {}-mark to begin with an empty one",
              path, path);
}

Status tune_writer(Connection& connection, const Options& options) {
  return connection.execute_script(
      fmt::format("PRAGMA synchronous = NORMAL; PRAGMA secure_delete = {};"
                  "PRAGMA cache_size = -{}; PRAGMA temp_store = MEMORY;",
                  options.overwrite_deleted ? "ON" : "OFF", options.writer_cache_kib));
}

Status check_kind(Connection& connection, const std::string& path, const Options& options) {
  TROTH_TRY(const std::int64_t id, connection.query_int64("PRAGMA application_id"));
  if (static_cast<std::uint32_t>(id) != options.application_id) {
    return fail(ErrorCode::InvalidArgument,
                "{} is another kind of database (application id {:#x}, expected {:#x})", path,
                static_cast<std::uint32_t>(id), options.application_id);
  }
  TROTH_TRY(const std::int64_t page_size, connection.query_int64("PRAGMA page_size"));
  if (page_size != static_cast<std::int64_t>(kPageSize) ||
      connection.reserved_bytes() != static_cast<int>(kChecksumSize)) {
    return fail(ErrorCode::InvalidArgument, "{} has no page checksums: it was not made by Troth",
                path);
  }
  return {};
}

struct Identity {
  std::uint64_t id = 0;
  std::uint64_t commits = 0;
};

Result<Identity> read_identity(Connection& connection) {
  TROTH_TRY(Statement row, connection.prepare("SELECT id, commits FROM troth_database"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return fail(ErrorCode::Corrupt, "the database has lost its identity");
  return Identity{row.column_uint64(0), row.column_uint64(1)};
}

// Whether the database is as new as it is known to have been; with accept_lost_commits, what it has
// is made the truth.
Result<std::unique_ptr<StableMark>> check_mark(io::FileIo& io, const std::string& path,
                                               const Options& options, const Identity& identity) {
  const std::string name = file_of(path) + "-mark";
  auto mark = StableMark::open(io, name, options.probe);
  Error refused;
  if (!mark && mark.error().code == ErrorCode::NotFound) {
    refused = {ErrorCode::Corrupt, "its mark, " + path + "-mark, is missing"};
  } else if (!mark) {
    refused = mark.error();
  } else if ((*mark)->state().database_id != identity.id) {
    refused = {ErrorCode::Corrupt, "its mark, " + path + "-mark, belongs to another database"};
  } else if ((*mark)->state().stable > identity.commits) {
    refused = {ErrorCode::Corrupt,
               fmt::format("it ends at commit {}, but had reached the disk up to commit {}",
                           identity.commits, (*mark)->state().stable)};
  } else {
    return mark;
  }
  if (refused.code != ErrorCode::Corrupt)
    return tl::unexpected(refused);
  if (!options.accept_lost_commits) {
    refused.message =
        fmt::format("{} has lost data and is not served: {}; restore it from a replica or a backup",
                    path, refused.message);
    return tl::unexpected(refused);
  }
  // Not clean: a database that lost one thing is checked for what else it lost.
  TROTH_TRY_VOID(StableMark::create(io, name, identity.id, false));
  return StableMark::open(io, name, options.probe);
}

Status migrate(Connection& connection, std::span<const Migration> migrations,
               const std::string& path, std::uint64_t& commits) {
  TROTH_TRY(const std::int64_t version, connection.query_int64("PRAGMA user_version"));
  const auto known = static_cast<std::int64_t>(migrations.size());
  if (version < 0 || version > known) {
    return fail(ErrorCode::Unsupported,
                "{} has schema version {}, but this program knows versions up to {}; use a newer "
                "program",
                path, version, known);
  }
  for (auto next = static_cast<std::size_t>(version); next < migrations.size(); ++next) {
    TROTH_TRY(Transaction transaction, Transaction::begin(connection));
    if (Status run = connection.execute_script(migrations[next].sql); !run) {
      return tl::unexpected(
          run.error().in(fmt::format("bringing {} to schema version {}", path, next + 1)));
    }
    TROTH_TRY_VOID(connection.execute_script(fmt::format("PRAGMA user_version = {}", next + 1)));
    TROTH_TRY_VOID(connection.run("UPDATE troth_database SET commits = ?1", commits + 1));
    TROTH_TRY_VOID(transaction.commit());
    ++commits;
  }
  return {};
}

// After a failed sync the kernel may show what never reached the disk, and call a later sync of the
// same bytes a success. So what an unclean stop left in the WAL is written anew, into the database,
// instead of being trusted to lie where it seems to. With no room for that it stays in the WAL.
Status rewrite_wal(Connection& connection, const std::string& path) {
  const auto done = connection.checkpoint(Connection::CheckpointMode::Truncate);
  if (done || done.error().code == ErrorCode::NoSpace)
    return {};
  return tl::unexpected(done.error().in(path));
}

// A descriptor of our own on the WAL, its name and its bytes durable.
Result<UniqueFd> open_wal(io::FileIo& io, const std::string& path, DiskProbe* probe) {
  UniqueFd wal(::open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!wal.valid())
    return fail_errno(errno, "opening {}-wal", path);
  const int refused = probe != nullptr ? probe->on_sync(DiskFile::Wal) : 0;
  if (refused != 0 || ::fdatasync(wal.get()) != 0) {
    return fail_errno(refused != 0 ? refused : errno, "syncing {}-wal", path);
  }
  TROTH_TRY_VOID(io.sync_directory(""));
  return wal;
}

Error explain_open_failure(const std::string& path, Error error) {
  if (error.code != ErrorCode::Corrupt)
    return error.in(path);
  return {error.code,
          fmt::format("{} is damaged or not a database of Troth and is not served: {}; restore it "
                      "from a replica or a backup",
                      path, error.message)};
}

}  // namespace

Status check_structure(Connection& connection, Database::CheckDepth depth) {
  TROTH_TRY(Statement check,
            connection.prepare(depth == Database::CheckDepth::Quick ? "PRAGMA quick_check(1)"
                                                                    : "PRAGMA integrity_check(1)"));
  TROTH_TRY(const bool row, check.step());
  if (row && check.column_text(0) == "ok")
    return {};
  return fail(ErrorCode::Corrupt, "the structure of the database is damaged: {}",
              row ? check.column_text(0) : "no answer");
}

// Longer than most: the order of these steps is the point.
Result<OpenedDatabase> open_database(const std::string& path, const Options& options,
                                     std::span<const Migration> migrations, const Clock& clock) {
  OpenedDatabase opened;
  TROTH_TRY(opened.directory, io::PosixFileIo::open_root(directory_of(path)));
  io::FileIo& io = *opened.directory;
  TROTH_TRY(auto lock, io::LockFile::acquire(path + ".lock", "database " + path));
  opened.lock = std::make_unique<io::LockFile>(std::move(lock));
  TROTH_TRY(opened.vfs, options.probe != nullptr ? ChecksumVfs::with_probe(*options.probe)
                                                 : ChecksumVfs::shared());
  TROTH_TRY(const bool there, exists(io, file_of(path)));
  if (!there) {
    TROTH_TRY_VOID(check_nothing_was_lost(io, path, options));
    TROTH_TRY_VOID(create_database(io, path, options, opened.vfs, clock));
  }
  auto connection = Connection::open(path, Connection::Access::ReadWrite, opened.vfs, clock);
  if (!connection)
    return tl::unexpected(explain_open_failure(path, connection.error()));
  opened.writer = *std::move(connection);

  Status usable = tune_writer(*opened.writer, options);
  if (usable)
    usable = check_kind(*opened.writer, path, options);
  Result<Identity> identity;
  if (usable) {
    identity = read_identity(*opened.writer);
    if (!identity)
      usable = tl::unexpected(identity.error());
  }
  if (!usable)
    return tl::unexpected(explain_open_failure(path, usable.error()));

  TROTH_TRY(opened.mark, check_mark(io, path, options, *identity));
  opened.marked = opened.mark->state().stable;
  const bool unclean = !opened.mark->state().clean;
  if (unclean && options.check_after_unclean_stop) {
    if (Status whole = check_structure(*opened.writer, Database::CheckDepth::Quick); !whole) {
      return tl::unexpected(explain_open_failure(path, whole.error()));
    }
  }
  opened.commits = identity->commits;
  // Before the first write: from now on a stop is not clean until it is said to be.
  if (opened.mark->state().clean)
    TROTH_TRY_VOID(opened.mark->record(opened.mark->state().stable, false));
  TROTH_TRY_VOID(migrate(*opened.writer, migrations, path, opened.commits));
  if (unclean)
    TROTH_TRY_VOID(rewrite_wal(*opened.writer, path));
  TROTH_TRY(opened.wal, open_wal(io, path, options.probe));
  if (options.hold_mark)
    return opened;
  // A lower bound: on a full disk the flusher brings it up to date later.
  if (Status marked = opened.mark->record(opened.commits, false);
      !marked && marked.error().code != ErrorCode::NoSpace) {
    return tl::unexpected(marked.error());
  }
  return opened;
}

}  // namespace common::db
