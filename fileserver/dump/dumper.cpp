// One file although long: one dump, stage after stage.

#include "fileserver/dump/dumper.hpp"

#include <algorithm>

#include "common/crypto/random.hpp"
#include "fileserver/store/blocks/content_tree.hpp"

namespace fileserver::dump {

namespace {

using common::ErrorCode;
using common::fail;
using store::BlockKind;
using store::BlockName;
using store::ImageScope;

// Index rows that are brought into the order of their places: one way over the disk for each. Fewer
// where positions are wanted more often, for there is none within.
constexpr std::size_t kBlocksPerPage = 512;
constexpr std::size_t kCommitsPerPage = 64;
// Names remembered, twice: about 10 MiB. What is forgotten is sent or looked through again.
constexpr std::size_t kRemembered = 65'536;

Status add_page(const store::ImagePage& page, common::crypto::Sha256& image) {
  if (!store::is_compared(page.table))
    return {};
  const std::byte table[] = {static_cast<std::byte>(page.table)};
  for (const Bytes& row : page.rows) {
    TROTH_TRY_VOID(image.update(table));
    TROTH_TRY_VOID(image.update(row));
  }
  return {};
}

}  // namespace

Result<BlockName> image_digest(store::Volume& volume, Seq seq, ImageScope scope) {
  TROTH_TRY(const auto hold, volume.hold_history());
  TROTH_TRY(auto image, common::crypto::Sha256::create());
  store::ImageCursor at;
  for (bool done = false; !done;) {
    TROTH_TRY(const store::ImagePage page, volume.image_page(seq, scope, at));
    TROTH_TRY_VOID(add_page(page, image));
    at = page.next;
    done = page.done;
  }
  TROTH_TRY(const auto digest, image.finish());
  return BlockName{digest};
}

Result<std::unique_ptr<Dumper>> Dumper::begin(store::Volume& volume, DumpOptions options,
                                              const common::Clock& clock) {
  std::unique_ptr<Dumper> dumper(new Dumper(volume, std::move(options)));
  TROTH_TRY_VOID(dumper->start(clock));
  return dumper;
}

ImageScope Dumper::scope() const {
  return options_.what == What::History ? ImageScope::History : ImageScope::Present;
}

Status Dumper::start(const common::Clock& clock) {
  if (volume_.is_sealed() && options_.key == nullptr)
    return fail(ErrorCode::InvalidArgument,
                "the volume is sealed: its dump must be sealed, too, and needs a key");
  TROTH_TRY(hold_, volume_.hold_history());
  TROTH_TRY(head_, volume_.image_head(options_.to.value_or(volume_.visible_seq())));
  if (options_.what == What::Present)
    head_.floor = head_.seq;
  stage_ = options_.what == What::Commits ? Stage::Commits : Stage::Rows;
  Begin begin;
  begin.what = options_.what;
  begin.uuid = volume_.uuid();
  begin.volume = volume_.id();
  begin.head = head_;
  begin.time = clock.wall_now().time_since_epoch().count();
  TROTH_TRY_VOID(common::crypto::random_bytes(begin.id));
  if (options_.what == What::Commits) {
    TROTH_TRY(const store::ImageHead from, volume_.image_head(options_.from));
    if (from.seq != options_.from)
      return fail(ErrorCode::NotFound, "there is no commit {}", options_.from.value);
    if (from.seq > head_.seq)
      return fail(ErrorCode::InvalidArgument, "commit {} comes after {}", from.seq.value,
                  head_.seq.value);
    begin.from = from.seq;
    begin.from_commit = from.commit;
  } else {
    options_.from = Seq{};
    TROTH_TRY(auto image, common::crypto::Sha256::create());
    image_ = std::move(image);
    needed_.emplace(head_.seq.value * 0x9E3779B97F4A7C15U);
  }
  position_.uuid = begin.uuid;
  position_.what = begin.what;
  position_.from = begin.from;
  position_.commit = head_.commit;
  position_.seq = begin.from;
  if (options_.what == What::Commits)
    position_.stage = Position::Stage::Commits;
  begin.continues = options_.resume;
  if (!options_.resume.empty())
    TROTH_TRY_VOID(take_up());
  TROTH_TRY(auto writer, RecordWriter::create(begin, options_.key));
  writer_ = std::move(writer);
  ready_.push_back(writer_->begin());
  return {};
}

// Goes on where another dump of the same commit was cut.
Status Dumper::take_up() {
  TROTH_TRY(const Position at, decode_position(options_.resume));
  if (at.uuid != position_.uuid || at.what != position_.what || at.from != position_.from ||
      at.commit != position_.commit)
    return fail(ErrorCode::InvalidArgument,
                "the position is one in another dump: ask for the same seqs, or begin anew");
  position_ = at;
  resumed_ = true;
  image_.reset();
  if (at.stage == Position::Stage::Blocks)
    stage_ = Stage::Blocks;
  if (options_.what != What::Commits)
    TROTH_TRY_VOID(mark_all());
  return {};
}

Result<ByteView> Dumper::next() {
  while (ready_.empty() && stage_ != Stage::Done)
    TROTH_TRY_VOID(step());
  if (ready_.empty())
    return ByteView{};
  given_ = std::move(ready_.front());
  ready_.pop_front();
  return ByteView(given_);
}

Status Dumper::step() {
  switch (stage_) {
    case Stage::Rows:
      return step_rows();
    case Stage::Blocks:
      return step_blocks();
    case Stage::Commits:
      return step_commits();
    case Stage::End:
      return step_end();
    case Stage::Done:
      break;
  }
  return {};
}

Status Dumper::add(RecordType type, ByteView payload) {
  TROTH_TRY(Bytes record, writer_->add(type, payload));
  ready_.push_back(std::move(record));
  return {};
}

Status Dumper::maybe_position(bool now) {
  if (!now && writer_->bytes() - positioned_ < options_.position_every)
    return {};
  TROTH_TRY(Bytes record, writer_->position(position_));
  ready_.push_back(std::move(record));
  positioned_ = writer_->bytes();
  return {};
}

// --- rows ---

Status Dumper::step_rows() {
  TROTH_TRY(const store::ImagePage page, volume_.image_page(head_.seq, scope(), position_.rows));
  if (!page.rows.empty()) {
    TROTH_TRY_VOID(add(RecordType::Rows, encode_rows(page.table, page.rows)));
    totals_.rows += page.rows.size();
  }
  if (!resumed_) {
    if (image_)
      TROTH_TRY_VOID(add_page(page, *image_));
    for (const store::Root& root : page.roots)
      TROTH_TRY_VOID(mark(root));
  }
  position_.rows = page.next;
  if (page.done) {
    stage_ = Stage::Blocks;
    position_.stage = Position::Stage::Blocks;
  }
  return maybe_position(false);
}

// What was marked before the dump was cut is not known any more.
Status Dumper::mark_all() {
  store::ImageCursor at;
  at.table = static_cast<std::uint8_t>(store::ImageTable::Node);
  while (at.table == static_cast<std::uint8_t>(store::ImageTable::Node)) {
    TROTH_TRY(const store::ImagePage page, volume_.image_page(head_.seq, scope(), at));
    for (const store::Root& root : page.roots)
      TROTH_TRY_VOID(mark(root));
    at = page.next;
  }
  return {};
}

bool Dumper::sent_lately(const BlockName& name) {
  if (seen_.contains(name) || seen_before_.contains(name))
    return true;
  if (seen_.size() >= kRemembered) {
    seen_before_ = std::move(seen_);
    seen_.clear();
  }
  seen_.insert(name);
  return false;
}

Status Dumper::mark(const store::Root& root) {
  std::vector<std::pair<BlockName, unsigned>> open = {
      {root.name, store::tree_height(root.tree_size)}};
  while (!open.empty()) {
    const auto [name, level] = open.back();
    open.pop_back();
    if (name.is_hole())
      continue;
    needed_->add(name);
    if (level == 0 || sent_lately(name))
      continue;
    TROTH_TRY(const auto names, volume_.blocks().read_list(name));
    for (const BlockName& below : *names)
      open.emplace_back(below, level - 1);
  }
  return {};
}

// --- blocks ---

Status Dumper::step_blocks() {
  if (page_at_ < page_.size())
    return send_block(page_[page_at_++].name, std::nullopt);
  if (!page_.empty()) {
    position_.block = page_last_;
    page_.clear();
    page_at_ = 0;
    return maybe_position(false);
  }
  const std::size_t most =
      std::clamp<std::size_t>(options_.position_every / store::kBlockBytes, 1, kBlocksPerPage);
  TROTH_TRY(auto rows, volume_.indexed_blocks(position_.block, most));
  if (rows.empty()) {
    stage_ = Stage::End;
    return {};
  }
  page_last_ = rows.back().name;
  // Some that nothing needs any more may be claimed: they cost room, and are collected later.
  std::erase_if(rows, [&](const store::IndexRow& row) { return !needed_->may_contain(row.name); });
  if (rows.empty()) {
    position_.block = page_last_;
    return {};
  }
  std::ranges::sort(rows, {}, [](const store::IndexRow& row) {
    return std::pair(row.placement.segment, row.placement.offset);
  });
  page_ = std::move(rows);
  return {};
}

Status Dumper::send_block(const BlockName& name, std::optional<BlockKind> kind) {
  scratch_.resize(store::kBlockBytes);
  BlockKind as = kind.value_or(BlockKind::Data);
  auto length = volume_.blocks().read(name, as, scratch_);
  if (!length && length.error().code == ErrorCode::InvalidArgument && !kind) {
    as = BlockKind::List;
    length = volume_.blocks().read(name, as, scratch_);
  }
  // The index named it a moment ago: it was garbage, and has been collected since.
  if (!length && length.error().code == ErrorCode::NotFound && !kind)
    return {};
  if (!length)
    return tl::unexpected(length.error().in("a block of the volume cannot be read"));
  TROTH_TRY(const Bytes payload, encode_block(name, as, ByteView(scratch_).first(*length)));
  ++totals_.blocks;
  return add(RecordType::Block, payload);
}

// --- commits ---

Status Dumper::step_commits() {
  if (commits_.empty()) {
    if (position_.seq >= head_.seq) {
      stage_ = Stage::End;
      return {};
    }
    TROTH_TRY(auto records, volume_.changes_since(position_.seq, kCommitsPerPage));
    if (records.empty())
      return fail(ErrorCode::Stale, "commit {} is not there any more", head_.seq.value);
    for (store::CommitRecord& record : records)
      if (record.seq <= head_.seq)
        commits_.push_back(std::move(record));
    if (commits_.empty())
      return fail(ErrorCode::Stale, "commit {} is not there any more", head_.seq.value);
    operation_ = 0;
  }
  const store::CommitRecord& record = commits_.front();
  if (diff_) {
    TROTH_TRY(const auto block, diff_->next());
    if (!block)
      diff_.reset();
    else if (!sent_lately(block->name))
      return send_block(block->name, block->kind);
    return {};
  }
  if (operation_ < record.operations.size())
    return begin_operation(record);
  TROTH_TRY_VOID(add(RecordType::Commit, store::encode_record(record)));
  ++totals_.commits;
  position_.seq = record.seq;
  commits_.pop_front();
  operation_ = 0;
  return maybe_position(false);
}

Status Dumper::begin_operation(const store::CommitRecord& record) {
  store::Operation operation = record.operations[operation_++];
  const store::Content* const now = store::content_of(operation);
  if (now == nullptr || now->root.is_hole())
    return {};
  store::Content old;
  if (const auto* const set = std::get_if<store::SetContent>(&operation)) {
    // What the copy has of this node before it redoes the commit.
    auto before = volume_.content(set->node, record.previous);
    if (before)
      old = *std::move(before);
    else if (before.error().code != ErrorCode::NotFound)
      return tl::unexpected(std::move(before).error());
  }
  diff_.emplace(volume_.blocks(), old, *now);
  return {};
}

// --- the end ---

Status Dumper::step_end() {
  End end;
  if (image_) {
    TROTH_TRY(const auto digest, image_->finish());
    end.image = BlockName{digest};
  } else {
    TROTH_TRY(end.image, image_digest(volume_, head_.seq, scope()));
  }
  // Rolled back meanwhile? Seqs never come again, so the commit tells.
  TROTH_TRY(const store::ImageHead now, volume_.image_head(head_.seq));
  if (now.seq != head_.seq || now.commit != head_.commit)
    return fail(ErrorCode::Stale, "the volume was rolled back while it was dumped");
  end.totals = totals_;
  TROTH_TRY(Bytes record, writer_->end(end));
  ready_.push_back(std::move(record));
  stage_ = Stage::Done;
  hold_.reset();
  return {};
}

}  // namespace fileserver::dump
