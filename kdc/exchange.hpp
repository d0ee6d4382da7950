#pragma once

// The AS and TGS exchanges (PROTOCOL.md, "Exchanges"): bytes of a request in, bytes of a reply out.

#include <string>

#include "common/ticket/exchange.hpp"
#include "kdc/client_limit.hpp"
#include "kdc/database.hpp"
#include "kdc/own_keys.hpp"

namespace kdc {

// What is answered to an unknown name, a wrong password and a wrong keytab alike, after the same
// work.
[[nodiscard]] tl::unexpected<common::Error> wrong_name_or_key();

// Safe from any thread; each call reads the database and returns once its record in the audit log
// is committed. It takes no lock of its own and never runs scrypt.
class Exchanges {
 public:
  // `wanted` is what new passwords are run through: a client whose key is weaker is told so.
  Exchanges(Database& database, OwnKeys& own, const common::Clock& clock,
            common::crypto::ScryptParameters wanted)
      : database_(database), own_(own), clock_(clock), wanted_(wanted) {}

  // Salt and parameters for a name, whoever has it or nobody.
  [[nodiscard]] common::Result<Keys::Preauth> preauth(const std::string& client);

  // `address` is where the request came from. Overloaded with a time to wait when that name, or
  // that source, has been tried too often; wrong_name_or_key(); only after the right key:
  // PermissionDenied (disabled), Expired (the password has ended, and only `kdc/admin` is left).
  [[nodiscard]] common::Result<common::Bytes> as(common::ByteView request,
                                                 const common::ticket::Channel& channel,
                                                 const std::string& address);

  // refused() for whatever is wrong with ticket or proof; then Expired, Overloaded (too many
  // tickets for this client), PermissionDenied (the client was disabled or removed since), NotFound
  // (no such service), InvalidArgument.
  [[nodiscard]] common::Result<common::Bytes> tgs(common::ByteView request,
                                                  const common::ticket::Channel& channel,
                                                  const std::string& address);

 private:
  struct AsAttempt;
  struct TgsAttempt;
  [[nodiscard]] common::Status check_key(AsAttempt& attempt);
  [[nodiscard]] common::Result<common::Bytes> grant_as(AsAttempt& attempt);
  [[nodiscard]] common::Result<common::Bytes> grant_tgs(TgsAttempt& attempt);

  Database& database_;
  OwnKeys& own_;
  const common::Clock& clock_;
  const common::crypto::ScryptParameters wanted_;
  ClientLimit tickets_{kTicketRules};
};

}  // namespace kdc
