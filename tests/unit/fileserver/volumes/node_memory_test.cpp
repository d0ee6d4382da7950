#include "fileserver/volumes/node_memory.hpp"

#include "tests/support/test.hpp"

using common::Fid;
using common::NodeId;
using common::VolumeId;
using fileserver::NodeMemory;
using fileserver::store::Attributes;

namespace {

Fid fid(std::uint64_t node, std::uint32_t volume = 1) {
  return {VolumeId{volume}, NodeId{node}};
}

Attributes of_size(std::uint64_t size) {
  Attributes node;
  node.size = size;
  return node;
}

}  // namespace

TEST_CASE("a node is remembered for the state that it was read in, and for no other") {
  NodeMemory memory;
  CHECK_FALSE(memory.find(fid(1), 7));
  memory.keep(fid(1), 7, of_size(10));
  memory.keep(fid(1, 2), 8, of_size(20));
  CHECK(memory.find(fid(1), 7).value().size == 10);
  CHECK(memory.find(fid(1, 2), 8).value().size == 20);
  CHECK_FALSE(memory.find(fid(1), 8));
  CHECK_FALSE(memory.find(fid(1, 2), 7));
  CHECK_FALSE(memory.find(fid(2), 7));
  memory.keep(fid(1), 9, of_size(11));
  CHECK_FALSE(memory.find(fid(1), 7));
  CHECK(memory.find(fid(1), 9).value().size == 11);
}

TEST_CASE("what is remembered has a cap, and what is asked for stays longest") {
  constexpr std::size_t kMost = 1'024;
  NodeMemory memory(kMost);
  memory.keep(fid(1), 7, of_size(1));
  for (std::uint64_t node = 2; node < 20'000; ++node) {
    memory.keep(fid(node), 7, of_size(node));
    if (node % 100 == 0)
      CHECK(memory.find(fid(1), 7));
    CHECK(memory.size() <= kMost);
  }
  CHECK_FALSE(memory.find(fid(2), 7));
  CHECK(memory.find(fid(19'999), 7));
}
