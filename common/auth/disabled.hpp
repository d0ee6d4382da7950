#pragma once

// Whose tickets are good no more, as the KDC tells services (kdc/PROTOCOL.md, "Disabled").

#include <optional>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/bytes.hpp"
#include "common/result.hpp"
#include "common/rpc/client.hpp"
#include "common/ticket/principal.hpp"

namespace common::auth {

struct DisabledNews {
  std::uint64_t version = 0;                  // to ask from the next time
  bool whole = false;                         // a page of everybody, not what has changed
  std::vector<ticket::PrincipalId> disabled;  // ascending, as `enabled`
  std::vector<ticket::PrincipalId> enabled;
  std::optional<ticket::PrincipalId> next;  // the next page is after this one
};

// `since`: a version of an earlier answer; none: everybody after `after`. The client's session is
// one of the service for `kdc/admin`. PermissionDenied: it is no service's; Protocol: the answer is
// none.
Result<DisabledNews> ask_disabled(rpc::Client& kdc, std::optional<std::uint64_t> since,
                                  ticket::PrincipalId after, Instant deadline,
                                  const rpc::Cancellation* cancellation = nullptr);

// The answer's two parts.
Result<DisabledNews> decode_disabled(const nlohmann::json& head, ByteView ids);

}  // namespace common::auth
