#pragma once

// A ticket at the commit of what it asked for (F40).

#include <optional>

#include "common/result.hpp"
#include "common/ticket/messages.hpp"

namespace fileserver::access {

// An upload that outlives its ticket by no more than this is still committed: a person who is away
// from the keyboard renews it, or finds his bytes kept.
inline constexpr std::chrono::minutes kUploadGrace{5};

// Expired with EKEYEXPIRED unless the ticket is good now, or was good when the upload began and
// ended less than the grace ago. Both times are of this machine's clock.
[[nodiscard]] common::Status check_ticket_at_commit(
    const common::ticket::Validity& validity, common::ticket::Time now,
    std::optional<common::ticket::Time> upload_began);

}  // namespace fileserver::access
