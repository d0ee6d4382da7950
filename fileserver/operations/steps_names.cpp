// Steps that make, move and remove names.

#include <cerrno>

#include "fileserver/operations/file_change.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/operations/open_files.hpp"
#include "fileserver/operations/session_ranges.hpp"
#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using store::Attributes;
using store::NodeKind;

constexpr std::uint32_t kSetGid = 02000;
// What happens to a directory whose entries change.
constexpr std::uint8_t kDirectoryChanges = what::kEntries | what::kAttributes;
constexpr std::uint8_t kMayGo = what::kAttributes | what::kGone;

// A name that is to be made in a directory, whatever makes it; judged before it is looked at.
Status must_not_exist(StepLook& look, NodeId directory, const std::string& name) {
  TROTH_TRY(const auto there, look.entry(directory, name));
  if (there)
    return fail_posix(EEXIST, "\"{}\" exists", name);
  return {};
}

struct Present {
  Attributes directory;
  Attributes node;
};

// A name that is there, in a directory out of which the caller may take it.
Result<Present> name_in(StepLook& look, NodeId id, const std::string& name) {
  Present present;
  TROTH_TRY(present.directory, look.directory(id));
  TROTH_TRY_VOID(look.may(look.judge().remove_from(present.directory)));
  TROTH_TRY(const auto there, look.entry(id, name));
  if (!there)
    return fail_posix(ENOENT, "there is no \"{}\"", name);
  present.node = *there;
  TROTH_TRY_VOID(look.may(look.judge().remove(present.directory, present.node)));
  return present;
}

Status must_be_free(StepLook& look, const Attributes& directory) {
  // As it is now, not when the call began.
  const VolumeEntryPtr volume = look.view().volumes().entry(look.view().volume().id());
  if (volume && volume->attachments.contains(directory.node))
    return fail_posix(EBUSY, "a volume is attached there");
  return {};
}

// --- new nodes ---

class MakeStep final : public Step {
 public:
  MakeStep(const fileproto::NewNode& made, NodeKind kind) : made_(made), kind_(kind) {}
  MakeStep& device(std::uint64_t device) {
    device_ = device;
    return *this;
  }
  MakeStep& target(const std::string& text) {
    const auto bytes = common::as_bytes(text);
    content_.size = content_.allocated = bytes.size();
    content_.tail.assign(bytes.begin(), bytes.end());
    return *this;
  }
  // It is open from its beginning on, under this number of the mount.
  MakeStep& open(std::uint64_t handle, std::uint64_t grow) {
    handle_ = handle;
    grow_ = grow;
    return *this;
  }
  MakeStep& bytes(common::ByteView raw) {
    raw_ = raw;
    return *this;
  }

  [[nodiscard]] bool uses_up() const override {
    return !made_.node || grow_ > 0 || raw_.size() > store::kMaxTail;
  }
  Status prepare(const Preparation& with) override {
    FileCall& call = with.call;
    const VolumeRef& volume = with.volume;
    if (id_.value == 0 && made_.node) {
      TROTH_TRY_VOID(check_own_node(call, volume.id(), *made_.node));
      id_ = *made_.node;
    }
    // Chosen here, so that further steps and its list can name it. Ids that are not used are lost.
    if (id_.value == 0) {
      TROTH_TRY_VOID(call.parts().allowances->node_ids.take(call.identity().client.id, 1));
      TROTH_TRY(id_, volume->grant_node_ids(1));
    }
    if (handle_ && !call.session())
      return fail(ErrorCode::Stale, "open a session first: open files are a session's");
    if (handle_) {
      TROTH_TRY_VOID(check_can_hold(*call.session(), *handle_, {volume.id(), id_}));
      TROTH_TRY_VOID(know_former_pins(*call.session(), volume));
    }
    if (grow_ > 0)
      TROTH_TRY_VOID(raise_reservation(call, volume, 0, grow_));
    if (!raw_.empty() && content_.size == 0) {
      TROTH_TRY(content_, store::make_content(volume->blocks(), with.upload, raw_));
    }
    return {};
  }

