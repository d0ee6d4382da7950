// Steps that bring bytes: store, append.

#include "fileserver/content/apply_edits.hpp"
#include "fileserver/content/content_base.hpp"
#include "fileserver/content/stagings.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using store::Attributes;
using store::Content;
using store::Seq;

// --- store ---

class StoreStep final : public Step {
 public:
  StoreStep(fileproto::Store change, common::ByteView raw)
      : change_(std::move(change)), raw_(raw) {}

  // A small new content lies in its row.
  [[nodiscard]] bool uses_up() const override {
    return change_.base || change_.staging || raw_.size() > store::kMaxTail;
  }
  Status prepare(const Preparation& with) override {
    TROTH_TRY_VOID(no_tokens_yet(change_.token));
    TROTH_TRY(base_, find_base(with.volume));
    if (!base_)
      return {};  // look() says why
    if (change_.staging)
      return prepare_staged(with);
    TROTH_TRY(content_, apply_edits(with.volume->blocks(), with.upload, base_->content, change_,
                                    raw_.in(with.call)));
    return {};
  }

  [[nodiscard]] bool is_upload() const override { return true; }

  Status look(StepLook& look) override {
    look_up_held(look, change_.fid.node, held_);
    TROTH_TRY(const Attributes node, writable_file(look, held_, change_.fid.node));
    if (look.only_rights())
      return {};
    lost_.reset();
    if (change_.base && node.data_version != *change_.base)
      TROTH_TRY_VOID(look_at_conflict(look, node));
    if (!base_)
      return not_the_base(look, node, "the version that the edits apply to is forgotten");
    if (change_.base)
      look.into().conditions.emplace_back(retained(node.node, *base_));
    store::SetAttributes set;
    set.node = node.node;
    set.mtime = change_.mtime;
    set.atime = change_.atime;
    clear_set_ids(look, node, set);
    look.touch(node.node, what::kBytes | what::kAttributes);
    look.add(store::SetContent{node.node, content_, std::nullopt});
    if (set.mtime || set.atime || set.mode)
      look.add(set);
    if (staging_)
      take_staging(look);
    return {};
  }

  // Its time tells one store of a file from another: mounts say when they closed it.
  [[nodiscard]] bool may_be_in(std::span<const store::Operation> record) const override {
    const bool stored = any_operation<store::SetContent>(record, [&](const store::SetContent& one) {
      return one.node == change_.fid.node && one.content.size == change_.size;
    });
    return stored &&
           (!change_.mtime ||
            any_operation<store::SetAttributes>(record, [&](const store::SetAttributes& one) {
              return one.node == change_.fid.node && one.mtime == change_.mtime;
            }));
  }

  // The staged bytes are the file's: the node that held them goes. Also when the answer comes from
  // the record, for the server may have died in between.
  Status done(FileCall& call, const VolumeRef& volume, const fileproto::Speaker& as,
              const store::CommitReply&) override {
    if (!change_.staging)
      return {};
    TROTH_TRY(const StagingOwner owner, staging_owner(call, CallView::owner_of(call, as)));
    if (find_staging(*volume, *change_.staging, owner))
      end_staging(*volume, owner, *change_.staging);
    return {};
  }

  fileproto::ChangeOutcome outcome(const store::CommitReply& commit) override {
    fileproto::ChangeOutcome outcome;
    if (!commit.replayed)
      outcome.lost = lost_;
    return outcome;
  }

 private:
  Status prepare_staged(const Preparation& with) {
    const VolumeRef& volume = with.volume;
    TROTH_TRY(const StagingOwner owner, staging_owner(with.call, with.owner));
    Content staged;
    const auto read = [&](store::ReadTx& tx, store::At at) -> Status {
      TROTH_TRY(staging_, read_staging(tx, at, *change_.staging, owner));
      TROTH_TRY(staged, volume->content(tx, *change_.staging, at));
      return {};
    };
    if (const Status done = volume->view(read); !done)
      return done;
    for (const fileproto::Edit& edit : change_.edits) {
      if (!has_range(staging_->there, {edit.from, edit.length}))
        return fail(ErrorCode::Conflict, "of bytes {} to {} of staging {} not all have come",
                    edit.from, edit.from + edit.length, change_.staging->value);
    }
    TROTH_TRY(content_,
              apply_staged(volume->blocks(), with.upload, base_->content, change_, staged));
    return {};
  }

  // In the same commit, so that the quota counts the bytes once.
  void take_staging(StepLook& look) {
    look.into().conditions.emplace_back(
        store::ContentRetained{staging_->node, staging_->version, staging_->data_version});
    look.touch(staging_->node, what::kBytes);
    look.add(store::SetContent{staging_->node, {}, staging_->data_version});
  }

