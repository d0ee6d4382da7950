#include <algorithm>

#include "common/crypto/hash_many.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/block_store_state.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// How often a read looks again for a block that was moved under it: each time the collector has
// compacted a segment in between, so more is no longer bad luck.
constexpr int kMaxLooks = 8;
// From so many on one thread verifies them side by side, if the machine can, with two thirds of the
// work of two at a time: it is work that many readers share.
constexpr std::size_t kWorthTogether = 11;
// Bad blocks remembered so as to be reported once. A disk with more is lost.
constexpr std::size_t kMaxBad = 100'000;

}  // namespace

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

Status BlockStore::State::read_group(std::span<const Wanted> wanted,
                                     std::span<const std::optional<Placement>> placements) {
  std::array<Segments::Wanted, Segments::kTogether> whole;
  std::array<std::size_t, Segments::kTogether> positions{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (placements[i] && !wanted[i].name.is_hole() && wanted[i].skip == 0 &&
        wanted[i].into.size() >= kBlockBytes) {
      positions[count] = i;
      whole[count++] = {wanted[i].name, *placements[i], wanted[i].into};
    }
  }
  std::array<bool, Segments::kTogether> done{};
  if (count > 1)
    segments.read_together(std::span(whole).first(count));
  for (std::size_t k = 0; k < count; ++k) {
    done[positions[k]] = whole[k].done;
    if (whole[k].done)
      std::ranges::fill(whole[k].into.subspan(whole[k].placement.length), std::byte{0});
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!done[i])
      TROTH_TRY_VOID(read_wanted(wanted[i], placements[i]));
  }
  return {};
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
  const bool together =
      wanted.size() >= kWorthTogether && common::crypto::sha256_at_once() >= Segments::kTogether;
  const std::size_t group = together ? Segments::kTogether : 2;
  const std::span<const std::optional<Placement>> where(placements);
  return state_->for_each((wanted.size() + group - 1) / group, bytes, [&](std::size_t i) {
    const std::size_t first = i * group;
    const std::size_t count = std::min(group, wanted.size() - first);
    return state_->read_group(wanted.subspan(first, count), where.subspan(first, count));
  });
}

}  // namespace fileserver::store
