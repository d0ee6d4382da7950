#pragma once

// One mount known to this server.

#include <atomic>
#include <memory>
#include <string>

#include "common/crypto/secret.hpp"
#include "common/ids.hpp"
#include "common/rpc/call.hpp"
#include "common/ticket/principal.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver {

// Shared by the calls of its connections; constant but for what is atomic.
struct FileSession {
  common::SessionId id;
  store::MountId mount;
  common::ticket::PrincipalId opener;
  std::string opener_name;
  std::shared_ptr<const common::crypto::Secret> key;  // 32 bytes; what connections are proved with

  // It has ended: whatever comes is `stale`.
  std::atomic<bool> over{false};
  // The highest operation number that has arrived in this session: only what is at or below it can
  // be a retry of something that this life of the server has executed. Before the first, whatever
  // comes can be.
  std::atomic<std::uint64_t> highest_number{0};
};
using FileSessionPtr = std::shared_ptr<FileSession>;

}  // namespace fileserver
