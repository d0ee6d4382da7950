#include "tests/support/allocation_failure.hpp"

#include <cstddef>
#include <cstdlib>

namespace {

// 0: nothing is planned.
thread_local std::uint64_t countdown = 0;
thread_local bool has_struck = false;

void* allocate(std::size_t size, std::size_t alignment) {
  if (countdown != 0 && --countdown == 0) {
    has_struck = true;
    return nullptr;
  }
  if (size == 0)
    size = 1;
  if (alignment <= alignof(std::max_align_t))
    return std::malloc(size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  void* memory = allocate(size, alignment);
  if (memory == nullptr)
    throw std::bad_alloc();
  return memory;
}

}  // namespace

namespace test_support {

FailAllocation::FailAllocation(std::uint64_t nth) {
  has_struck = false;
  countdown = nth;
}
FailAllocation::~FailAllocation() {
  countdown = 0;
}
bool FailAllocation::struck() const {
  return has_struck;
}

}  // namespace test_support

void* operator new(std::size_t size) {
  return allocate_or_throw(size, 0);
}
void* operator new[](std::size_t size) {
  return allocate_or_throw(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 0);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 0);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
