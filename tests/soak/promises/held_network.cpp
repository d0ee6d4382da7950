#include "tests/soak/promises/held_network.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "tests/support/process.hpp"

namespace promises_real {

using common::fail_errno;
using common::Result;
using common::Status;
using common::UniqueFd;
using test_support::run_checked;

namespace {

// The switch's own address, for this process.
constexpr const char* kOwnAddress = "10.118.0.200/24";

Status run(const std::string& program, const std::vector<std::string>& words) {
  TROTH_TRY([[maybe_unused]] const std::string said, run_checked(program, words));
  return {};
}

Result<UniqueFd> present_namespace() {
  UniqueFd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "open the network namespace");
  return fd;
}

Result<UniqueFd> new_namespace(const UniqueFd& back) {
  if (::unshare(CLONE_NEWNET) != 0)
    return fail_errno(errno, "make a network namespace");
  auto made = present_namespace();
  if (::setns(back.get(), CLONE_NEWNET) != 0)
    return fail_errno(errno, "return to a network namespace");
  return made;
}

}  // namespace

Result<HeldNetwork> HeldNetwork::create(std::size_t nodes) {
  HeldNetwork network;
  TROTH_TRY(const UniqueFd ours, present_namespace());
  TROTH_TRY_VOID(run("ip", {"link", "set", "lo", "up"}));
  TROTH_TRY_VOID(run("ip", {"link", "add", "switch", "type", "bridge"}));
  TROTH_TRY_VOID(run("ip", {"link", "set", "switch", "up"}));
  TROTH_TRY_VOID(run("ip", {"addr", "add", kOwnAddress, "dev", "switch"}));
  for (std::size_t i = 0; i < nodes; ++i) {
    TROTH_TRY(UniqueFd node, new_namespace(ours));
    network.nodes_.push_back(std::move(node));
    const std::string port = fmt::format("port{}", i);
    TROTH_TRY_VOID(run("ip", {"link", "add", port, "type", "veth", "peer", "name", "eth0", "netns",
                              network.path_of(i)}));
    TROTH_TRY_VOID(run("ip", {"link", "set", port, "master", "switch", "up"}));
    TROTH_TRY_VOID(network.inside(i, {"ip", "link", "set", "lo", "up"}));
    TROTH_TRY_VOID(network.inside(i, {"ip", "addr", "add", address_of(i) + "/24", "dev", "eth0"}));
    TROTH_TRY_VOID(network.inside(i, {"ip", "link", "set", "eth0", "up"}));
  }
  return network;
}

std::string HeldNetwork::path_of(std::size_t node) const {
  return fmt::format("/proc/{}/fd/{}", ::getpid(), nodes_[node].get());
}

std::string HeldNetwork::address_of(std::size_t node) {
  return fmt::format("10.118.0.{}", node + 1);
}

Status HeldNetwork::inside(std::size_t node, std::vector<std::string> command) const {
  command.insert(command.begin(), {fmt::format("--net={}", path_of(node)), "--"});
  return run("nsenter", command);
}

Status HeldNetwork::block(std::size_t from, std::size_t to) const {
  return inside(from, {"ip", "route", "add", "blackhole", address_of(to)});
}

Status HeldNetwork::heal(std::size_t from, std::size_t to) const {
  return inside(from, {"ip", "route", "del", "blackhole", address_of(to)});
}

Status HeldNetwork::limit(std::size_t node, std::size_t bytes_per_second) const {
  const std::string port = fmt::format("port{}", node);
  if (bytes_per_second == 0) {
    TROTH_TRY_VOID(run("tc", {"qdisc", "del", "dev", port, "root"}));
    return inside(node, {"tc", "qdisc", "del", "dev", "eth0", "root"});
  }
  const std::string rate = fmt::format("{}bps", bytes_per_second);
  const std::vector<std::string> how{"root",  "tbf", "rate",    rate,
                                     "burst", "8kb", "latency", "400ms"};
  std::vector<std::string> words{"qdisc", "add", "dev", port};
  words.insert(words.end(), how.begin(), how.end());
  TROTH_TRY_VOID(run("tc", words));
  words = {"tc", "qdisc", "add", "dev", "eth0"};
  words.insert(words.end(), how.begin(), how.end());
  return inside(node, words);
}

}  // namespace promises_real
