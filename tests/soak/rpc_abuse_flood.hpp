#pragma once

// The attacker of soak_rpc_abuse: a process of its own, as idle work, that holds and re-dials
// thousands of connections and tries every row of http_attacks().

#include <cstddef>
#include <cstdint>
#include <string>

namespace rpc_abuse {

constexpr std::size_t kGigabyte = 1'000'000'000;

// Makes this process idle work: it gets the CPU that nobody else wants.
void be_idle();

// Runs until SIGTERM, then prints one line `flood ...` and returns an exit code.
// `addresses` loopback addresses 127.0.10.x are attacked from.
int flood_main(std::uint16_t port, const std::string& ca, int addresses);

// Pushes 1 GB each of a header, a chunked body, a refused body and an accepted body at the server,
// over as many connections as it takes; prints a line `giant <name> <bytes> <cut> <CPU>` for each.
int giant_main(std::uint16_t port, const std::string& ca);

}  // namespace rpc_abuse
