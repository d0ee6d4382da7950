#include "fileserver/store/blocks/block_store.hpp"

#include <algorithm>
#include <numeric>

#include "common/sync/locked.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/block_pins.hpp"
#include "fileserver/store/blocks/list_cache.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::Locked;

// Less than this is done before a helper has woken up.
constexpr std::size_t kWorthHelpers = 64 * 1024;
// Small blocks are written together up to this, so that writes stay parallel.
constexpr std::size_t kGroupBytes = 128 * 1024;
// What is hashed before it is written, so that it is still in the CPU's cache by then.
constexpr std::size_t kWaveBytes = 4 << 20;
// How often a read looks again for a block that was moved under it: each time the collector has
// compacted a segment in between, so more is no longer bad luck.
constexpr int kMaxLooks = 8;
// Bad blocks remembered so as to be reported once. A disk with more is lost.
constexpr std::size_t kMaxBad = 100'000;

}  // namespace

// --- Upload ---

Upload::Upload(std::shared_ptr<BlockPins> pins) : pins_(std::move(pins)) {}
Upload::Upload(Upload&& other) noexcept
    : pins_(std::move(other.pins_)),
      written_(std::exchange(other.written_, {})),
      reused_(std::exchange(other.reused_, {})),
      names_(std::exchange(other.names_, {})) {}

Upload& Upload::operator=(Upload&& other) noexcept {
  Upload taken(std::move(other));
  std::swap(pins_, taken.pins_);
  std::swap(written_, taken.written_);
  std::swap(reused_, taken.reused_);
  std::swap(names_, taken.names_);
  return *this;
}

Upload::~Upload() {
  for (const BlockName& name : names_)
    pins_->unpin(name);
}

// --- State ---

struct BlockStore::State {
  State(Segments& segments_, BlockIndex& index_, WorkPool& pool_, BlockStoreOptions options_)
      : segments(segments_),
        index(index_),
        pool(pool_),
        options(std::move(options_)),
        lists(options.list_cache_bytes) {}

  // One block on its way through put_many.
  struct Item {
    BlockName name;
    ByteView bytes;
    bool condemned = false;  // when it was pinned: its row, if there is one, is about to go
  };

  [[nodiscard]] Status for_each(std::size_t count, std::size_t bytes,
                                const std::function<Status(std::size_t)>& task);
  [[nodiscard]] Status put_wave(Upload& upload, BlockKind kind, std::span<const ByteView> blocks,
                                std::span<BlockName> names);
  [[nodiscard]] Status put_named(Upload& upload, BlockKind kind, std::vector<Item> items);
  [[nodiscard]] Result<std::vector<Item>> pin_absent(Upload& upload, std::vector<Item> items,
                                                     std::unordered_set<BlockName>& unsettled);
  [[nodiscard]] Status drop_indexed(Upload& upload, std::vector<Item>& items,
                                    std::unordered_set<BlockName>& unsettled);
  [[nodiscard]] Status write(Upload& upload, BlockKind kind, std::span<const Item> items,
                             std::unordered_set<BlockName>& unsettled);
  [[nodiscard]] Result<std::vector<NewBlock>> write_group(BlockKind kind,
                                                          std::span<const Item> items);
  void keep_list(const BlockName& name, ByteView bytes);

  [[nodiscard]] bool is_known_bad(const BlockName& name, const Placement& placement);
  void report_bad(const BlockName& name, const Placement& placement, const common::Error& why);
  [[nodiscard]] Result<std::optional<Placement>> find(const BlockName& name);
  [[nodiscard]] Result<std::size_t> read(const BlockName& name, BlockKind kind,
                                         std::span<std::byte> into,
                                         std::optional<Placement> first_look);
  [[nodiscard]] Result<std::size_t> elsewhere(const BlockName& name, BlockKind kind,
                                              std::span<std::byte> into,
                                              const common::Error& otherwise);
  [[nodiscard]] Status read_wanted(const Wanted& wanted, const std::optional<Placement>& placement);

  Segments& segments;
  BlockIndex& index;
  WorkPool& pool;
  const BlockStoreOptions options;
  const std::shared_ptr<BlockPins> pins = std::make_shared<BlockPins>();
  ListCache lists;
  Locked<std::unordered_map<BlockName, Placement>> bad;
};

Status BlockStore::State::for_each(std::size_t count, std::size_t bytes,
                                   const std::function<Status(std::size_t)>& task) {
  if (bytes >= kWorthHelpers)
    return pool.run(count, task);
  for (std::size_t i = 0; i < count; ++i)
    TROTH_TRY_VOID(task(i));
  return {};
}

// --- writing ---

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
      blocks.push_back({items[i].name, kind, prepared[i].raw_length, (*placements)[i]});
      pins->set_record(blocks.back());
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

// --- reading ---

bool BlockStore::State::is_known_bad(const BlockName& name, const Placement& placement) {
  auto known = bad.lock();
  const auto found = known->find(name);
  return found != known->end() && found->second == placement;
}

void BlockStore::State::report_bad(const BlockName& name, const Placement& placement,
                                   const common::Error& why) {
  {
    auto known = bad.lock();
    if (known->size() >= kMaxBad || !known->emplace(name, placement).second)
      return;
  }
  index.found_bad(name, placement, why);
}

// On its way, or indexed.
Result<std::optional<Placement>> BlockStore::State::find(const BlockName& name) {
  if (const auto record = pins->record(name))
    return record->placement;
  TROTH_TRY(const auto found, index.find(std::span(&name, 1)));
  return found.front();
}

