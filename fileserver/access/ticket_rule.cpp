#include "fileserver/access/ticket_rule.hpp"

#include <cerrno>

namespace fileserver::access {

common::Status check_ticket_at_commit(const common::ticket::Validity& validity,
                                      common::ticket::Time now,
                                      std::optional<common::ticket::Time> upload_began) {
  if (now < validity.end)
    return {};
  if (upload_began && *upload_began < validity.end && now - validity.end < kUploadGrace)
    return {};
  return common::fail_posix(EKEYEXPIRED,
                            "your ticket has expired; what was uploaded is kept: log in again");
}

}  // namespace fileserver::access
