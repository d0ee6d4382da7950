#include <algorithm>

#include "common/crypto/hash_many.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/block_store_state.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::MutexLock;

// What one thread takes at once of many blocks: hashed, looked up together and written by one call
// while it is still in the CPU's own cache. Less than this is done before a helper has woken up.
constexpr std::size_t kLeastShare = 64 * 1024;
constexpr std::size_t kMostShare = 256 * 1024;
// From here on one thread hashes a large share's blocks side by side, if the machine can, with two
// thirds of the work of two at a time.
constexpr std::size_t kWorthLargeShare = 11 * kBlockBytes;
constexpr std::size_t kLargeShare = 16 * kBlockBytes;

std::size_t bytes_of(std::span<const ByteView> blocks) {
  std::size_t bytes = 0;
  for (const ByteView block : blocks)
    bytes += block.size();
  return bytes;
}

}  // namespace

void BlockStore::State::keep_list(const BlockName& name, ByteView bytes) {
  auto names = std::make_shared<std::vector<BlockName>>(bytes.size() / sizeof(BlockName));
  std::memcpy(names->data(), bytes.data(), names->size() * sizeof(BlockName));
  lists.insert(name, std::move(names));
}

// Pins each name that the upload does not have yet, and leaves those that no living upload has
// written: nothing stands behind these pins so far.
void BlockStore::State::pin_absent(Filling& filling, std::vector<Item>& items) {
  MutexLock lock(filling.mutex);
  std::erase_if(items, [&](Item& item) {
    // There already: settled by this upload, or the same bytes twice in one call.
    if (!filling.upload.names_.insert(item.name).second)
      return true;
    const BlockPins::Pinned pinned = pins->pin(item.name);
    item.condemned = pinned.condemned;
    // Whichever upload is committed first enters the row.
    if (pinned.record)
      filling.upload.written_.push_back(*pinned.record);
    return pinned.record.has_value();
  });
}

Status BlockStore::State::drop_indexed(Filling& filling, std::vector<Item>& items) {
  std::vector<BlockName> names;
  names.reserve(items.size());
  for (const Item& item : items)
    names.push_back(item.name);
  TROTH_TRY(const auto found, index.find(names));
  MutexLock lock(filling.mutex);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (found[i] && !items[i].condemned && !is_known_bad(names[i], *found[i]))
      filling.upload.reused_.push_back(names[i]);
    else
      items[kept++] = items[i];
  }
  items.resize(kept);
  return {};
}

Status BlockStore::State::write(Filling& filling, BlockKind kind, std::vector<Item>& items) {
  std::vector<PreparedBlock> prepared(items.size());
  std::size_t to_compress = 0;
  const auto prepare = [&](std::size_t i) -> Status {
    prepared[i] = prepare_named_block(items[i].name, kind, items[i].bytes, options.compress);
    return {};
  };
  // Compressing takes longer than all else. Where the first block does not, the next will not.
  TROTH_TRY_VOID(prepare(0));
  if (!prepared[0].compressed.empty()) {
    for (const Item& item : items)
      to_compress += item.bytes.size();
  }
  TROTH_TRY_VOID(
      for_each(items.size() - 1, to_compress, [&](std::size_t i) { return prepare(i + 1); }));
  // Until the records are known to the pins, nobody else knows which segment they are in.
  const std::uint32_t from = segments.newest();
  pins->begin_append(from);
  const auto placements = segments.append(prepared);
  if (placements) {
    MutexLock lock(filling.mutex);
    for (std::size_t i = 0; i < items.size(); ++i) {
      filling.upload.written_.push_back(
          pins->set_record({items[i].name, kind, prepared[i].raw_length, (*placements)[i]}));
    }
    items.clear();
  }
  pins->end_append(from);
  return placements ? Status() : tl::unexpected(placements.error());
}

