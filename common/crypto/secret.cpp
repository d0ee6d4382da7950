#include "common/crypto/secret.hpp"

#include <openssl/crypto.h>

#include <cstring>
#include <utility>

#include "common/crypto/secret_memory.hpp"

namespace common::crypto {

Secret::Secret(std::size_t size)
    : data_(size == 0 ? nullptr : secret_memory::allocate(size)), size_(size) {
  if (size != 0)
    std::memset(data_, 0, size);
}

Secret Secret::copy_of(ByteView bytes) {
  Secret copy(bytes.size());
  if (!bytes.empty())
    std::memcpy(copy.data_, bytes.data(), bytes.size());
  return copy;
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    secret_memory::release(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Secret::~Secret() {
  secret_memory::release(data_, size_);
}

void wipe(std::span<std::byte> bytes) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

}  // namespace common::crypto