// Another copy of a block that we cannot give; `otherwise` if there is none.
Result<std::size_t> BlockStore::State::elsewhere(const BlockName& name, BlockKind kind,
                                                 std::span<std::byte> into,
                                                 const common::Error& otherwise) {
  if (!options.fetch_elsewhere)
    return tl::unexpected(otherwise);
  const auto bytes = options.fetch_elsewhere(name, kind);
  if (!bytes || bytes->empty() || bytes->size() > kBlockBytes)
    return tl::unexpected(otherwise);
  TROTH_TRY(const BlockName its_name, name_block(kind, *bytes));
  if (its_name != name)
    return tl::unexpected(otherwise);
  if (bytes->size() > into.size())
    return fail(ErrorCode::InvalidArgument, "{} bytes of room for a block of {}", into.size(),
                bytes->size());
  std::memcpy(into.data(), bytes->data(), bytes->size());
  return bytes->size();
}

Result<std::size_t> BlockStore::State::read(const BlockName& name, BlockKind kind,
                                            std::span<std::byte> into,
                                            std::optional<Placement> placement) {
  for (int look = 0; look < kMaxLooks; ++look) {
    if (!placement) {
      const bool was_bad = bad.lock()->contains(name);
      return elsewhere(name, kind, into,
                       was_bad ? common::Error{ErrorCode::Corrupt, "the block is in quarantine"}
                               : common::Error{ErrorCode::NotFound, "there is no such block"});
    }
    const auto length = segments.read(name, kind, *placement, into);
    if (length)
      return length;
    const ErrorCode code = length.error().code;
    if (code != ErrorCode::NotFound && code != ErrorCode::Corrupt && code != ErrorCode::IoError)
      return length;
    TROTH_TRY(const auto now, find(name));
    if (now == placement) {
      // It is where it should be, and is not right; a segment that is gone is damage, too.
      common::Error why = length.error();
      if (code == ErrorCode::NotFound)
        why.code = ErrorCode::Corrupt;
      report_bad(name, *placement, why);
      return elsewhere(name, kind, into, why);
    }
    placement = now;
  }
  return fail(ErrorCode::Unavailable, "a block was moved {} times while it was read", kMaxLooks);
}

Status BlockStore::State::read_wanted(const Wanted& wanted,
                                      const std::optional<Placement>& placement) {
  if (wanted.name.is_hole()) {
    std::ranges::fill(wanted.into, std::byte{0});
    return {};
  }
  std::size_t length = 0;
  if (wanted.skip == 0 && wanted.into.size() >= kBlockBytes) {
    TROTH_TRY(length, read(wanted.name, BlockKind::Data, wanted.into, placement));
  } else {
    thread_local Bytes block(kBlockBytes);
    TROTH_TRY(const std::size_t whole, read(wanted.name, BlockKind::Data, block, placement));
    if (whole > wanted.skip) {
      length = std::min(whole - wanted.skip, wanted.into.size());
      std::memcpy(wanted.into.data(), block.data() + wanted.skip, length);
    }
  }
  std::ranges::fill(wanted.into.subspan(length), std::byte{0});
  return {};
}

// --- BlockStore ---

BlockStore::BlockStore(Segments& segments, BlockIndex& index, WorkPool& pool,
                       BlockStoreOptions options)
    : state_(std::make_unique<State>(segments, index, pool, std::move(options))) {}
BlockStore::~BlockStore() = default;

Upload BlockStore::begin_upload() {
  return Upload(state_->pins);
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

Result<std::size_t> BlockStore::read(const BlockName& name, BlockKind kind,
                                     std::span<std::byte> into) {
  TROTH_TRY(const auto placement, state_->find(name));
  return state_->read(name, kind, into, placement);
}

Result<std::shared_ptr<const std::vector<BlockName>>> BlockStore::read_list(const BlockName& name) {
  if (auto names = state_->lists.find(name))
    return names;
  std::array<std::byte, kFanOut * sizeof(BlockName)> bytes{};
  TROTH_TRY(const std::size_t length, read(name, BlockKind::List, bytes));
  auto names = std::make_shared<std::vector<BlockName>>(length / sizeof(BlockName));
  std::memcpy(names->data(), bytes.data(), names->size() * sizeof(BlockName));
  state_->lists.insert(name, names);
  return names;
}

Status BlockStore::read_many(std::span<const Wanted> wanted) {
  std::vector<std::optional<Placement>> placements(wanted.size());
  std::vector<BlockName> names;
  std::vector<std::size_t> positions;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    bytes += wanted[i].into.size();
    if (wanted[i].name.is_hole())
      continue;
    if (const auto record = state_->pins->record(wanted[i].name)) {
      placements[i] = record->placement;
    } else {
      names.push_back(wanted[i].name);
      positions.push_back(i);
    }
  }
  if (!names.empty()) {
    TROTH_TRY(const auto found, state_->index.find(names));
    for (std::size_t i = 0; i < names.size(); ++i)
      placements[positions[i]] = found[i];
  }
  return state_->for_each(wanted.size(), bytes, [&](std::size_t i) {
    return state_->read_wanted(wanted[i], placements[i]);
  });
}

void BlockStore::begin_round() {
  state_->pins->begin_round();
}
std::vector<BlockName> BlockStore::condemn(std::span<const BlockName> names) {
  return state_->pins->condemn(names);
}
void BlockStore::end_round() {
  state_->pins->end_round();
}
bool BlockStore::is_condemned(const BlockName& name) const {
  return state_->pins->is_condemned(name);
}
std::vector<BlockName> BlockStore::pinned() const {
  return state_->pins->pinned();
}
std::vector<std::uint32_t> BlockStore::segments_in_use() const {
  return state_->pins->segments_in_use(state_->segments.newest());
}

}  // namespace fileserver::store
