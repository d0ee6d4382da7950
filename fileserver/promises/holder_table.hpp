#pragma once

// Who holds a promise on which node: the table that may have millions of entries. For each node the
// sessions that hold it, and for each session its nodes in about the order in which it got them.
//
// Per promise, as allocated: 16 bytes for a node with up to two holders, 1.3 for its place in the
// directory, 4.3 in the session's queue; a node of many holders keeps them in a sorted array of 2
// bytes each. Nothing here ever takes long: the directory grows by one bucket at a time (linear
// hashing), and a queue is emptied by whoever calls pop().
//
// A promise that is withdrawn stays as a holder that is not active, until its turn in the queue
// comes: granted again, it costs nothing, and no queue holds a node twice.
//
// Not thread-safe; no iteration order depends on addresses.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/ids.hpp"
#include "fileserver/promises/segmented.hpp"

namespace fileserver::promises {

using common::Fid;

// A node in one word: 24 bits of volume, 40 of node.
using NodeKey = std::uint64_t;
inline constexpr unsigned kNodeBits = 40;
inline constexpr unsigned kVolumeBits = 24;
std::optional<NodeKey> pack(Fid node);
Fid unpack(NodeKey key);

// Spreads every bit; different for every seed.
std::uint64_t hash_of(NodeKey key, std::uint64_t seed);

// Which row of the table of sessions; 0 is none.
using SessionRow = std::uint16_t;
inline constexpr SessionRow kMaxSessionRow = 0x7FFF;

// The nodes of one session, oldest first. Belongs to the session, is kept by the table.
struct HolderQueue {
  std::uint32_t head = 0;  // chunks
  std::uint32_t tail = 0;
  std::uint8_t head_at = 0;
  std::uint8_t tail_at = 0;
  std::uint32_t size = 0;
};

class HolderTable {
 public:
  explicit HolderTable(std::uint64_t hash_seed);

  enum class Added : std::uint8_t { New, Again, AlreadyActive };
  Added add(NodeKey key, SessionRow session, HolderQueue& queue);
  // Whether it was active.
  bool withdraw(NodeKey key, SessionRow session);
  [[nodiscard]] bool is_active(NodeKey key, SessionRow session) const;

  // visit(session, active) for each holder; must not change the table.
  template <typename Visit>
  void each(NodeKey key, Visit visit) const {
    const std::uint32_t index = find(key);
    if (index == 0)
      return;
    const Node& node = nodes_[index];
    if (!node.is_set()) {
      for (const unsigned shift : {0U, 16U}) {
        const auto holder = static_cast<std::uint16_t>(node.holders >> shift);
        if (holder != 0)
          visit(static_cast<SessionRow>(holder & kMaxSessionRow), (holder & kInactive) == 0);
      }
      return;
    }
    const std::uint16_t* block = block_of(node.holders);
    for (unsigned i = 1; i <= block[0]; ++i)
      visit(static_cast<SessionRow>(block[i] & kMaxSessionRow), (block[i] & kInactive) == 0);
  }

  struct Oldest {
    NodeKey key = 0;
    bool active = false;
  };
  // The queue must not be empty.
  [[nodiscard]] Oldest oldest(SessionRow session, const HolderQueue& queue) const;
  // Forgets the oldest, active or not.
  void pop(SessionRow session, HolderQueue& queue);
  // Makes the oldest the newest.
  void rotate(HolderQueue& queue);

  [[nodiscard]] std::size_t holders() const { return holders_; }  // active or not
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  static constexpr std::uint16_t kInactive = 0x8000;
  static constexpr std::uint32_t kSetFlag = 0x8000'0000;
  // `holders` is two rows (each with its inactive bit; 0: none) or, with the flag in `next`, the
  // handle of a block: its class in the top 4 bits, its number below.
  struct Node {
    NodeKey key = 0;
    std::uint32_t next = 0;
    std::uint32_t holders = 0;
    [[nodiscard]] bool is_set() const { return (next & kSetFlag) != 0; }
    [[nodiscard]] std::uint32_t next_index() const { return next & ~kSetFlag; }
  };
  static_assert(sizeof(Node) == 16);
  // One cache line of a queue.
  struct Chunk {
    static constexpr unsigned kItems = 15;
    std::uint32_t next = 0;
    std::array<std::uint32_t, kItems> nodes{};
  };
  static_assert(sizeof(Chunk) == 64);

  // Blocks of sorted rows: [0] is the count. Class c has room for (4 << c) - 1.
  static constexpr unsigned kClasses = 14;
  static constexpr std::size_t kSlabItems = 8192;  // 16 KiB
  struct BlockClass {
    std::vector<std::unique_ptr<std::uint16_t[]>> slabs;
    std::vector<std::uint32_t> free;
    std::uint32_t made = 0;
  };
  static std::size_t block_items(unsigned block_class) { return std::size_t{4} << block_class; }
  static std::size_t blocks_per_slab(unsigned block_class);
  [[nodiscard]] std::uint16_t* block_of(std::uint32_t handle) const;
  std::uint32_t new_block(unsigned block_class);
  void free_block(std::uint32_t handle);
  void move_block(Node& node, unsigned block_class);

  [[nodiscard]] std::uint32_t find(NodeKey key) const;
  [[nodiscard]] std::size_t bucket_of(std::uint64_t hash) const;
  std::uint32_t find_or_make(NodeKey key);
  void split_bucket();
  void remove_node(std::uint32_t index);
  // The holder's word, or nullptr-like absence, in a set.
  [[nodiscard]] static std::uint16_t* in_block(std::uint16_t* block, SessionRow session);
  Added add_inline(Node& node, SessionRow session);
  Added add_to_block(Node& node, SessionRow session);
  void remove_holder(Node& node, SessionRow session);
  void push(HolderQueue& queue, std::uint32_t node);
  std::uint32_t take_front(HolderQueue& queue);
  std::uint32_t new_chunk();

  std::uint64_t hash_seed_;
  Segmented<Node, 4096> nodes_;
  std::uint32_t free_nodes_ = 0;  // linked by `next`
  std::size_t live_nodes_ = 0;
  Segmented<std::uint32_t, 4096> buckets_;
  std::size_t low_ = 1;  // power of two; buckets_.size() is in [low_, 2 low_)
  std::array<BlockClass, kClasses> classes_;
  Segmented<Chunk, 1024> chunks_;
  std::uint32_t free_chunks_ = 0;  // linked by `next`
  std::size_t holders_ = 0;
};

}  // namespace fileserver::promises
