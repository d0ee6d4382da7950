#include "common/db/checksum_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "common/db/page_checksum.hpp"
#include "common/sync/locked.hpp"

// SQLite's side of this file is C: tables of function pointers, and structures of which the first
// member is the base. The functions below are those tables' entries, in their order.

namespace common::db {
namespace {

// What SQLite calls a file: ours first, the real one's structure right behind it in memory.
struct SealedFile {
  sqlite3_file base;
  sqlite3_file* real;
  DiskProbe* probe;
  DiskFile kind;
};

SealedFile& self(sqlite3_file* file) {
  return *reinterpret_cast<SealedFile*>(file);
}

int write_error(int error_number) {
  return error_number == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

bool is_whole_page(int count, sqlite3_int64 offset) {
  return count == static_cast<int>(kPageSize) && offset % static_cast<int>(kPageSize) == 0;
}

// SQLite looks at the first page's header before it knows about the WAL, and at the change counter
// in it. Both are followed by reading the page as a whole, wherever its newest version is, before
// anything is believed; and a checkpoint that a power loss tore must not keep the file from being
// opened, since the WAL still has the page.
bool is_header_look(int count, sqlite3_int64 offset) {
  return (offset == 0 && count == 100) || (offset == 24 && count == 16);
}

int close_file(sqlite3_file* file) {
  return self(file).real->pMethods->xClose(self(file).real);
}

// One page of the main file, checked.
int read_page(sqlite3_file* real, std::span<std::byte, kPageSize> into, sqlite3_int64 offset) {
  const int rc = real->pMethods->xRead(real, into.data(), static_cast<int>(kPageSize), offset);
  if (rc == SQLITE_IOERR_SHORT_READ) {
    // Past the end is an answer (SQLite sees zeros); a page cut in two is damage.
    sqlite3_int64 size = 0;
    if (real->pMethods->xFileSize(real, &size) != SQLITE_OK)
      return SQLITE_IOERR_FSTAT;
    return size <= offset ? SQLITE_IOERR_SHORT_READ : SQLITE_IOERR_DATA;
  }
  if (rc != SQLITE_OK)
    return rc;
  return page_is_intact(static_cast<std::uint64_t>(offset) / kPageSize, into) ? SQLITE_OK
                                                                              : SQLITE_IOERR_DATA;
}

// From 3.45 on, SQLite may read the pages of a long value without its page cache and without their
// last bytes, where our checksum is (still newer ones ask first, and are told no). Whatever part it
// wants, the whole page is read and checked.
int read_part(sqlite3_file* real, std::span<std::byte> into, sqlite3_int64 offset) {
  std::array<std::byte, kPageSize> page;
  while (!into.empty()) {
    const auto skipped = static_cast<std::size_t>(offset) % kPageSize;
    const int rc = read_page(real, page, offset - static_cast<sqlite3_int64>(skipped));
    if (rc != SQLITE_OK) {
      std::memset(into.data(), 0, into.size());  // what SQLite expects with a short read
      return rc;
    }
    const std::size_t taken = std::min(into.size(), kPageSize - skipped);
    std::memcpy(into.data(), page.data() + skipped, taken);
    into = into.subspan(taken);
    offset += static_cast<sqlite3_int64>(taken);
  }
  return SQLITE_OK;
}

int read_file(sqlite3_file* file, void* into, int count, sqlite3_int64 offset) {
  sqlite3_file* const real = self(file).real;
  if (self(file).kind != DiskFile::Main || is_header_look(count, offset))
    return real->pMethods->xRead(real, into, count, offset);
  const std::span bytes(static_cast<std::byte*>(into), static_cast<std::size_t>(count));
  if (is_whole_page(count, offset))
    return read_page(real, bytes.first<kPageSize>(), offset);
  return read_part(real, bytes, offset);
}

int write_file(sqlite3_file* file, const void* from, int count, sqlite3_int64 offset) {
  SealedFile& sealed = self(file);
  std::array<std::byte, kPageSize> page;
  if (sealed.kind == DiskFile::Main) {
    if (!is_whole_page(count, offset))
      return SQLITE_IOERR_WRITE;
    std::memcpy(page.data(), from, kPageSize);
    seal_page(static_cast<std::uint64_t>(offset) / kPageSize, page);
    from = page.data();
  }
  if (sealed.probe != nullptr) {
    const std::span bytes(static_cast<const std::byte*>(from), static_cast<std::size_t>(count));
    const int error =
        sealed.probe->on_write(sealed.kind, static_cast<std::uint64_t>(offset), bytes);
    if (error != 0)
      return write_error(error);
  }
  return sealed.real->pMethods->xWrite(sealed.real, from, count, offset);
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  SealedFile& sealed = self(file);
  if (sealed.probe != nullptr &&
      sealed.probe->on_truncate(sealed.kind, static_cast<std::uint64_t>(size)) != 0) {
    return SQLITE_IOERR_TRUNCATE;
  }
  return sealed.real->pMethods->xTruncate(sealed.real, size);
}

int sync_file(sqlite3_file* file, int flags) {
  SealedFile& sealed = self(file);
  const int rc = sealed.probe != nullptr && sealed.probe->on_sync(sealed.kind) != 0
                     ? SQLITE_IOERR_FSYNC
                     : sealed.real->pMethods->xSync(sealed.real, flags);
  return rc;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return self(file).real->pMethods->xFileSize(self(file).real, size);
}
int lock_file(sqlite3_file* file, int level) {
  return self(file).real->pMethods->xLock(self(file).real, level);
}
int unlock_file(sqlite3_file* file, int level) {
  return self(file).real->pMethods->xUnlock(self(file).real, level);
}
int check_reserved_lock(sqlite3_file* file, int* held) {
  return self(file).real->pMethods->xCheckReservedLock(self(file).real, held);
}
int file_control(sqlite3_file* file, int operation, void* argument) {
  return self(file).real->pMethods->xFileControl(self(file).real, operation, argument);
}
int sector_size(sqlite3_file* file) {
  return self(file).real->pMethods->xSectorSize(self(file).real);
}
// Only what we have reasoned about: a torn write leaves its neighbours alone.
int device_characteristics(sqlite3_file* file) {
  return self(file).real->pMethods->xDeviceCharacteristics(self(file).real) &
         SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** mapped) {
  return self(file).real->pMethods->xShmMap(self(file).real, region, size, extend, mapped);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  return self(file).real->pMethods->xShmLock(self(file).real, offset, count, flags);
}
void shm_barrier(sqlite3_file* file) {
  self(file).real->pMethods->xShmBarrier(self(file).real);
}
int shm_unmap(sqlite3_file* file, int remove) {
  return self(file).real->pMethods->xShmUnmap(self(file).real, remove);
}

// Version 2 has shared memory for the WAL's index and no xFetch: no memory mapping.
constexpr sqlite3_io_methods kMethods = {2,
                                         close_file,
                                         read_file,
                                         write_file,
                                         truncate_file,
                                         sync_file,
                                         file_size,
                                         lock_file,
                                         unlock_file,
                                         check_reserved_lock,
                                         file_control,
                                         sector_size,
                                         device_characteristics,
                                         shm_map,
                                         shm_lock,
                                         shm_barrier,
                                         shm_unmap,
                                         nullptr,
                                         nullptr};

struct Layer {
  sqlite3_vfs* real = nullptr;
  DiskProbe* probe = nullptr;
};

const Layer& layer(sqlite3_vfs* vfs) {
  return *static_cast<const Layer*>(vfs->pAppData);
}

int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  SealedFile& sealed = *new (file) SealedFile{};
  sealed.real = reinterpret_cast<sqlite3_file*>(&sealed + 1);
  sealed.probe = layer(vfs).probe;
  if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
    sealed.kind = DiskFile::Main;
  } else {
    sealed.kind = (flags & SQLITE_OPEN_WAL) != 0 ? DiskFile::Wal : DiskFile::Journal;
  }
  const int rc = layer(vfs).real->xOpen(layer(vfs).real, name, sealed.real, flags, out_flags);
  sealed.base.pMethods = sealed.real->pMethods != nullptr ? &kMethods : nullptr;
  return rc;
}
int remove_file(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  return layer(vfs).real->xDelete(layer(vfs).real, name, sync_directory);
}
int access_file(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
  return layer(vfs).real->xAccess(layer(vfs).real, name, flags, result);
}
int full_path(sqlite3_vfs* vfs, const char* name, int count, char* into) {
  return layer(vfs).real->xFullPathname(layer(vfs).real, name, count, into);
}
int randomness(sqlite3_vfs* vfs, int count, char* into) {
  return layer(vfs).real->xRandomness(layer(vfs).real, count, into);
}
int pause_thread(sqlite3_vfs* vfs, int microseconds) {
  return layer(vfs).real->xSleep(layer(vfs).real, microseconds);
}
int current_time(sqlite3_vfs* vfs, double* julian_day) {
  return layer(vfs).real->xCurrentTime(layer(vfs).real, julian_day);
}
int last_error(sqlite3_vfs* vfs, int count, char* into) {
  return layer(vfs).real->xGetLastError(layer(vfs).real, count, into);
}
int current_time_ms(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
  return layer(vfs).real->xCurrentTimeInt64(layer(vfs).real, julian_ms);
}

}  // namespace