  Status look(StepLook& look) override {
    const access::Caller& caller = look.view().caller();
    TROTH_TRY(const Attributes directory, look.directory(made_.dir.node));
    TROTH_TRY_VOID(look.may(look.judge().make(directory, kind_)));
    const bool nameless = made_.name.empty();
    if (nameless && !handle_)
      return fail(ErrorCode::InvalidArgument, "a file without a name needs a handle");
    if (!nameless)
      TROTH_TRY_VOID(must_not_exist(look, made_.dir.node, made_.name));
    store::Create create;
    if (!nameless) {
      create.parent = made_.dir.node;
      create.name = made_.name;
    }
    create.kind = kind_;
    create.mode = made_.mode;
    create.uid = caller.uid();
    create.gid = caller.gid();
    create.device = device_;
    create.content = content_;
    const NodeId id = id_.value != 0 || !look.only_rights() ? id_
                      : made_.node                          ? *made_.node
                                                            : look.provisional_id();
    create.node = id;
    if ((directory.mode & kSetGid) != 0) {
      create.gid = directory.gid;
      if (kind_ == NodeKind::Directory)
        create.mode |= kSetGid;
    }
    if (kind_ != NodeKind::Directory && (create.mode & kSetGid) != 0 &&
        !caller.in_group(create.gid) && !caller.is_administrator())
      create.mode &= ~kSetGid;
    if (!nameless)
      look.touch(made_.dir.node, kDirectoryChanges);
    Attributes node;
    node.node = id;
    node.kind = kind_;
    node.mode = create.mode;
    node.uid = create.uid;
    node.gid = create.gid;
    // As the commit will count them: what has no name is its handle's alone.
    node.links = nameless ? 0 : kind_ == NodeKind::Directory ? 2 : 1;
    node.home = made_.dir.node;
    look.made(node);
    if (!nameless)
      look.names(made_.dir.node, made_.name, id);
    look.add(std::move(create));
    // From its beginning on: a file without a name that nobody holds is one that has to go.
    if (handle_)
      look.into().holds.push_back({.node = id, .pin = true, .keeper = {}});
    if (kind_ == NodeKind::Directory)
      return inherit_list(look, id, made_.dir.node);
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::Create>(record, [&](const store::Create& one) {
      return one.kind == kind_ && one.name == made_.name &&
             (made_.name.empty() || one.parent == made_.dir.node) &&
             (!made_.node || one.node == *made_.node) &&
             (kind_ != NodeKind::File || one.content.size == raw_.size());
    });
  }

  void replayed(std::span<const NodeId>& created) override {
    if (created.empty())
      return;
    id_ = created.front();
    created = created.subspan(1);
  }

  Status done(FileCall& call, const VolumeRef& volume, const fileproto::Speaker& as,
              const store::CommitReply& commit) override {
    // An id that has become a node is not missed.
    if (!commit.replayed)
      call.parts().allowances->node_ids.give_back(call.identity().client.id, 1);
    if (!handle_)
      return {};
    const Fid fid{volume.id(), id_};
    OpenHandle handle{fid, commit.seq, CallView::owner_of(call, as), true, true};
    if (!commit.replayed)
      return hold_pinned(*call.session(), volume, *handle_, handle);
    if (is_held(*call.session(), *handle_, fid, handle.owner))
      return {};
    TROTH_TRY_VOID(judge_again(call, volume, as, handle));
    if (!handle.read && !handle.write)
      return {};
    const Status held = hold(*call.session(), volume, *handle_, handle);
    // What it was then is forgotten, which does not make it undone.
    const bool forgotten = !held && (held.error().code == ErrorCode::Expired ||
                                     held.error().code == ErrorCode::NotFound);
    return forgotten ? Status() : held;
  }

  fileproto::ChangeOutcome outcome(const store::CommitReply&) override {
    fileproto::ChangeOutcome outcome;
    outcome.created = id_;
    return outcome;
  }

