#pragma once

// Networks of tests: one network namespace per node, all on one switch, any direction between two
// nodes can be cut. Needs root (available() says why not).

#include <cstddef>
#include <string>
#include <vector>

#include "common/result.hpp"

namespace test_support {

// One named network namespace, deleted by the destructor. Its name holds the test's id, so that the
// runner finds what a crashed test leaves.
class NetworkNamespace {
 public:
  [[nodiscard]] static common::Result<NetworkNamespace> create();
  NetworkNamespace(NetworkNamespace&& other) noexcept : name_(std::exchange(other.name_, {})) {}
  NetworkNamespace& operator=(NetworkNamespace&&) = delete;
  ~NetworkNamespace();

  [[nodiscard]] const std::string& name() const { return name_; }
  // Runs `ip <words>` inside.
  common::Status ip(const std::vector<std::string>& words) const;

 private:
  explicit NetworkNamespace(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// Nodes 0..n-1 with addresses 10.118.0.1, .2, …; reachable from one another and from nowhere else.
class TestNetwork {
 public:
  // Empty when namespaces can be made here, else the reason for SKIP_TEST.
  [[nodiscard]] static std::string unavailable();

  [[nodiscard]] static common::Result<TestNetwork> create(std::size_t nodes);

  // For ProcessOptions::network_namespace.
  [[nodiscard]] const std::string& name_of(std::size_t node) const { return nodes_[node].name(); }
  [[nodiscard]] static std::string address_of(std::size_t node);

  // Packets from one node to the other vanish at the sender; the other direction still arrives.
  [[nodiscard]] common::Status block(std::size_t from, std::size_t to);
  [[nodiscard]] common::Status heal(std::size_t from, std::size_t to);

 private:
  TestNetwork(NetworkNamespace hub, std::vector<NetworkNamespace> nodes)
      : hub_(std::move(hub)), nodes_(std::move(nodes)) {}

  NetworkNamespace hub_;  // holds the switch
  std::vector<NetworkNamespace> nodes_;
};

}  // namespace test_support
