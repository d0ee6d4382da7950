// One file although long: the steps of one walk, which share its state.

#include "fileserver/store/blocks/tree_builder.hpp"

#include <algorithm>

#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/content_tree.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// Pieces put together at a time: 8 MiB of memory, and enough for every core.
constexpr std::size_t kBatch = 64;
// Pieces are written for up to 65,536 blocks at a time, before the lists above them.
constexpr unsigned kPiecesLevel = 2;

// A list block is its names one after the other.
static_assert(sizeof(BlockName) == 32);

}  // namespace

// A piece of the new content on its way to a block.
struct TreeBuilder::Job {
  std::uint64_t block = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::span<const Extent> extents;
  Bytes gathered;
  ByteView bytes;  // all of it: `gathered`, or the caller's

  [[nodiscard]] std::span<std::byte> at(const Extent& piece) {
    return std::span(gathered).subspan(piece.begin - begin, piece.end - piece.begin);
  }
};

TreeBuilder::TreeBuilder(BlockStore& blocks, Upload& upload, const Content& base,
                         TreeCursor* source, std::span<const Extent> extents, std::uint64_t size)
    : blocks_(blocks),
      upload_(upload),
      base_content_(base),
      base_(blocks, base.root, base.tree_size()),
      source_(source),
      extents_(extents),
      size_(size),
      block_count_(blocks_of(size)),
      height_(tree_height(size)) {}

TreeBuilder::Place TreeBuilder::place(unsigned level, std::uint64_t index) const {
  const std::uint64_t first = index * span_of(level);
  return {level, index, first, std::min(first + span_of(level), block_count_)};
}

// Where the bytes of the blocks before `last_block` end.
std::uint64_t TreeBuilder::end_of(std::uint64_t last_block) const {
  return last_block == block_count_ ? size_ : last_block * kBlockBytes;
}

std::span<const Extent> TreeBuilder::extents_in(std::uint64_t begin, std::uint64_t end) const {
  const auto first =
      std::upper_bound(extents_.begin(), extents_.end(), begin,
                       [](std::uint64_t at, const Extent& extent) { return at < extent.end; });
  const auto last =
      std::lower_bound(first, extents_.end(), end,
                       [](const Extent& extent, std::uint64_t at) { return extent.begin < at; });
  return {first, last};
}

// How many data blocks of the base lie where the new tree is. `allocated` tells how many it has
// (only the last may count for less than a whole one), so that only the smaller part is counted.
Result<std::uint64_t> TreeBuilder::blocks_kept() {
  const std::uint64_t in_tree = base_content_.allocated - base_content_.tail.size();
  const std::uint64_t total = blocks_of(in_tree);
  if (block_count_ >= base_.block_count())
    return total;
  if (block_count_ < base_.block_count() / 2)
    return base_.count(0, block_count_);
  TROTH_TRY(const auto dropped, base_.count(block_count_, base_.block_count()));
  if (dropped > total)
    return fail(ErrorCode::Corrupt, "a file of {} bytes has more blocks than its {} allocated say",
                base_content_.size, base_content_.allocated);
  return total - dropped;
}

// --- what can be taken over ---

Result<TreeBuilder::Whole> TreeBuilder::classify_base(const Place& where) {
  TROTH_TRY(const auto found, base_.subtree(where.level, where.index));
  if (found.name.is_hole())
    return Whole{Whole::Kind::Hole, {}, 0};
  const bool ends_here =
      where.last == block_count_ &&
      (where.last != where.first + span_of(where.level) || size_ % kBlockBytes != 0);
  const bool is_cut = base_.size() > size_ && ends_here;
  if (is_cut || found.level != where.level)
    return Whole{};
  return Whole{Whole::Kind::Base, found.name, 0};
}