// Brings the blocks into the upload, and what is not there into a segment.
Status BlockStore::State::settle(Filling& filling, BlockKind kind, std::vector<Item> items) {
  pin_absent(filling, items);
  if (items.empty())
    return {};
  Status status = drop_indexed(filling, items);
  if (status && !items.empty())
    status = write(filling, kind, items);
  if (!status) {
    MutexLock lock(filling.mutex);
    for (const Item& item : items) {
      filling.upload.names_.erase(item.name);
      pins->unpin(item.name);
    }
  }
  return status;
}

Status BlockStore::State::put_share(Filling& filling, BlockKind kind,
                                    std::span<const ByteView> blocks, std::span<BlockName> names) {
  for (const ByteView block : blocks)
    TROTH_TRY_VOID(check_canonical(kind, block));
  TROTH_TRY_VOID(name_blocks(kind, blocks, names));
  std::vector<Item> items;
  items.reserve(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i)
    items.push_back({names[i], blocks[i]});
  TROTH_TRY_VOID(settle(filling, kind, std::move(items)));
  if (kind == BlockKind::List) {
    for (std::size_t i = 0; i < blocks.size(); ++i)
      keep_list(names[i], blocks[i]);
  }
  return {};
}

Result<BlockName> BlockStore::put(Upload& upload, BlockKind kind, ByteView bytes) {
  State::Filling filling{upload};
  BlockName name;
  TROTH_TRY_VOID(state_->put_share(filling, kind, std::span(&bytes, 1), std::span(&name, 1)));
  return name;
}

Result<std::vector<BlockName>> BlockStore::put_many(Upload& upload, BlockKind kind,
                                                    std::span<const ByteView> blocks) {
  const std::size_t bytes = bytes_of(blocks);
  // Of small shares twice as many as threads, so that one that is held up does not hold up all.
  const std::size_t share =
      bytes >= kWorthLargeShare && common::crypto::sha256_at_once() * kBlockBytes >= kLargeShare
          ? kLargeShare
          : std::clamp(bytes / (2 * state_->pool.threads()), kLeastShare, kMostShare);
  std::vector<std::pair<std::size_t, std::size_t>> shares;  // first, count
  std::size_t filled = share;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (filled + blocks[i].size() > share) {
      shares.emplace_back(i, 0);
      filled = 0;
    }
    filled += blocks[i].size();
    ++shares.back().second;
  }
  State::Filling filling{upload};
  std::vector<BlockName> names(blocks.size());
  TROTH_TRY_VOID(state_->for_each(shares.size(), bytes, [&](std::size_t i) {
    const auto [first, count] = shares[i];
    return state_->put_share(filling, kind, blocks.subspan(first, count),
                             std::span(names).subspan(first, count));
  }));
  return names;
}

Status BlockStore::put_named(Upload& upload, const BlockName& name, BlockKind kind,
                             ByteView bytes) {
  TROTH_TRY_VOID(check_canonical(kind, bytes));
  TROTH_TRY(const BlockName its_name, name_block(kind, bytes));
  if (its_name != name)
    return fail(ErrorCode::InvalidArgument, "these {} bytes have another name", bytes.size());
  State::Filling filling{upload};
  return state_->settle(filling, kind, {{name, bytes}});
}

Status BlockStore::reuse(Upload& upload, const BlockName& name) {
  if (!upload.names_.insert(name).second)
    return {};
  const auto look = [&]() -> Status {
    const BlockPins::Pinned pinned = state_->pins->pin(name);
    if (pinned.record) {
      upload.written_.push_back(*pinned.record);
      return {};
    }
    TROTH_TRY(const auto found, state_->index.find(std::span(&name, 1)));
    if (!found.front() || pinned.condemned || state_->is_known_bad(name, *found.front()))
      return fail(ErrorCode::NotFound, "the block is not here");
    upload.reused_.push_back(name);
    return {};
  };
  Status status = look();
  if (!status) {
    upload.names_.erase(name);
    state_->pins->unpin(name);
  }
  return status;
}

void BlockStore::forget_reused(Upload& upload) {
  for (const BlockName& name : upload.reused_) {
    upload.names_.erase(name);
    state_->pins->unpin(name);
  }
  upload.reused_.clear();
}

}  // namespace fileserver::store
