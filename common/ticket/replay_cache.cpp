#include "common/ticket/replay_cache.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <type_traits>

#include "common/crypto/hash.hpp"
#include "common/crypto/random.hpp"
#include "common/io/unique_fd.hpp"
#include "common/ticket/refuse.hpp"
#include "common/ticket/siphash.hpp"

namespace common::ticket {

// The file: one page of header, then the slots. Its own machine alone reads it, so integers are in
// that machine's order.
struct ReplayCache::Header {
  std::array<char, 8> magic;
  std::uint64_t buckets;
  std::array<std::byte, 16> hash_key;  // of SipHash: which bucket a tag lies in
  crypto::Digest checksum;             // of the three above
  BootId boot;
  std::uint64_t floor;    // nothing made up to here is accepted
  std::uint64_t horizon;  // on the disk before anything made up to here is accepted
};

// An accepted proof; all zero if there is none.
struct ReplayCache::Slot {
  std::uint64_t made;  // 0: empty
  ReplayTag tag;
};

namespace {

constexpr std::array<char, 8> kMagic{'T', 'r', 'o', 't', 'h', 'R', 'C', '1'};
constexpr std::size_t kHeaderBytes = 4096;
// One wait for the disk for all proofs of a minute.
constexpr std::chrono::minutes kHorizonStep{1};

std::uint64_t number(Time time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(time.time_since_epoch().count(), 0));
}
std::uint64_t number(Milliseconds duration) {
  return static_cast<std::uint64_t>(duration.count());
}

std::atomic_ref<std::uint64_t> shared(std::uint64_t& word) {
  return std::atomic_ref<std::uint64_t>(word);
}

// The file, if it is one that only we could have written.
Result<UniqueFd> open_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd.valid()) {
    if (errno == ELOOP)
      return fail(ErrorCode::PermissionDenied, "{} is a symbolic link", path);
    return fail_errno(errno, "open {}", path);
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "stat {}", path);
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() ||
      (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(
        ErrorCode::PermissionDenied,
        "{} is not a file of mode 600 that belongs to uid {}: stop the service and remove it", path,
        ::geteuid());
  }
  return fd;
}

Result<std::uint64_t> size_of(const UniqueFd& fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "stat {}", path);
  return static_cast<std::uint64_t>(info.st_size);
}

// Nothing but zeros, with a place on the disk for every one of them.
Status make_empty(const UniqueFd& fd, std::uint64_t bytes, const std::string& path) {
  if (::ftruncate(fd.get(), 0) != 0)
    return fail_errno(errno, "truncate {}", path);
  int code = 0;
  do {
    code = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  } while (code == EINTR);
  if (code != 0)
    return fail_errno(code, "reserve {} bytes for {}", bytes, path);
  return {};
}

Status sync_header(void* mapping) {
  if (::msync(mapping, kHeaderBytes, MS_SYNC) != 0)
    return fail_errno(errno, "sync the table of accepted proofs");
  return {};
}

template <typename Header>
Result<crypto::Digest> checksum_of(const Header& header) {
  Bytes covered;
  const auto add = [&covered](const auto& field) {
    const auto* begin = reinterpret_cast<const std::byte*>(&field);
    covered.insert(covered.end(), begin, begin + sizeof field);
  };
  add(header.magic);
  add(header.buckets);
  add(header.hash_key);
  return crypto::sha256(covered);
}

}  // namespace

ReplayCache::ReplayCache(io::LockFile lock, void* mapping, std::size_t buckets, Found found)
    : lock_(std::move(lock)),
      mapping_(mapping),
      header_(static_cast<Header*>(mapping)),
      buckets_(buckets),
      found_(found),
      stripes_(kStripes) {
  static_assert(sizeof(Header) <= kHeaderBytes && std::is_trivially_copyable_v<Header>);
  static_assert(sizeof(Slot) == 24 && std::is_trivially_copyable_v<Slot>);
}

ReplayCache::~ReplayCache() {
  ::munmap(mapping_, kHeaderBytes + capacity() * sizeof(Slot));
}

Result<std::unique_ptr<ReplayCache>> ReplayCache::open(const Options& options, Time now) {
  TROTH_TRY(const io::BootId boot, io::current_boot());
  return open(options, now, boot);
}

Result<std::unique_ptr<ReplayCache>> ReplayCache::open(const Options& options, Time now,
                                                       const BootId& boot) {
  if (options.capacity == 0 || options.capacity > kMaxReplayCapacity) {
    return fail(ErrorCode::InvalidArgument, "a table of {} proofs; 1 to {} are possible",
                options.capacity, kMaxReplayCapacity);
  }
  const std::size_t per_stripe =
      (options.capacity + kStripes * kBucketSlots - 1) / (kStripes * kBucketSlots);
  const std::size_t buckets = per_stripe * kStripes;
  const std::size_t bytes = kHeaderBytes + buckets * kBucketSlots * sizeof(Slot);

  TROTH_TRY(io::LockFile lock,
            io::LockFile::acquire(options.path + ".lock", "table of proofs " + options.path));
  TROTH_TRY(const UniqueFd fd, open_file(options.path));
  TROTH_TRY(const std::uint64_t size, size_of(fd, options.path));
  if (size != bytes)
    TROTH_TRY_VOID(make_empty(fd, bytes, options.path));
  void* mapping = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapping == MAP_FAILED)
    return fail_errno(errno, "map {}", options.path);

  Header& header = *static_cast<Header*>(mapping);
  const auto checksum = checksum_of(header);
  Found found = size == 0 ? Found::Missing : Found::Damaged;
  if (checksum && header.magic == kMagic && header.buckets == buckets &&
      header.checksum == *checksum) {
    found = header.boot == boot ? Found::Kept : Found::Rebooted;
  }
  // Owns the mapping from here on.
  std::unique_ptr<ReplayCache> cache(new ReplayCache(std::move(lock), mapping, buckets, found));
  TROTH_TRY_VOID(std::move(checksum));
  if (found != Found::Kept)
    TROTH_TRY_VOID(cache->start_again(now, boot));
  // Whoever died before us may have written it and not waited for the disk.
  TROTH_TRY_VOID(sync_header(mapping));
  cache->horizon_ = cache->header_->horizon;
  return cache;
}

