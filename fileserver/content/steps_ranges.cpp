// Steps that change what a file holds without bytes being sent: allocate, copy-range, restore.

#include <algorithm>
#include <cerrno>

#include "fileserver/content/content_base.hpp"
#include "fileserver/store/blocks/block_name.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using store::Attributes;
using store::Content;

// --- allocate ---

class AllocateStep final : public Step {
 public:
  explicit AllocateStep(fileproto::Allocate change) : change_(std::move(change)) {}

  [[nodiscard]] bool uses_up() const override { return true; }
  Status prepare(const Preparation& with) override {
    const VolumeRef& volume = with.volume;
    TROTH_TRY_VOID(no_tokens_yet(change_.token));
    if (change_.length == 0)
      return fail(ErrorCode::InvalidArgument, "a range of nothing");
    if (change_.length > store::kMaxFileSize ||
        change_.offset > store::kMaxFileSize - change_.length)
      return fail_posix(EFBIG, "a file has at most 2^62 bytes");
    TROTH_TRY(base_, present_base(volume, change_.fid.node));
    if (!base_)
      return {};
    const std::uint64_t size = base_->content.size;
    const std::uint64_t end = change_.offset + change_.length;
    using Mode = fileproto::AllocateMode;
    const bool grows = change_.mode == Mode::Grow || change_.mode == Mode::Zero;
    const bool zeroes = change_.mode == Mode::Punch || change_.mode == Mode::Zero;
    std::vector<store::Edit> edits;
    if (zeroes && change_.offset < size) {
      store::Edit hole;
      hole.kind = store::Edit::Kind::Hole;
      hole.offset = change_.offset;
      hole.length = std::min(end, size) - change_.offset;
      edits.push_back(hole);
    }
    changes_ = !edits.empty() || (grows && end > size);
    if (changes_) {
      TROTH_TRY(content_, store::edit_content(volume->blocks(), with.upload, base_->content, edits,
                                              grows ? std::max(size, end) : size));
    }
    return {};
  }

  Status look(StepLook& look) override {
    look_up_held(look, change_.fid.node, held_);
    TROTH_TRY(const Attributes node, writable_file(look, held_, change_.fid.node));
    if (look.only_rights())
      return {};
    if (!base_)
      return made_meanwhile(node.node);
    store::SetAttributes set;
    set.node = node.node;
    clear_set_ids(look, node, set);
    look.touch(node.node, what::kBytes | what::kAttributes);
    if (changes_)
      look.add(store::SetContent{node.node, content_, base_->data_version});
    if (!changes_ || set.mode)
      look.add(set);
    return {};
  }

  [[nodiscard]] bool may_be_in(std::span<const store::Operation> record) const override {
    const auto is_this = [&](const auto& one) { return one.node == change_.fid.node; };
    return any_operation<store::SetContent>(record, is_this) ||
           any_operation<store::SetAttributes>(record, is_this);
  }

  bool again(const common::Error&) override { return true; }

 private:
  const fileproto::Allocate change_;
  HeldFile held_;
  std::optional<Base> base_;
  Content content_;
  bool changes_ = false;
};

// --- copy-range ---

// Whoever copies to where blocks do not lie as they did is answered how much has been copied, and
// asks again: bytes that have to be moved, and blocks that are named anew one by one, hold a
// worker.
constexpr std::uint64_t kMostMoved = std::uint64_t{256} << 20;
constexpr std::uint64_t kMostRenamed = std::uint64_t{128} << 30;

std::uint64_t copied_at_once(const fileproto::CopyRange& change) {
  if (change.from_offset == change.to_offset)
    return store::kMaxFileSize;
  const bool moves =
      change.from_offset % store::kBlockBytes != change.to_offset % store::kBlockBytes;
  return moves ? kMostMoved : kMostRenamed;
}

class CopyStep final : public Step {
 public:
  explicit CopyStep(fileproto::CopyRange change) : change_(std::move(change)) {}

  [[nodiscard]] bool uses_up() const override { return true; }
  Status prepare(const Preparation& with) override {
    const VolumeRef& volume = with.volume;
    TROTH_TRY_VOID(no_tokens_yet(change_.token));
    if (change_.from.volume != change_.to.volume)
      return fail_posix(EXDEV, "bytes are copied within a volume");
    from_.reset();
    TROTH_TRY(to_, present_base(volume, change_.to.node));
    TROTH_TRY_VOID(find_source(volume));
    if (!from_ || !to_)
      return {};
    length_ = change_.from_offset >= from_->content.size
                  ? 0
                  : std::min({change_.length, from_->content.size - change_.from_offset,
                              copied_at_once(change_)});
    if (length_ > store::kMaxFileSize || change_.to_offset > store::kMaxFileSize - length_)
      return fail_posix(EFBIG, "a file has at most 2^62 bytes");
    TROTH_TRY(content_,
              store::copy_range(volume->blocks(), with.upload, from_->content, change_.from_offset,
                                length_, to_->content, change_.to_offset));
    return {};
  }

