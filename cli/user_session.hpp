#pragma once

// What commands that act for a person share: the cell, its KDC, and the person's credentials.

#include <memory>
#include <string>

#include "common/auth/credential_source.hpp"
#include "common/cell/description.hpp"
#include "common/clock.hpp"
#include "common/result.hpp"

namespace cli {

// How long a command waits for the KDC in all.
inline constexpr std::chrono::seconds kKdcPatience{20};
// From here on whoever uses a login is told that it cannot be renewed for much longer.
inline constexpr std::chrono::hours kRenewalWarning{48};

struct UserSession {
  std::string directory;
  common::cell::Description description;
  common::auth::KdcClient kdc;
  std::shared_ptr<common::auth::CredentialCache> cache;

  [[nodiscard]] common::Instant deadline() const;
};

// `cell` as --cell gave it. Asks nobody.
common::Result<UserSession> open_user_session(const std::string& cell);

// The KDC did not take the password or keytab that was proven; why, it does not say.
bool is_wrong_key(const common::Error& error);

// An error of the KDC or on the way to it, as the one line that a person sees. `who` logs in.
common::Error explain(const common::Error& error);

// "2026-11-21 08:00:00 UTC"
std::string time_text(common::ticket::Time time);

// What a person should know about a login that is still good; one line each, for standard error.
// `boot_now` is the boot clock's.
std::vector<std::string> warnings_about(const common::ticket::Credential& tgt,
                                        common::Instant boot_now);
void print_warnings(const common::ticket::Credential& tgt);

}  // namespace cli
