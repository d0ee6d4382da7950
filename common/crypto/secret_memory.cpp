#include "common/crypto/secret_memory.hpp"

#include <openssl/crypto.h>
#include <sys/mman.h>

#include <array>
#include <new>

#include "common/sync/locked.hpp"

namespace common::crypto::secret_memory {
namespace {

// A key (32 bytes), a key with its nonce or a SHA-512 state fit.
constexpr std::size_t kSlotBytes = 64;
// 512 slots: one mapping and one mlock call per 512 keys.
constexpr std::size_t kSlabBytes = std::size_t{32} * 1024;
// 2 MiB of locked memory, 32,768 keys, well within the usual RLIMIT_MEMLOCK of 8 MiB. Beyond it
// small secrets live on the heap, still wiped but no longer locked.
constexpr std::size_t kMaxSlabs = 64;
constexpr std::size_t kPageBytes = 4096;

// A free slot holds the link to the next one.
struct FreeSlot {
  FreeSlot* next;
};

struct Slabs {
  FreeSlot* free = nullptr;
  std::size_t count = 0;
  std::array<std::byte*, kMaxSlabs> begin{};

  [[nodiscard]] bool owns(const std::byte* memory) const {
    for (std::size_t i = 0; i < count; ++i) {
      if (memory >= begin[i] && memory < begin[i] + kSlabBytes)
        return true;
    }
    return false;
  }
};

// Never destroyed: a secret may outlive every static object.
Locked<Slabs>& slabs() {
  static auto* const all = new Locked<Slabs>;
  return *all;
}

std::byte* map_locked(std::size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return nullptr;
  // Both are best effort: a tight RLIMIT_MEMLOCK must not stop the service.
  (void)::mlock(memory, size);
  (void)::madvise(memory, size, MADV_DONTDUMP);
  return static_cast<std::byte*>(memory);
}

std::size_t page_multiple(std::size_t size) {
  return (size + kPageBytes - 1) / kPageBytes * kPageBytes;
}

bool add_slab(Slabs& state) {
  if (state.count == kMaxSlabs)
    return false;
  std::byte* slab = map_locked(kSlabBytes);
  if (slab == nullptr)
    return false;
  state.begin[state.count++] = slab;
  for (std::size_t at = 0; at < kSlabBytes; at += kSlotBytes) {
    state.free = new (slab + at) FreeSlot{state.free};
  }
  return true;
}

}  // namespace

std::byte* allocate(std::size_t size) {
  if (size > kSlotBytes) {
    std::byte* memory = map_locked(page_multiple(size));
    if (memory == nullptr)
      throw std::bad_alloc();
    return memory;
  }
  auto state = slabs().lock();
  if (state->free == nullptr && !add_slab(*state)) {
    return static_cast<std::byte*>(::operator new(kSlotBytes));
  }
  FreeSlot* slot = state->free;
  state->free = slot->next;
  return reinterpret_cast<std::byte*>(slot);
}

void release(std::byte* memory, std::size_t size) noexcept {
  if (memory == nullptr)
    return;
  OPENSSL_cleanse(memory, size);
  if (size > kSlotBytes) {
    ::munmap(memory, page_multiple(size));
    return;
  }
  auto state = slabs().lock();
  if (state->owns(memory)) {
    state->free = new (memory) FreeSlot{state->free};
    return;
  }
  state.unlock();
  ::operator delete(memory);
}

}  // namespace common::crypto::secret_memory
