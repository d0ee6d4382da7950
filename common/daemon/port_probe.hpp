#pragma once

#include <string>

#include "common/config/values.hpp"
#include "common/result.hpp"

namespace common::daemon {

// Whether one could listen there now, without listening: so that a port in use is found before
// anything is made. Busy says what to do; `origin` is where the address was set.
Status check_can_listen(const config::Endpoint& endpoint, const std::string& origin);

}  // namespace common::daemon
