#pragma once

#include <functional>
#include <string_view>

#include "common/clock.hpp"
#include "common/crypto/certificates.hpp"
#include "tests/support/live_cell.hpp"

namespace scenario {

// Gives a server of the cell another certificate and key: what it had, altered by `change`, signed
// by the cell's authority at the time `made`. Fails the test case that calls it if that cannot be
// done.
void replace_certificate(const test_support::LiveCell& cell, std::string_view role,
                         common::WallTime made,
                         const std::function<void(common::crypto::CertificateRequest&)>& change);

}  // namespace scenario
