#pragma once

// What a mount knows of one session. The key is in memory only, and wiped with the last copy.

#include <chrono>
#include <memory>
#include <string>

#include "common/crypto/secret.hpp"
#include "common/fileproto/sessions.hpp"

namespace common::fileclient {

struct SessionKey {
  SessionKey() = default;
  SessionKey(const SessionKey&) = delete;
  SessionKey& operator=(const SessionKey&) = delete;
  ~SessionKey() { crypto::wipe(key); }

  SessionId id;
  fileproto::SessionKey key{};
  std::string opener;  // as his ticket names him
  std::chrono::milliseconds lease{0};
  std::uint16_t stream_port = 0;
  std::uint64_t server_epoch = 0;
};
using SessionKeyPtr = std::shared_ptr<const SessionKey>;

}  // namespace common::fileclient