// Dying anywhere in here leaves a file that is found as it was found now, or is complete.
Status ReplayCache::start_again(Time now, const BootId& boot) {
  // A proof accepted by whoever wrote the file was made at most kMaxSkew after the time then.
  std::uint64_t floor = number(now + kMaxSkew);
  if (found_ == Found::Rebooted)
    floor = std::max({floor, header_->floor, header_->horizon});
  else
    header_->magic = {};
  header_->floor = floor;
  header_->horizon = floor;
  TROTH_TRY_VOID(sync_header(mapping_));
  std::memset(static_cast<std::byte*>(mapping_) + kHeaderBytes, 0, capacity() * sizeof(Slot));
  if (found_ != Found::Rebooted) {
    header_->buckets = buckets_;
    TROTH_TRY_VOID(crypto::random_bytes(header_->hash_key));
    header_->magic = kMagic;
    TROTH_TRY(header_->checksum, checksum_of(*header_));
  }
  header_->boot = boot;
  return sync_header(mapping_);
}

std::span<ReplayCache::Slot> ReplayCache::bucket(std::size_t index) const {
  auto* const slots = reinterpret_cast<Slot*>(static_cast<std::byte*>(mapping_) + kHeaderBytes);
  return {slots + index * kBucketSlots, kBucketSlots};
}

Status ReplayCache::remember(const ReplayTag& tag, Time made_at, Time now_at) {
  const std::uint64_t made = number(made_at);
  const std::uint64_t now = number(now_at);
  if (made > horizon_.load(std::memory_order_acquire))
    TROTH_TRY_VOID(extend_horizon(made, now));
  const std::uint64_t hash = siphash(header_->hash_key, tag);
  const std::size_t stripe = hash % kStripes;
  const std::size_t per_stripe = buckets_ / kStripes;
  const std::size_t first = stripe * per_stripe;
  const auto one = bucket(first + (hash >> 8 & 0xFFFFFFF) % per_stripe);
  const auto other = bucket(first + (hash >> 36) % per_stripe);
  const MutexLock lock(stripes_.at(stripe).mutex);
  return remember_in(one, other, tag, made, now);
}

Status ReplayCache::remember_in(std::span<Slot> one, std::span<Slot> other, const ReplayTag& tag,
                                std::uint64_t made, std::uint64_t now) {
  // Under the lock, because whoever made room by dropping this very tag raised the floor under it.
  if (made <= shared(header_->floor).load(std::memory_order_acquire))
    return refused();
  Slot* place = nullptr;
  std::size_t fewest = kBucketSlots;
  for (const std::span<Slot> slots : {one, other}) {
    Slot* oldest = &slots.front();
    std::size_t live = 0;
    for (Slot& slot : slots) {
      if (slot.made != 0 && slot.tag == tag)
        return refused();
      live += slot.made != 0 && slot.made + number(Milliseconds(kReplayKeep)) > now ? 1 : 0;
      if (slot.made < oldest->made)
        oldest = &slot;
    }
    if (live < fewest) {
      fewest = live;
      place = oldest;
    }
  }
  if (place == nullptr) {
    return tl::unexpected<Error>(Error{ErrorCode::Overloaded,
                                       "too many requests with proofs of their own; try again",
                                       std::chrono::seconds(10)});
  }
  // In this order also for whoever finds the file after a kill: never a place that was given up
  // without the floor, never a tag whose time is not there.
  raise_floor(place->made);
  shared(place->made).store(made, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  place->tag = tag;
  return {};
}

void ReplayCache::raise_floor(std::uint64_t to) {
  const auto floor = shared(header_->floor);
  std::uint64_t found = floor.load(std::memory_order_acquire);
  while (found < to && !floor.compare_exchange_weak(found, to, std::memory_order_acq_rel)) {
  }
}

Status ReplayCache::extend_horizon(std::uint64_t made, std::uint64_t now) {
  const MutexLock lock(horizon_mutex_);
  if (made <= horizon_.load(std::memory_order_acquire))
    return {};  // somebody else just did
  header_->horizon = std::max(made, now) + number(Milliseconds(kHorizonStep));
  TROTH_TRY_VOID(sync_header(mapping_));
  horizon_.store(header_->horizon, std::memory_order_release);
  return {};
}

std::size_t ReplayCache::size() const {
  std::size_t used = 0;
  const std::size_t per_stripe = buckets_ / kStripes;
  for (std::size_t stripe = 0; stripe < kStripes; ++stripe) {
    const MutexLock lock(stripes_.at(stripe).mutex);
    for (std::size_t i = 0; i < per_stripe; ++i) {
      const auto slots = bucket(stripe * per_stripe + i);
      used += static_cast<std::size_t>(std::count_if(
          slots.begin(), slots.end(), [](const Slot& slot) { return slot.made != 0; }));
    }
  }
  return used;
}

Time ReplayCache::floor() const {
  return Time(Milliseconds(
      static_cast<std::int64_t>(shared(header_->floor).load(std::memory_order_acquire))));
}

}  // namespace common::ticket