 private:
  // It was made long ago, perhaps, and is what its owner has made of it since: who made it has it
  // open again for what he may now. One that never had a name is his alone.
  Status judge_again(FileCall& call, const VolumeRef& volume, const fileproto::Speaker& as,
                     OpenHandle& handle) const {
    return look_at(call, volume, {.as = as}, [&](CallView& view) -> Status {
      TROTH_TRY(const auto node, view.source().attributes(id_));
      handle.read = handle.write =
          node && node->links == 0 && made_.name.empty() && node->uid == view.caller().uid();
      if (node && node->links > 0) {
        handle.read = view.allows(view.judge().fetch(*node));
        handle.write = view.allows(view.judge().store(*node));
      }
      return {};
    });
  }
  // A new directory gets a copy of its parent's list, as earlier steps leave it.
  static Status inherit_list(StepLook& look, NodeId made, NodeId parent) {
    std::optional<common::Bytes> list;
    TROTH_TRY(list, list_of(look, parent));
    if (list)
      look.add(store::SetXattr{made, std::string(access::kAclXattr), *std::move(list)});
    return {};
  }
  static Result<std::optional<common::Bytes>> list_of(StepLook& look, NodeId directory) {
    const auto& earlier = look.into().operations;
    for (auto one = earlier.rbegin(); one != earlier.rend(); ++one) {
      if (const auto* const set = std::get_if<store::SetXattr>(&*one);
          set != nullptr && set->node == directory && set->name == access::kAclXattr)
        return std::optional(set->value);
      if (const auto* const removed = std::get_if<store::RemoveXattr>(&*one);
          removed != nullptr && removed->node == directory && removed->name == access::kAclXattr)
        return std::optional<common::Bytes>();
    }
    const Moment& moment = look.view().moment();
    return store::read_xattr(moment.tx, directory, access::kAclXattr, moment.at);
  }

  const fileproto::NewNode made_;
  const NodeKind kind_;
  std::uint64_t device_ = 0;
  std::optional<std::uint64_t> handle_;
  std::uint64_t grow_ = 0;
  common::ByteView raw_;
  store::Content content_;
  NodeId id_;
};

// --- names of what is there ---

class LinkStep final : public Step {
 public:
  explicit LinkStep(const fileproto::Link& change) : change_(change) {}

  Status look(StepLook& look) override {
    TROTH_TRY(const Attributes node, look.node(change_.fid.node));
    TROTH_TRY(const Attributes directory, look.directory(change_.dir.node));
    TROTH_TRY_VOID(look.may(look.judge().link(node, directory)));
    TROTH_TRY_VOID(must_not_exist(look, change_.dir.node, change_.name));
    look.touch(node.node, what::kAttributes);
    look.touch(directory.node, kDirectoryChanges);
    look.names(directory.node, change_.name, node.node);
    look.add(store::Link{node.node, directory.node, change_.name});
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::Link>(record, [&](const store::Link& one) {
      return one.node == change_.fid.node && one.parent == change_.dir.node &&
             one.name == change_.name;
    });
  }

 private:
  const fileproto::Link change_;
};

class UnlinkStep final : public Step {
 public:
  explicit UnlinkStep(const fileproto::Unlink& change) : change_(change) {}

  Status look(StepLook& look) override {
    TROTH_TRY(const Present present, name_in(look, change_.dir.node, change_.name));
    if (present.node.kind == NodeKind::Directory)
      return fail_posix(EISDIR, "\"{}\" is a directory", change_.name);
    look.touch(change_.dir.node, kDirectoryChanges);
    look.touch(present.node.node, kMayGo);
    look.names(change_.dir.node, change_.name, std::nullopt);
    look.add(store::Unlink{change_.dir.node, change_.name});
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::Unlink>(record, [&](const store::Unlink& one) {
      return one.parent == change_.dir.node && one.name == change_.name;
    });
  }

 private:
  const fileproto::Unlink change_;
};

class RmdirStep final : public Step {
 public:
  explicit RmdirStep(const fileproto::Rmdir& change) : change_(change) {}

  Status look(StepLook& look) override {
    TROTH_TRY(const Present present, name_in(look, change_.dir.node, change_.name));
    if (present.node.kind != NodeKind::Directory)
      return fail_posix(ENOTDIR, "\"{}\" is not a directory", change_.name);
    TROTH_TRY_VOID(must_be_free(look, present.node));
    TROTH_TRY(const bool empty, look.is_empty(present.node.node));
    if (!empty)
      return fail_posix(ENOTEMPTY, "\"{}\" is not empty", change_.name);
    look.touch(change_.dir.node, kDirectoryChanges);
    look.touch(present.node.node, kMayGo);
    look.names(change_.dir.node, change_.name, std::nullopt);
    look.add(store::RemoveDirectory{change_.dir.node, change_.name});
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::RemoveDirectory>(record, [&](const store::RemoveDirectory& one) {
      return one.parent == change_.dir.node && one.name == change_.name;
    });
  }

