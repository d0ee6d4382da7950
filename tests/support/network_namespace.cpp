#include "tests/support/network_namespace.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <utility>

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace test_support {
namespace {

using common::Result;
using common::Status;

Status ip_command(const std::vector<std::string>& words) {
  TROTH_TRY(const std::string ignored, run_checked("ip", words));
  static_cast<void>(ignored);
  return {};
}

}  // namespace

Result<NetworkNamespace> NetworkNamespace::create() {
  static std::atomic<unsigned> number{0};
  std::string name = fmt::format("tt{}-{}", test_id(), number++);
  TROTH_TRY_VOID(ip_command({"netns", "add", name}));
  NetworkNamespace made(std::move(name));
  TROTH_TRY_VOID(made.ip({"link", "set", "lo", "up"}));
  return made;
}

NetworkNamespace::~NetworkNamespace() {
  if (!name_.empty())
    if (const auto status = ip_command({"netns", "del", name_}); !status)
      fmt::print(stderr, "{}\n", status.error().message);
}

Status NetworkNamespace::ip(const std::vector<std::string>& words) const {
  std::vector<std::string> all{"-n", name_};
  all.insert(all.end(), words.begin(), words.end());
  return ip_command(all);
}

std::string TestNetwork::unavailable() {
  if (::geteuid() != 0)
    return "network namespaces need root";
  const auto probe = NetworkNamespace::create();
  return probe ? "" : probe.error().message;
}

Result<TestNetwork> TestNetwork::create(std::size_t nodes) {
  TROTH_TRY(NetworkNamespace hub, NetworkNamespace::create());
  TROTH_TRY_VOID(hub.ip({"link", "add", "switch", "type", "bridge"}));
  TROTH_TRY_VOID(hub.ip({"link", "set", "switch", "up"}));
  std::vector<NetworkNamespace> made;
  for (std::size_t i = 0; i < nodes; ++i) {
    TROTH_TRY(NetworkNamespace node, NetworkNamespace::create());
    const std::string port = fmt::format("port{}", i);
    TROTH_TRY_VOID(node.ip(
        {"link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", hub.name()}));
    TROTH_TRY_VOID(hub.ip({"link", "set", port, "master", "switch", "up"}));
    TROTH_TRY_VOID(node.ip({"addr", "add", address_of(i) + "/24", "dev", "eth0"}));
    TROTH_TRY_VOID(node.ip({"link", "set", "eth0", "up"}));
    made.push_back(std::move(node));
  }
  return TestNetwork(std::move(hub), std::move(made));
}

std::string TestNetwork::address_of(std::size_t node) {
  return fmt::format("10.118.0.{}", node + 1);
}

Status TestNetwork::block(std::size_t from, std::size_t to) {
  return nodes_[from].ip({"route", "add", "blackhole", address_of(to)});
}

Status TestNetwork::heal(std::size_t from, std::size_t to) {
  return nodes_[from].ip({"route", "del", "blackhole", address_of(to)});
}

}  // namespace test_support