// `at`: where in the source the bytes of this place begin.
Result<TreeBuilder::Whole> TreeBuilder::classify_source(const Place& where, std::uint64_t at) {
  const std::uint64_t span = span_of(where.level);
  if (at % kBlockBytes != 0 || (at / kBlockBytes) % span != 0)
    return Whole{};
  const std::uint64_t length = end_of(where.last) - where.first * kBlockBytes;
  const bool covers_all = where.last == where.first + span && length % kBlockBytes == 0;
  if (!covers_all && source_->size() > at + length)
    return Whole{};
  TROTH_TRY(const auto found, source_->subtree(where.level, at / kBlockBytes / span));
  if (found.name.is_hole())
    return Whole{Whole::Kind::Source, {}, at / kBlockBytes};
  if (found.level != where.level)
    return Whole{};
  return Whole{Whole::Kind::Source, found.name, at / kBlockBytes};
}

Result<TreeBuilder::Whole> TreeBuilder::classify(const Place& where) {
  const std::uint64_t begin = where.first * kBlockBytes;
  const std::uint64_t end = end_of(where.last);
  const auto touching = extents_in(begin, end);
  if (touching.empty())
    return classify_base(where);
  const Extent& extent = touching.front();
  if (extent.begin > begin || extent.end < end)
    return Whole{};
  const std::uint64_t at = extent.from + (begin - extent.begin);
  switch (extent.kind) {
    case Extent::Kind::Zeros:
      return Whole{Whole::Kind::Hole, {}, 0};
    case Extent::Kind::Tree:
      return classify_source(where, at);
    case Extent::Kind::Block:
      // A block that reaches the end may be longer than what is left: its bytes are looked at.
      if (where.level == 0 && at == 0 && end - begin == kBlockBytes)
        return Whole{Whole::Kind::Block, extent.block, 0};
      return Whole{};
    case Extent::Kind::Memory:
      return Whole{};
  }
  return Whole{};
}

Status TreeBuilder::take_over(const Place& where, const Whole& whole) {
  if (whole.kind == Whole::Kind::Base)
    return {};
  // Only at its end may the base have more here than is kept.
  const bool is_last = where.last == block_count_ && base_.block_count() > block_count_;
  TROTH_TRY(const auto before, is_last ? base_.count(where.first, where.last)
                                       : base_.count_subtree(where.level, where.index));
  std::uint64_t after = 0;
  if (whole.kind == Whole::Kind::Block) {
    TROTH_TRY_VOID(blocks_.reuse(upload_, whole.name));
    after = 1;
  } else if (whole.kind == Whole::Kind::Source && !whole.name.is_hole()) {
    const std::uint64_t source_index = whole.source_first / span_of(where.level);
    TROTH_TRY(after, source_->count_subtree(where.level, source_index));
  }
  data_blocks_ = data_blocks_ + after - before;
  return {};
}

// --- pieces ---

// Blocks of [first, last) that may have to be put together, in order.
std::vector<std::uint64_t> TreeBuilder::candidates(std::uint64_t first, std::uint64_t last) const {
  std::vector<std::uint64_t> found;
  const auto add = [&](std::uint64_t block) {
    if (block >= first && block < last && (found.empty() || found.back() < block))
      found.push_back(block);
  };
  for (const Extent& extent : extents_in(first * kBlockBytes, end_of(last))) {
    const std::uint64_t from = std::max(extent.begin / kBlockBytes, first);
    const std::uint64_t to = std::min((extent.end - 1) / kBlockBytes, last - 1);
    const bool moves_bytes = extent.kind == Extent::Kind::Memory ||
                             (extent.kind == Extent::Kind::Tree &&
                              extent.begin % kBlockBytes != extent.from % kBlockBytes);
    add(from);
    for (std::uint64_t block = from + 1; moves_bytes && block < to; ++block)
      add(block);
    add(to);
  }
  add(block_count_ - 1);  // the new end may lie inside it
  return found;
}

