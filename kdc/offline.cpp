#include "kdc/offline.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "common/failpoint/failpoint.hpp"
#include "common/io/new_file.hpp"
#include "kdc/dump.hpp"
#include "kdc/first_start.hpp"
#include "kdc/open_file.hpp"
#include "kdc/private_file.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

constexpr std::size_t kBuffer = 256 * 1024;

// Opening a KDC's directory makes the cell where there is none yet: not here.
Status need_database(const DatabaseOptions& options, const common::Clock& clock) {
  const std::string path = options.directory + "/" + std::string(kDatabaseFile);
  bool filled = false;
  if (std::error_code error; std::filesystem::exists(path, error)) {
    TROTH_TRY(const auto db, open_file(options, clock));
    TROTH_TRY(filled, has_contents(*db));
    TROTH_TRY_VOID(db->close());
  }
  if (filled)
    return {};
  return fail(ErrorCode::NotFound, "there is no database in {} yet", options.directory);
}

Status record(Database& db, std::string_view event, const std::string& file) {
  return db.audit().record({.event = std::string(event),
                            .actor = kNobody,
                            .actor_name = "kdc",
                            .subject = file,
                            .source = "local",
                            .outcome = std::string(kAuditOk)});
}

// A file's bytes, from the kernel's memory.
class Mapping {
 public:
  static Result<Mapping> of(const std::string& file) {
    TROTH_TRY(const common::UniqueFd fd, open_private_file(file));
    struct stat about {};
    if (::fstat(fd.get(), &about) != 0)
      return common::fail_errno(errno, "stat {}", file);
    const auto size = static_cast<std::size_t>(about.st_size);
    if (size == 0)
      return fail(ErrorCode::Corrupt, "{} is empty", file);
    if (size > kMostDump)
      return fail(ErrorCode::TooLarge, "{} has {} bytes, more than {}", file, size, kMostDump);
    void* bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (bytes == MAP_FAILED)
      return common::fail_errno(errno, "read {}", file);
    return Mapping(bytes, size);
  }
  Mapping(Mapping&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping() {
    if (bytes_ != nullptr)
      ::munmap(bytes_, size_);
  }
  [[nodiscard]] std::string_view text() const { return {static_cast<const char*>(bytes_), size_}; }

 private:
  Mapping(void* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
  void* bytes_;
  std::size_t size_;
};

}  // namespace

Result<std::string> dump_to_file(const DatabaseOptions& options, const std::string& file,
                                 const common::Clock& clock) {
  TROTH_TRY(auto out, common::io::NewFile::create(file));
  TROTH_TRY_VOID(need_database(options, clock));
  TROTH_TRY(const auto db, Database::open(options, clock));
  std::string waiting;
  const auto write_out = [&]() -> Status {
    TROTH_TRY_VOID(out.append(common::as_bytes(waiting)));
    waiting.clear();
    return {};
  };
  TROTH_TRY_VOID(dump(db->core(), [&](std::string_view line) -> Status {
    waiting += line;
    return waiting.size() < kBuffer ? Status{} : write_out();
  }));
  TROTH_TRY_VOID(write_out());
  TROTH_FAILPOINT_TRY("kdc.dump.written");
  TROTH_TRY_VOID(record(*db, "dump", file));
  TROTH_TRY_VOID(db->close());
  TROTH_TRY_VOID(out.publish());
  return fmt::format(
      "dumped to {}: its keys are worth nothing without {}/{} as it is now; keep that elsewhere",
      file, options.directory, kMasterKeyFile);
}

Result<std::string> load_from_file(const DatabaseOptions& options, const std::string& file,
                                   const common::Clock& clock) {
  TROTH_TRY(const Mapping dumped, Mapping::of(file));
  TROTH_TRY_VOID(load(options, dumped.text(), clock));
  TROTH_FAILPOINT_TRY("kdc.load.done");
  TROTH_TRY(const auto db, Database::open(options, clock));
  TROTH_TRY_VOID(record(*db, "load", file));
  TROTH_TRY(const AuditVerdict chain, db->audit().verify());
  TROTH_TRY_VOID(db->close());
  if (!chain.ok) {
    return fail(ErrorCode::Corrupt,
                "{} is loaded, but the audit log in it is broken at record {} ({}): it was so when "
                "it was dumped, or somebody has changed it",
                file, chain.broken, chain.why);
  }
  return fmt::format("loaded {}; the audit log is whole, from record {} to {}", file, chain.first,
                     chain.last);
}

}  // namespace kdc
