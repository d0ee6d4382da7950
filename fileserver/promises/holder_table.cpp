#include "fileserver/promises/holder_table.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace fileserver::promises {
namespace {

// A bucket's mean length, at most.
constexpr std::size_t kFill = 3;

constexpr std::uint32_t kBlockNumber = 0x0FFF'FFFF;
constexpr unsigned kClassShift = 28;

bool row_before(std::uint16_t holder, SessionRow session) {
  return (holder & kMaxSessionRow) < session;
}

}  // namespace

std::optional<NodeKey> pack(Fid node) {
  if (node.volume.value >> kVolumeBits != 0 || node.node.value >> kNodeBits != 0)
    return std::nullopt;
  return NodeKey{node.volume.value} << kNodeBits | node.node.value;
}

Fid unpack(NodeKey key) {
  return Fid{common::VolumeId{static_cast<std::uint32_t>(key >> kNodeBits)},
             common::NodeId{key & ((NodeKey{1} << kNodeBits) - 1)}};
}

std::uint64_t hash_of(NodeKey key, std::uint64_t seed) {
  std::uint64_t x = (key ^ seed) + 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

HolderTable::HolderTable(std::uint64_t hash_seed) : hash_seed_(hash_seed) {
  nodes_.add();   // index 0 means none
  chunks_.add();  // here, too
  buckets_.add();
}

// --- the directory ---

std::size_t HolderTable::bucket_of(std::uint64_t hash) const {
  const std::size_t bucket = hash & (2 * low_ - 1);
  return bucket < buckets_.size() ? bucket : hash & (low_ - 1);
}

std::uint32_t HolderTable::find(NodeKey key) const {
  std::uint32_t index = buckets_[bucket_of(hash_of(key, hash_seed_))];
  while (index != 0 && nodes_[index].key != key)
    index = nodes_[index].next_index();
  return index;
}

std::uint32_t HolderTable::find_or_make(NodeKey key) {
  if (const std::uint32_t index = find(key); index != 0)
    return index;
  std::uint32_t index = free_nodes_;
  if (index != 0) {
    free_nodes_ = nodes_[index].next;
  } else {
    index = static_cast<std::uint32_t>(nodes_.add());
  }
  if (++live_nodes_ > buckets_.size() * kFill)
    split_bucket();
  std::uint32_t& head = buckets_[bucket_of(hash_of(key, hash_seed_))];
  nodes_[index] = Node{.key = key, .next = head};
  head = index;
  return index;
}

void HolderTable::split_bucket() {
  const std::size_t fresh = buckets_.add();
  std::uint32_t index = std::exchange(buckets_[fresh - low_], 0);
  const std::size_t mask = 2 * low_ - 1;
  while (index != 0) {
    Node& node = nodes_[index];
    const std::uint32_t next = node.next_index();
    std::uint32_t& head = buckets_[hash_of(node.key, hash_seed_) & mask];
    node.next = head | (node.next & kSetFlag);
    head = index;
    index = next;
  }
  if (buckets_.size() == 2 * low_)
    low_ *= 2;
}

void HolderTable::remove_node(std::uint32_t index) {
  Node& node = nodes_[index];
  std::uint32_t* link = &buckets_[bucket_of(hash_of(node.key, hash_seed_))];
  while ((*link & ~kSetFlag) != index)
    link = &nodes_[*link & ~kSetFlag].next;
  *link = (*link & kSetFlag) | node.next_index();
  node = Node{.next = free_nodes_};
  free_nodes_ = index;
  --live_nodes_;
}

// --- blocks of rows ---

std::size_t HolderTable::blocks_per_slab(unsigned block_class) {
  return std::max<std::size_t>(1, kSlabItems / block_items(block_class));
}

std::uint16_t* HolderTable::block_of(std::uint32_t handle) const {
  const unsigned block_class = handle >> kClassShift;
  const std::size_t number = handle & kBlockNumber;
  const std::size_t per_slab = blocks_per_slab(block_class);
  return classes_[block_class].slabs[number / per_slab].get() +
         number % per_slab * block_items(block_class);
}

std::uint32_t HolderTable::new_block(unsigned block_class) {
  BlockClass& blocks = classes_[block_class];
  std::uint32_t number = blocks.made;
  if (!blocks.free.empty()) {
    number = blocks.free.back();
    blocks.free.pop_back();
  } else {
    const std::size_t per_slab = blocks_per_slab(block_class);
    if (number == blocks.slabs.size() * per_slab) {
      blocks.slabs.push_back(
          std::make_unique<std::uint16_t[]>(per_slab * block_items(block_class)));
    }
    ++blocks.made;
  }
  const std::uint32_t handle = block_class << kClassShift | number;
  block_of(handle)[0] = 0;
  return handle;
}

void HolderTable::free_block(std::uint32_t handle) {
  classes_[handle >> kClassShift].free.push_back(handle & kBlockNumber);
}

void HolderTable::move_block(Node& node, unsigned block_class) {
  const std::uint32_t handle = new_block(block_class);
  const std::uint16_t* from = block_of(node.holders);
  std::copy(from, from + from[0] + 1, block_of(handle));
  free_block(node.holders);
  node.holders = handle;
}

std::uint16_t* HolderTable::in_block(std::uint16_t* block, SessionRow session) {
  return std::lower_bound(block + 1, block + 1 + block[0], session, row_before);
}

// --- holders ---

HolderTable::Added HolderTable::add_inline(Node& node, SessionRow session) {
  unsigned free_shift = 32;
  for (const unsigned shift : {16U, 0U}) {
    const auto holder = static_cast<std::uint16_t>(node.holders >> shift);
    if ((holder & kMaxSessionRow) == session) {
      node.holders &= ~(std::uint32_t{kInactive} << shift);
      return (holder & kInactive) != 0 ? Added::Again : Added::AlreadyActive;
    }
    if (holder == 0)
      free_shift = shift;
  }
  if (free_shift < 32) {
    node.holders |= std::uint32_t{session} << free_shift;
    return Added::New;
  }
  const auto first = static_cast<std::uint16_t>(node.holders);
  const auto second = static_cast<std::uint16_t>(node.holders >> 16);
  node.holders = new_block(0);
  node.next |= kSetFlag;
  std::uint16_t* block = block_of(node.holders);
  const bool ordered = (first & kMaxSessionRow) < (second & kMaxSessionRow);
  block[0] = 2;
  block[1] = ordered ? first : second;
  block[2] = ordered ? second : first;
  return add_to_block(node, session);
}

HolderTable::Added HolderTable::add_to_block(Node& node, SessionRow session) {
  std::uint16_t* block = block_of(node.holders);
  std::uint16_t* place = in_block(block, session);
  if (place != block + 1 + block[0] && (*place & kMaxSessionRow) == session) {
    const bool active = (*place & kInactive) == 0;
    *place = session;
    return active ? Added::AlreadyActive : Added::Again;
  }
  const unsigned block_class = node.holders >> kClassShift;
  if (block[0] + std::size_t{1} == block_items(block_class)) {
    move_block(node, block_class + 1);
    block = block_of(node.holders);
    place = in_block(block, session);
  }
  std::copy_backward(place, block + 1 + block[0], block + 2 + block[0]);
  *place = session;
  ++block[0];
  return Added::New;
}

HolderTable::Added HolderTable::add(NodeKey key, SessionRow session, HolderQueue& queue) {
  assert(session != 0 && session <= kMaxSessionRow);
  const std::uint32_t index = find_or_make(key);
  Node& node = nodes_[index];
  const Added added = node.is_set() ? add_to_block(node, session) : add_inline(node, session);
  if (added == Added::New) {
    push(queue, index);
    ++holders_;
  }
  return added;
}

bool HolderTable::is_active(NodeKey key, SessionRow session) const {
  const std::uint32_t index = find(key);
  if (index == 0)
    return false;
  const Node& node = nodes_[index];
  if (node.is_set()) {
    std::uint16_t* block = block_of(node.holders);
    const std::uint16_t* place = in_block(block, session);
    return place != block + 1 + block[0] && *place == session;
  }
  return (node.holders & 0xFFFF) == session || node.holders >> 16 == session;
}

bool HolderTable::withdraw(NodeKey key, SessionRow session) {
  const std::uint32_t index = find(key);
  if (index == 0)
    return false;
  Node& node = nodes_[index];
  if (node.is_set()) {
    std::uint16_t* block = block_of(node.holders);
    std::uint16_t* place = in_block(block, session);
    if (place == block + 1 + block[0] || *place != session)
      return false;
    *place |= kInactive;
    return true;
  }
  for (const unsigned shift : {0U, 16U}) {
    if (static_cast<std::uint16_t>(node.holders >> shift) == session) {
      node.holders |= std::uint32_t{kInactive} << shift;
      return true;
    }
  }
  return false;
}

void HolderTable::remove_holder(Node& node, SessionRow session) {
  --holders_;
  if (!node.is_set()) {
    for (const unsigned shift : {0U, 16U}) {
      if ((node.holders >> shift & kMaxSessionRow) == session)
        node.holders &= ~(std::uint32_t{0xFFFF} << shift);
    }
    return;
  }
  std::uint16_t* block = block_of(node.holders);
  std::uint16_t* place = in_block(block, session);
  assert(place != block + 1 + block[0] && (*place & kMaxSessionRow) == session);
  std::copy(place + 1, block + 1 + block[0], place);
  --block[0];
  const unsigned block_class = node.holders >> kClassShift;
  if (block[0] <= 2) {
    const std::uint32_t handle = node.holders;
    node.holders = block[0] == 2 ? block[1] | std::uint32_t{block[2]} << 16 : block[1];
    node.next &= ~kSetFlag;
    free_block(handle);
  } else if (block_class > 0 && block[0] < block_items(block_class) / 4) {
    move_block(node, block_class - 1);
  }
}

// --- queues ---

std::uint32_t HolderTable::new_chunk() {
  const std::uint32_t chunk = free_chunks_;
  if (chunk == 0)
    return static_cast<std::uint32_t>(chunks_.add());
  free_chunks_ = chunks_[chunk].next;
  chunks_[chunk].next = 0;
  return chunk;
}

void HolderTable::push(HolderQueue& queue, std::uint32_t node) {
  if (queue.tail == 0) {
    queue.head = queue.tail = new_chunk();
    queue.head_at = queue.tail_at = 0;
  } else if (queue.tail_at == Chunk::kItems) {
    const std::uint32_t chunk = new_chunk();
    chunks_[queue.tail].next = chunk;
    queue.tail = chunk;
    queue.tail_at = 0;
  }
  chunks_[queue.tail].nodes[queue.tail_at++] = node;
  ++queue.size;
}

std::uint32_t HolderTable::take_front(HolderQueue& queue) {
  assert(queue.size > 0);
  const std::uint32_t node = chunks_[queue.head].nodes[queue.head_at++];
  --queue.size;
  if (queue.head_at == Chunk::kItems || queue.size == 0) {
    const std::uint32_t chunk = queue.head;
    queue.head = chunks_[chunk].next;
    queue.head_at = 0;
    if (queue.head == 0)
      queue.tail = 0;
    chunks_[chunk].next = free_chunks_;
    free_chunks_ = chunk;
  }
  return node;
}

HolderTable::Oldest HolderTable::oldest(SessionRow session, const HolderQueue& queue) const {
  assert(queue.size > 0);
  const NodeKey key = nodes_[chunks_[queue.head].nodes[queue.head_at]].key;
  return {key, is_active(key, session)};
}

void HolderTable::pop(SessionRow session, HolderQueue& queue) {
  const std::uint32_t index = take_front(queue);
  Node& node = nodes_[index];
  remove_holder(node, session);
  if (!node.is_set() && node.holders == 0)
    remove_node(index);
}

void HolderTable::rotate(HolderQueue& queue) {
  push(queue, take_front(queue));
}

std::size_t HolderTable::memory_bytes() const {
  std::size_t bytes = nodes_.memory_bytes() + buckets_.memory_bytes() + chunks_.memory_bytes();
  for (unsigned i = 0; i < kClasses; ++i) {
    const std::size_t slab = blocks_per_slab(i) * block_items(i) * sizeof(std::uint16_t);
    bytes += classes_[i].slabs.size() * slab + classes_[i].slabs.capacity() * sizeof(void*) +
             classes_[i].free.capacity() * sizeof(std::uint32_t);
  }
  return bytes;
}

}  // namespace fileserver::promises