Status TreeBuilder::write_pieces(std::uint64_t first, std::uint64_t last) {
  pieces_.clear();
  std::vector<std::uint64_t> batch;
  for (const std::uint64_t block : candidates(first, last)) {
    TROTH_TRY(const Whole whole, classify(place(0, block)));
    if (whole.kind != Whole::Kind::Mixed)
      continue;
    batch.push_back(block);
    if (batch.size() < kBatch)
      continue;
    TROTH_TRY_VOID(write_batch(batch));
    batch.clear();
  }
  return write_batch(batch);
}

Status TreeBuilder::gather_from_base(std::span<Job> jobs) {
  std::vector<BlockStore::Wanted> wanted;
  for (Job& job : jobs) {
    std::uint64_t covered = 0;
    for (const Extent& extent : job.extents)
      covered += std::min(extent.end, job.end) - std::max(extent.begin, job.begin);
    if (job.gathered.empty() || covered == job.end - job.begin)
      continue;
    TROTH_TRY(const BlockName name, base_.block(job.block));
    if (!name.is_hole())
      wanted.push_back({name, job.gathered, 0});
  }
  return read_kept(blocks_, wanted);
}

Status TreeBuilder::gather_from_blocks(std::span<Job> jobs) {
  std::vector<BlockStore::Wanted> wanted;
  for (Job& job : jobs)
    for (const Extent& extent : job.extents) {
      const Extent piece = extent.part(job.begin, job.end);
      if (piece.kind == Extent::Kind::Block) {
        TROTH_TRY_VOID(blocks_.reuse(upload_, piece.block));
        wanted.push_back({piece.block, job.at(piece), piece.from});
      }
      if (piece.kind != Extent::Kind::Tree)
        continue;
      // What is next to each other in one block may be in two of the source.
      std::span<std::byte> into = job.at(piece);
      for (std::uint64_t from = piece.from; !into.empty();) {
        const std::uint64_t skip = from % kBlockBytes;
        const std::size_t length = std::min<std::uint64_t>(into.size(), kBlockBytes - skip);
        TROTH_TRY(const BlockName name, source_->block(from / kBlockBytes));
        wanted.push_back({name, into.first(length), skip});
        into = into.subspan(length);
        from += length;
      }
    }
  return read_kept(blocks_, wanted);
}

// Fills `bytes` of each. First what stays of the old, then what covers it.
Status TreeBuilder::gather(std::span<Job> jobs) {
  for (Job& job : jobs) {
    const Extent* only = job.extents.empty() ? nullptr : &job.extents.front();
    if (only != nullptr && only->kind == Extent::Kind::Memory && only->begin <= job.begin &&
        only->end >= job.end) {
      job.bytes = {only->bytes + (job.begin - only->begin), job.end - job.begin};
      continue;
    }
    job.gathered.resize(job.end - job.begin);
    job.bytes = job.gathered;
  }
  TROTH_TRY_VOID(gather_from_base(jobs));
  TROTH_TRY_VOID(gather_from_blocks(jobs));
  for (Job& job : jobs)
    for (const Extent& extent : job.extents) {
      if (job.gathered.empty())
        break;
      const Extent piece = extent.part(job.begin, job.end);
      if (piece.kind == Extent::Kind::Memory)
        std::copy_n(piece.bytes, piece.end - piece.begin, job.at(piece).begin());
      else if (piece.kind == Extent::Kind::Zeros)
        std::ranges::fill(job.at(piece), std::byte{0});
    }
  return {};
}

Status TreeBuilder::write_batch(std::span<const std::uint64_t> batch) {
  std::vector<Job> jobs;
  jobs.reserve(batch.size());
  for (const std::uint64_t block : batch) {
    const std::uint64_t begin = block * kBlockBytes;
    const std::uint64_t end = end_of(block + 1);
    jobs.push_back({block, begin, end, extents_in(begin, end), {}, {}});
  }
  TROTH_TRY_VOID(gather(jobs));

  std::vector<ByteView> views;
  for (Job& job : jobs) {
    job.bytes = without_trailing_zeros(job.bytes);
    if (!job.bytes.empty())
      views.push_back(job.bytes);
  }
  std::vector<BlockName> names;
  if (!views.empty()) {
    TROTH_TRY(names, blocks_.put_many(upload_, BlockKind::Data, views));
  }
  auto name = names.begin();
  for (const Job& job : jobs) {
    TROTH_TRY(const BlockName before, base_.block(job.block));
    const BlockName now = job.bytes.empty() ? BlockName{} : *name++;
    data_blocks_ += (now.is_hole() ? 0U : 1U);
    data_blocks_ -= (before.is_hole() ? 0U : 1U);
    pieces_.emplace_back(job.block, now);
    if (job.block + 1 == block_count_)
      last_piece_ = now;
  }
  return {};
}