struct ChecksumVfs::Registration {
  std::string name;
  Layer layer;
  sqlite3_vfs vfs{};
};

ChecksumVfs::ChecksumVfs(std::unique_ptr<Registration> registration)
    : registration_(std::move(registration)) {}

ChecksumVfs::~ChecksumVfs() {
  sqlite3_vfs_unregister(&registration_->vfs);
}

const char* ChecksumVfs::name() const {
  return registration_->name.c_str();
}

Result<std::shared_ptr<ChecksumVfs>> ChecksumVfs::make(DiskProbe* probe) {
  static std::atomic<std::uint64_t> next_number{0};
  auto registration = std::make_unique<Registration>();
  registration->name = "troth-" + std::to_string(next_number++);
  registration->layer = {sqlite3_vfs_find("unix"), probe};
  if (registration->layer.real == nullptr) {
    return fail(ErrorCode::Unsupported, "this SQLite library has no \"unix\" file layer");
  }
  const sqlite3_vfs& real = *registration->layer.real;
  sqlite3_vfs& vfs = registration->vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(SealedFile)) + real.szOsFile;
  vfs.mxPathname = real.mxPathname;
  vfs.zName = registration->name.c_str();
  vfs.pAppData = &registration->layer;
  vfs.xOpen = open_file;
  vfs.xDelete = remove_file;
  vfs.xAccess = access_file;
  vfs.xFullPathname = full_path;
  vfs.xRandomness = randomness;
  vfs.xSleep = pause_thread;
  vfs.xCurrentTime = current_time;
  vfs.xGetLastError = last_error;
  vfs.xCurrentTimeInt64 = current_time_ms;
  if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK) {
    return fail(ErrorCode::ResourceExhausted, "SQLite refused the page checksum layer");
  }
  return std::shared_ptr<ChecksumVfs>(new ChecksumVfs(std::move(registration)));
}

Result<std::shared_ptr<ChecksumVfs>> ChecksumVfs::shared() {
  // A registration, as SQLite's own list of them: the one thing here that is the process's.
  static Locked<std::weak_ptr<ChecksumVfs>> current;
  auto guard = current.lock();
  if (auto vfs = guard->lock())
    return vfs;
  TROTH_TRY(auto made, make(nullptr));
  *guard = made;
  return made;
}

Result<std::shared_ptr<ChecksumVfs>> ChecksumVfs::with_probe(DiskProbe& probe) {
  return make(&probe);
}

}  // namespace common::db
