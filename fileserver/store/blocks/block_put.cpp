#include <numeric>

#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/block_store_state.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// Small blocks are written together up to this, so that writes stay parallel.
constexpr std::size_t kGroupBytes = 128 * 1024;
// What is hashed before it is written, so that it is still in the CPU's cache by then.
constexpr std::size_t kWaveBytes = 4 << 20;

}  // namespace

void BlockStore::State::keep_list(const BlockName& name, ByteView bytes) {
  auto names = std::make_shared<std::vector<BlockName>>(bytes.size() / sizeof(BlockName));
  std::memcpy(names->data(), bytes.data(), names->size() * sizeof(BlockName));
  lists.insert(name, std::move(names));
}

// Pins each name that the upload does not have yet, and returns those that no living upload has
// written. `unsettled` are the new pins that nothing stands behind yet.
Result<std::vector<BlockStore::State::Item>> BlockStore::State::pin_absent(
    Upload& upload, std::vector<Item> items, std::unordered_set<BlockName>& unsettled) {
  std::vector<Item> absent;
  for (Item& item : items) {
    if (!upload.names_.insert(item.name).second)
      continue;  // settled by this upload, or the same bytes twice in one call
    const BlockPins::Pinned pinned = pins->pin(item.name);
    if (pinned.record) {
      // Whichever upload is committed first enters the row.
      upload.written_.push_back(*pinned.record);
      continue;
    }
    item.condemned = pinned.condemned;
    unsettled.insert(item.name);
    absent.push_back(item);
  }
  return absent;
}

Status BlockStore::State::drop_indexed(Upload& upload, std::vector<Item>& items,
                                       std::unordered_set<BlockName>& unsettled) {
  std::vector<BlockName> names;
  names.reserve(items.size());
  for (const Item& item : items)
    names.push_back(item.name);
  TROTH_TRY(const auto found, index.find(names));
  std::vector<Item> absent;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (found[i] && !items[i].condemned && !is_known_bad(names[i], *found[i])) {
      upload.reused_.push_back(names[i]);
      unsettled.erase(names[i]);
    } else {
      absent.push_back(items[i]);
    }
  }
  items = std::move(absent);
  return {};
}

Result<std::vector<NewBlock>> BlockStore::State::write_group(BlockKind kind,
                                                             std::span<const Item> items) {
  std::vector<PreparedBlock> prepared;
  prepared.reserve(items.size());
  for (const Item& item : items)
    prepared.push_back(prepare_named_block(item.name, kind, item.bytes, options.compress));
  // Until the records are known to the pins, nobody else knows which segment they are in.
  const std::uint32_t from = segments.newest();
  pins->begin_append(from);
  const auto placements = segments.append(prepared);
  std::vector<NewBlock> blocks;
  if (placements) {
    blocks.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      blocks.push_back(
          pins->set_record({items[i].name, kind, prepared[i].raw_length, (*placements)[i]}));
    }
  }
  pins->end_append(from);
  if (!placements)
    return tl::unexpected(placements.error());
  return blocks;
}

Status BlockStore::State::write(Upload& upload, BlockKind kind, std::span<const Item> items,
                                std::unordered_set<BlockName>& unsettled) {
  std::vector<std::span<const Item>> groups;
  std::size_t bytes = 0;
  for (std::size_t begin = 0; begin < items.size();) {
    std::size_t end = begin;
    std::size_t length = 0;
    while (end < items.size() && (end == begin || length + items[end].bytes.size() <= kGroupBytes))
      length += items[end++].bytes.size();
    groups.push_back(items.subspan(begin, end - begin));
    begin = end;
    bytes += length;
  }
  std::vector<std::vector<NewBlock>> written(groups.size());
  const Status status = for_each(groups.size(), bytes, [&](std::size_t i) -> Status {
    TROTH_TRY(written[i], write_group(kind, groups[i]));
    return {};
  });
  // Also after a failure: what was written is there, and pinned.
  for (const auto& group : written) {
    for (const NewBlock& block : group) {
      upload.written_.push_back(block);
      unsettled.erase(block.name);
    }
  }
  return status;
}

Status BlockStore::State::put_named(Upload& upload, BlockKind kind, std::vector<Item> items) {
  std::unordered_set<BlockName> unsettled;
  const auto settle = [&]() -> Status {
    TROTH_TRY(auto absent, pin_absent(upload, std::move(items), unsettled));
    if (absent.empty())
      return {};
    TROTH_TRY_VOID(drop_indexed(upload, absent, unsettled));
    return write(upload, kind, absent, unsettled);
  };
  Status status = settle();
  for (const BlockName& name : unsettled) {
    upload.names_.erase(name);
    pins->unpin(name);
  }
  return status;
}

Status BlockStore::State::put_wave(Upload& upload, BlockKind kind, std::span<const ByteView> blocks,
                                   std::span<BlockName> names) {
  const std::size_t bytes =
      std::transform_reduce(blocks.begin(), blocks.end(), std::size_t{0}, std::plus<>(),
                            [](ByteView block) { return block.size(); });
  const auto name_one = [&](std::size_t i) -> Status {
    TROTH_TRY_VOID(check_canonical(kind, blocks[i]));
    TROTH_TRY(names[i], name_block(kind, blocks[i]));
    return {};
  };
  TROTH_TRY_VOID(for_each(blocks.size(), bytes, name_one));
  std::vector<Item> items;
  items.reserve(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i)
    items.push_back({names[i], blocks[i]});
  TROTH_TRY_VOID(put_named(upload, kind, std::move(items)));
  if (kind == BlockKind::List) {
    for (std::size_t i = 0; i < blocks.size(); ++i)
      keep_list(names[i], blocks[i]);
  }
  return {};
}

Result<BlockName> BlockStore::put(Upload& upload, BlockKind kind, ByteView bytes) {
  BlockName name;
  TROTH_TRY_VOID(state_->put_wave(upload, kind, std::span(&bytes, 1), std::span(&name, 1)));
  return name;
}

Result<std::vector<BlockName>> BlockStore::put_many(Upload& upload, BlockKind kind,
                                                    std::span<const ByteView> blocks) {
  std::vector<BlockName> names(blocks.size());
  for (std::size_t begin = 0; begin < blocks.size();) {
    std::size_t end = begin;
    for (std::size_t bytes = 0; end < blocks.size() && bytes < kWaveBytes; ++end)
      bytes += blocks[end].size();
    TROTH_TRY_VOID(state_->put_wave(upload, kind, blocks.subspan(begin, end - begin),
                                    std::span(names).subspan(begin, end - begin)));
    begin = end;
  }
  return names;
}

Status BlockStore::put_named(Upload& upload, const BlockName& name, BlockKind kind,
                             ByteView bytes) {
  TROTH_TRY_VOID(check_canonical(kind, bytes));
  TROTH_TRY(const BlockName its_name, name_block(kind, bytes));
  if (its_name != name)
    return fail(ErrorCode::InvalidArgument, "these {} bytes have another name", bytes.size());
  return state_->put_named(upload, kind, {{name, bytes}});
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
