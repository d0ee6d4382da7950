#pragma once

// Networks of a soak: as TestNetwork, but without names. The namespaces are open files of this
// process; they end with it and with what runs in them, however that ends.

#include <string>
#include <vector>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace promises_real {

class HeldNetwork {
 public:
  // Nodes 0..n-1 on one switch; this process is on it, too. It must be in a network namespace of
  // its own already, and have one thread only.
  [[nodiscard]] static common::Result<HeldNetwork> create(std::size_t nodes);

  // For ProcessOptions::network_namespace.
  [[nodiscard]] std::string path_of(std::size_t node) const;
  [[nodiscard]] static std::string address_of(std::size_t node);

  // Packets from one node to the other vanish at the sender; the other direction still arrives.
  [[nodiscard]] common::Status block(std::size_t from, std::size_t to) const;
  [[nodiscard]] common::Status heal(std::size_t from, std::size_t to) const;
  // So many bytes per second to and from a node, and no more; 0: no limit.
  [[nodiscard]] common::Status limit(std::size_t node, std::size_t bytes_per_second) const;

 private:
  [[nodiscard]] common::Status inside(std::size_t node, std::vector<std::string> command) const;

  std::vector<common::UniqueFd> nodes_;
};

}  // namespace promises_real
