#pragma once

// The attacker of soak_rpc_abuse: a process of its own, at the lowest priority, that holds and
// re-dials thousands of connections and tries every row of http_attacks().

#include <cstdint>
#include <string>

namespace rpc_abuse {

// Runs until SIGTERM, then prints one line `flood ...` and returns an exit code.
// `addresses` loopback addresses 127.0.10.x are attacked from.
int flood_main(std::uint16_t port, const std::string& ca, int addresses);

// Pushes 1 GB each of a header, a chunked body, a refused body and an accepted body at the server;
// prints one line `giant ...`.
int giant_main(std::uint16_t port, const std::string& ca);

}  // namespace rpc_abuse