  Status look(StepLook& look) override {
    look_up_held(look, change_.to.node, held_to_);
    look_up_held(look, change_.from.node, held_from_);
    TROTH_TRY(const Attributes to, writable_file(look, held_to_, change_.to.node));
    TROTH_TRY(const Attributes from, readable_file(look.view(), held_from_, change_.from.node));
    if (change_.version)
      TROTH_TRY_VOID(may_read_past(look.view(), held_from_, from.node, *change_.version));
    if (look.only_rights())
      return {};
    if (why_)
      return tl::unexpected(*why_);
    if (!from_ || !to_)
      return made_meanwhile(from_ ? to.node : from.node);
    if (!change_.version)
      look.into().conditions.emplace_back(store::DataVersionIs{from.node, from_->data_version});
    look.into().conditions.emplace_back(retained(from.node, *from_));
    look.touch(to.node, what::kBytes | what::kAttributes);
    look.add(store::SetContent{to.node, content_, to_->data_version});
    store::SetAttributes set;
    set.node = to.node;
    clear_set_ids(look, to, set);
    if (set.mode)
      look.add(set);
    return {};
  }

  [[nodiscard]] bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::SetContent>(
        record, [&](const store::SetContent& one) { return one.node == change_.to.node; });
  }

  bool again(const common::Error&) override { return true; }

  fileproto::ChangeOutcome outcome(const store::CommitReply& commit) override {
    fileproto::ChangeOutcome outcome;
    if (!commit.replayed)
      outcome.length = length_;
    return outcome;
  }

 private:
  // What cannot be had is told when the caller's rights are known.
  Status find_source(const VolumeRef& volume) {
    why_.reset();
    if (!change_.version) {
      TROTH_TRY(from_, present_base(volume, change_.from.node));
      return {};
    }
    auto past = past_base(volume, change_.from.node, *change_.version);
    if (past)
      from_ = *std::move(past);
    else
      why_ = std::move(past).error();
    return {};
  }

  const fileproto::CopyRange change_;
  HeldFile held_from_;
  HeldFile held_to_;
  std::optional<Base> from_;
  std::optional<Base> to_;
  std::optional<common::Error> why_;
  std::uint64_t length_ = 0;
  Content content_;
};

// --- restore ---

class RestoreStep final : public Step {
 public:
  explicit RestoreStep(const fileproto::Restore& change) : change_(change) {}

  Status prepare(const Preparation& with) override {
    const VolumeRef& volume = with.volume;
    auto past = past_base(volume, change_.fid.node, change_.version);
    if (past)
      past_ = *std::move(past);
    else
      why_ = std::move(past).error();
    return {};
  }

  Status look(StepLook& look) override {
    look_up_held(look, change_.fid.node, held_);
    TROTH_TRY(const Attributes node, writable_file(look, held_, change_.fid.node));
    TROTH_TRY_VOID(readable_file(look.view(), held_, change_.fid.node));
    TROTH_TRY_VOID(may_read_past(look.view(), held_, node.node, change_.version));
    if (look.only_rights())
      return {};
    if (!past_)
      return tl::unexpected(why_);
    look.into().conditions.emplace_back(retained(node.node, *past_));
    look.touch(node.node, what::kBytes | what::kAttributes);
    look.add(store::SetContent{node.node, past_->content, std::nullopt});
    store::SetAttributes set;
    set.node = node.node;
    clear_set_ids(look, node, set);
    if (set.mode)
      look.add(set);
    return {};
  }

  [[nodiscard]] bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::SetContent>(
        record, [&](const store::SetContent& one) { return one.node == change_.fid.node; });
  }

 private:
  const fileproto::Restore change_;
  HeldFile held_;
  std::optional<Base> past_;
  common::Error why_;
};

}  // namespace

std::unique_ptr<Step> make_range_step(const fileproto::Change& change) {
  if (const auto* const allocate = std::get_if<fileproto::Allocate>(&change))
    return std::make_unique<AllocateStep>(*allocate);
  if (const auto* const copy = std::get_if<fileproto::CopyRange>(&change))
    return std::make_unique<CopyStep>(*copy);
  if (const auto* const restore = std::get_if<fileproto::Restore>(&change))
    return std::make_unique<RestoreStep>(*restore);
  return nullptr;
}

}  // namespace fileserver
