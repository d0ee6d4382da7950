#pragma once

// The AP exchange as a client of calls makes it: ClientOptions::authenticate.

#include <memory>
#include <string>

#include "common/auth/credential_source.hpp"
#include "common/rpc/client.hpp"

namespace common::auth {

// Proves itself to `service` ("fileserver/fs1") with tickets of `source`, and checks the service's
// own proof before anything else is sent. A ticket that the service does not take is replaced by a
// new one, once.
rpc::Authenticate authenticate_with(std::shared_ptr<CredentialSource> source, std::string service);

// The same with one ticket.
rpc::Authenticate authenticate_with(CredentialPtr credential);

}  // namespace common::auth