Result<BlockName> TreeBuilder::written_piece(std::uint64_t block) const {
  const auto found =
      std::ranges::lower_bound(pieces_, block, {}, [](const auto& piece) { return piece.first; });
  if (found == pieces_.end() || found->first != block)
    return fail(ErrorCode::Internal, "block {} of a new tree was not written", block);
  return found->second;
}

// --- the tree ---

Result<BlockName> TreeBuilder::write_list(const Place& where, std::vector<BlockName> names) {
  while (!names.empty() && names.back().is_hole())
    names.pop_back();
  if (names.empty())
    return BlockName{};
  // Edits that change nothing, a block that was there already.
  TROTH_TRY(const auto old, base_.subtree(where.level, where.index));
  if (old.level == where.level && !old.name.is_hole()) {
    TROTH_TRY(const BlockList list, base_.list(old.name, where.level, where.index));
    if (*list == names)
      return old.name;
  }
  return blocks_.put(upload_, BlockKind::List, std::as_bytes(std::span(names)));
}

Result<BlockName> TreeBuilder::build_place(unsigned level, std::uint64_t index) {
  const Place where = place(level, index);
  TROTH_TRY(const Whole whole, classify(where));
  if (whole.kind != Whole::Kind::Mixed) {
    TROTH_TRY_VOID(take_over(where, whole));
    return whole.name;
  }
  if (level == std::min(kPiecesLevel, height_))
    TROTH_TRY_VOID(write_pieces(where.first, where.last));
  if (level == 0)
    return written_piece(index);
  const std::uint64_t entries = (where.last - where.first - 1) / span_of(level - 1) + 1;
  std::vector<BlockName> names;
  names.reserve(entries);
  for (std::uint64_t i = 0; i < entries; ++i) {
    TROTH_TRY(const BlockName name, build_place(level - 1, index * kFanOut + i));
    names.push_back(name);
  }
  return write_list(where, std::move(names));
}

Result<Content> TreeBuilder::small() {
  std::vector<Job> jobs;
  jobs.push_back({0, 0, size_, extents_in(0, size_), {}, {}});
  if (size_ > 0)
    TROTH_TRY_VOID(gather(jobs));
  const ByteView bytes = jobs.front().bytes;
  return Content{size_, size_, BlockName{}, Bytes(bytes.begin(), bytes.end())};
}

Result<bool> TreeBuilder::ends_in_data() {
  if (last_piece_)
    return !last_piece_->is_hole();
  TROTH_TRY(const Whole whole, classify(place(0, block_count_ - 1)));
  return !whole.name.is_hole();
}

Result<Content> TreeBuilder::build() {
  if (size_ <= kMaxTail)
    return small();
  TROTH_TRY(data_blocks_, blocks_kept());
  TROTH_TRY(const BlockName root, build_place(height_, 0));
  TROTH_TRY(const bool ends_in_data, ends_in_data());
  if (data_blocks_ > block_count_)
    return fail(ErrorCode::Corrupt, "a file of {} bytes has not the blocks its {} allocated say",
                base_content_.size, base_content_.allocated);
  std::uint64_t allocated = data_blocks_ * kBlockBytes;
  if (ends_in_data && size_ % kBlockBytes != 0)
    allocated -= kBlockBytes - size_ % kBlockBytes;
  return Content{size_, allocated, root, {}};
}

}  // namespace fileserver::store