 private:
  const fileproto::Rmdir change_;
};

class RenameStep final : public Step {
 public:
  explicit RenameStep(const fileproto::Rename& change) : change_(change) {}

  Status look(StepLook& look) override {
    access::Judge& judge = look.judge();
    Present from;
    TROTH_TRY(from.directory, look.directory(change_.dir.node));
    TROTH_TRY(const Attributes to, look.directory(change_.to.node));
    const bool exchange = change_.mode == fileproto::RenameMode::Exchange;
    TROTH_TRY_VOID(look.may(judge.rename({from.directory}, {to}, exchange)));
    TROTH_TRY(const auto moved, look.entry(from.directory.node, change_.name));
    if (!moved)
      return fail_posix(ENOENT, "there is no \"{}\"", change_.name);
    from.node = *moved;
    TROTH_TRY(const auto target, look.entry(to.node, change_.to_name));
    if (target && change_.mode == fileproto::RenameMode::NoReplace)
      return fail_posix(EEXIST, "\"{}\" exists", change_.to_name);
    if (!target && exchange)
      return fail_posix(ENOENT, "there is no \"{}\"", change_.to_name);
    TROTH_TRY_VOID(look.may(
        judge.rename({from.directory, &from.node}, {to, target ? &*target : nullptr}, exchange)));
    if (target) {
      if (!exchange)
        TROTH_TRY_VOID(must_be_free(look, *target));
      look.touch(target->node, exchange ? what::kAttributes : kMayGo);
    }
    look.touch(from.directory.node, kDirectoryChanges);
    look.touch(to.node, kDirectoryChanges);
    look.touch(from.node.node, what::kAttributes);
    look.names(from.directory.node, change_.name,
               exchange ? std::optional(target->node) : std::nullopt);
    look.names(to.node, change_.to_name, from.node.node);
    store::Rename rename;
    rename.from_parent = from.directory.node;
    rename.from_name = change_.name;
    rename.to_parent = to.node;
    rename.to_name = change_.to_name;
    rename.mode = static_cast<store::RenameMode>(change_.mode);
    look.add(std::move(rename));
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::Rename>(record, [&](const store::Rename& one) {
      return one.from_parent == change_.dir.node && one.from_name == change_.name &&
             one.to_parent == change_.to.node && one.to_name == change_.to_name;
    });
  }

 private:
  const fileproto::Rename change_;
};

struct NameStepMaker {
  common::ByteView raw;
  using Made = std::unique_ptr<Step>;
  Made operator()(const fileproto::Create& c) const {
    auto step = std::make_unique<MakeStep>(c.made, NodeKind::File);
    step->bytes(raw);
    if (c.handle)
      step->open(*c.handle, c.grow);
    return step;
  }
  Made operator()(const fileproto::Mkdir& c) const {
    return std::make_unique<MakeStep>(c.made, NodeKind::Directory);
  }
  Made operator()(const fileproto::Mknod& c) const {
    auto step = std::make_unique<MakeStep>(c.made, static_cast<NodeKind>(c.kind));
    step->device(c.device);
    return step;
  }
  Made operator()(const fileproto::Symlink& c) const {
    auto step = std::make_unique<MakeStep>(c.made, NodeKind::Symlink);
    step->target(c.target);
    return step;
  }
  Made operator()(const fileproto::Link& c) const { return std::make_unique<LinkStep>(c); }
  Made operator()(const fileproto::Unlink& c) const { return std::make_unique<UnlinkStep>(c); }
  Made operator()(const fileproto::Rmdir& c) const { return std::make_unique<RmdirStep>(c); }
  Made operator()(const fileproto::Rename& c) const { return std::make_unique<RenameStep>(c); }
  template <typename C>
  Made operator()(const C&) const {
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<Step> make_name_step(const fileproto::Change& change, common::ByteView raw) {
  return std::visit(NameStepMaker{raw}, change);
}

}  // namespace fileserver