  // nullopt: there is no such file, or no such version of it any more.
  Result<std::optional<Base>> find_base(const VolumeRef& volume) const {
    if (!change_.base)
      return std::optional(Base{});
    TROTH_TRY(auto present, present_base(volume, change_.fid.node));
    if (!present || present->data_version == *change_.base)
      return present;
    auto past = past_base(volume, change_.fid.node, *change_.base);
    if (!past)
      return std::optional<Base>();
    return std::optional(*std::move(past));
  }

  // Another version came first. The edits apply to their base and to nothing else (G3): then all of
  // the other version gives way, or nothing happens.
  Status look_at_conflict(StepLook& look, const Attributes& node) {
    if (look.view().volume().entry().policy.write_conflict == WriteConflict::Refuse)
      return not_the_base(look, node, "another version has been stored");
    if (!base_)
      return {};
    // Else old bytes could be had by storing nothing upon them.
    if (look.view().allows(look.judge().fetch(node)))
      TROTH_TRY_VOID(may_read_past(look.view(), held_, node.node, *change_.base));
    lost_ = node.data_version;
    return {};
  }

  const fileproto::Store change_;
  CameAlong raw_;
  HeldFile held_;
  std::optional<Base> base_;
  Content content_;
  std::optional<Staging> staging_;
  std::optional<Seq> lost_;
};

// --- append ---

class AppendStep final : public Step {
 public:
  AppendStep(fileproto::Append change, common::ByteView raw)
      : change_(std::move(change)), raw_(raw), fold_(raw.size() > store::kMaxTail) {}

  [[nodiscard]] bool uses_up() const override { return fold_; }
  Status prepare(const Preparation& with) override {
    TROTH_TRY_VOID(no_tokens_yet(change_.token));
    if (raw_.size() == 0)
      return fail(ErrorCode::InvalidArgument, "nothing to append");
    base_.reset();
    const common::ByteView bytes = raw_.in(with.call);
    if (!fold_) {
      tail_.assign(bytes.begin(), bytes.end());
      return {};
    }
    TROTH_TRY(base_, present_base(with.volume, change_.fid.node));
    if (!base_)
      return {};
    TROTH_TRY(content_,
              store::append_content(with.volume->blocks(), with.upload, base_->content, bytes));
    return {};
  }

  [[nodiscard]] bool is_upload() const override { return true; }

  Status look(StepLook& look) override {
    look_up_held(look, change_.fid.node, held_);
    TROTH_TRY(const Attributes node, writable_file(look, held_, change_.fid.node));
    if (look.only_rights())
      return {};
    store::SetAttributes set;
    set.node = node.node;
    clear_set_ids(look, node, set);
    look.touch(node.node, what::kBytes | what::kAttributes);
    if (fold_ && !base_)
      return made_meanwhile(node.node);
    if (fold_)
      look.add(store::SetContent{node.node, content_, base_->data_version});
    else
      look.add(store::AppendTail{node.node, tail_});
    if (set.mode)
      look.add(set);
    return {};
  }

  [[nodiscard]] bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::SetContent>(record, [&](const store::SetContent& one) {
      return one.node == change_.fid.node && one.content.size >= raw_.size();
    });
  }

  // Another append came first, or the bytes do not fit behind the tree: they go into it.
  bool again(const common::Error&) override {
    fold_ = true;
    return true;
  }

  // Also of a retry: the node as it was then.
  fileproto::ChangeOutcome outcome(const store::CommitReply& commit) override {
    fileproto::ChangeOutcome outcome;
    for (const store::NodeOutcome& node : commit.nodes) {
      if (node.attributes.node == change_.fid.node && node.attributes.size >= raw_.size())
        outcome.offset = node.attributes.size - raw_.size();
    }
    return outcome;
  }

 private:
  const fileproto::Append change_;
  CameAlong raw_;
  common::Bytes tail_;  // all of it, while it is short
  bool fold_;
  HeldFile held_;
  std::optional<Base> base_;
  Content content_;
};

}  // namespace

std::unique_ptr<Step> make_store_step(const fileproto::Change& change, common::ByteView raw) {
  if (const auto* const store = std::get_if<fileproto::Store>(&change))
    return std::make_unique<StoreStep>(*store, raw);
  if (const auto* const append = std::get_if<fileproto::Append>(&change))
    return std::make_unique<AppendStep>(*append, raw);
  return nullptr;
}

}  // namespace fileserver
