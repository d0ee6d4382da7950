// Steps that change what a node is: modes, owners, times, sizes, extended attributes, lists.

#include <cerrno>

#include "fileserver/operations/file_change.hpp"
#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::fail_posix;
using store::Attributes;
using store::NodeKind;

class SetattrStep final : public Step {
 public:
  explicit SetattrStep(const fileproto::Setattr& change) : change_(change) {}

  [[nodiscard]] bool uses_up() const override { return change_.size && *change_.size != 0; }
  // The new content of a file whose size changes, made of the present one.
  Status prepare(const Preparation& with) override {
    const VolumeRef& volume = with.volume;
    base_.reset();
    if (!change_.size)
      return {};
    const NodeId node = change_.fid.node;
    const auto attributes = volume->attributes(node);
    if (!attributes && attributes.error().code != common::ErrorCode::NotFound)
      return tl::unexpected(attributes.error());
    if (!attributes || attributes->kind != NodeKind::File)
      return {};
    TROTH_TRY(const store::Content base, volume->content(node));
    TROTH_TRY(content_,
              store::edit_content(volume->blocks(), with.upload, base, {}, *change_.size));
    base_ = attributes->data_version;
    return {};
  }

  Status look(StepLook& look) override {
    TROTH_TRY(const Attributes node, look.node(change_.fid.node));
    const access::AttributeWish wish = wish_of(change_);
    TROTH_TRY_VOID(look.may(look.judge().set_attributes(node, wish)));
    store::SetAttributes set;
    set.node = node.node;
    set.uid = change_.uid;
    set.gid = change_.gid;
    if (const std::uint32_t mode = access::mode_after(look.view().caller(), node, wish);
        mode != node.mode || change_.mode)
      set.mode = mode;
    if (change_.mtime) {
      set.mtime = change_.mtime->to;
      set.mtime_now = !change_.mtime->to;
    }
    if (change_.atime) {
      set.atime = change_.atime->to;
      set.atime_now = !change_.atime->to;
    }
    std::uint8_t what = what::kAttributes;
    if (change_.size) {
      if (node.kind == NodeKind::Directory)
        return fail_posix(EISDIR, "node {} is a directory", node.node.value);
      if (node.kind != NodeKind::File)
        return fail_posix(EINVAL, "node {} is not a regular file", node.node.value);
      if (look.only_rights())
        return {};
      if (!base_)
        return nothing_to_cut(look, node);
      look.add(store::SetContent{node.node, content_, base_});
      what |= what::kBytes;
    }
    look.touch(node.node, what);
    look.add(set);
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    // A time that the call only calls "now" is whatever it was then.
    const auto agrees = [](const std::optional<fileproto::SetTime>& asked,
                           const std::optional<store::FileTime>& was) {
      return !asked || !asked->to || asked->to == was;
    };
    return any_operation<store::SetAttributes>(record, [&](const store::SetAttributes& one) {
      return one.node == change_.fid.node && one.uid == change_.uid && one.gid == change_.gid &&
             agrees(change_.mtime, one.mtime) && agrees(change_.atime, one.atime);
    });
  }

  // Somebody else stored first: the content is cut from what is there now.
  bool again(const common::Error&) override { return change_.size.has_value(); }

 private:
  static access::TimeWish wish_of(const std::optional<fileproto::SetTime>& time) {
    if (!time)
      return access::TimeWish::None;
    return time->to ? access::TimeWish::Given : access::TimeWish::Now;
  }
  // The file was not there when its content was to be made: what it holds must not be lost for it.
  static Status nothing_to_cut(StepLook& look, const Attributes& node) {
    if (look.view().source().find_made(node.node) != nullptr)
      return common::fail(common::ErrorCode::InvalidArgument,
                          "node {} is made in the same batch: give it its bytes there",
                          node.node.value);
    return common::fail(common::ErrorCode::Conflict, "node {} was made while this was under way",
                        node.node.value);
  }
  static access::AttributeWish wish_of(const fileproto::Setattr& change) {
    return {change.mode,           change.uid,           change.gid, change.size.has_value(),
            wish_of(change.mtime), wish_of(change.atime)};
  }

  const fileproto::Setattr change_;
  store::Content content_;
  std::optional<store::Seq> base_;
};

// --- extended attributes ---

class SetXattrStep final : public Step {
 public:
  explicit SetXattrStep(const fileproto::SetXattr& change) : change_(change) {}

  Status look(StepLook& look) override {
    TROTH_TRY(const Attributes node, look.node(change_.fid.node));
    TROTH_TRY_VOID(look.may(look.judge().set_xattr(node, change_.name)));
    look.touch(node.node, what::kAttributes);
    store::SetXattr set;
    set.node = node.node;
    set.name = change_.name;
    const auto value = common::as_bytes(change_.value);
    set.value.assign(value.begin(), value.end());
    set.mode = static_cast<store::XattrMode>(change_.mode);
    look.add(std::move(set));
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::SetXattr>(record, [&](const store::SetXattr& one) {
      return one.node == change_.fid.node && one.name == change_.name &&
             common::as_text(one.value) == change_.value;
    });
  }

 private:
  const fileproto::SetXattr change_;
};

class RemoveXattrStep final : public Step {
 public:
  explicit RemoveXattrStep(const fileproto::RemoveXattr& change) : change_(change) {}

  Status look(StepLook& look) override {
    TROTH_TRY(const Attributes node, look.node(change_.fid.node));
    TROTH_TRY_VOID(look.may(look.judge().set_xattr(node, change_.name)));
    TROTH_TRY(const auto there, store::read_xattr(look.view().moment().tx, node.node, change_.name,
                                                  look.view().moment().at));
    if (!there)
      return fail_posix(ENODATA, "there is no extended attribute \"{}\"", change_.name);
    look.touch(node.node, what::kAttributes);
    look.add(store::RemoveXattr{node.node, change_.name});
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    return any_operation<store::RemoveXattr>(record, [&](const store::RemoveXattr& one) {
      return one.node == change_.fid.node && one.name == change_.name;
    });
  }

 private:
  const fileproto::RemoveXattr change_;
};

// --- lists ---

class SetAclStep final : public Step {
 public:
  explicit SetAclStep(const fileproto::SetAcl& change) : change_(change) {}

  Status look(StepLook& look) override {
    TROTH_TRY(const Attributes node, look.directory(change_.fid.node));
    TROTH_TRY_VOID(look.may(look.judge().set_list(node)));
    look.touch(node.node, what::kAccess | what::kAttributes);
    look.into().changes_lists = true;
    if (change_.acl) {
      TROTH_TRY(const access::Acl list, access::canonical(*change_.acl));
      look.add(
          store::SetXattr{node.node, std::string(access::kAclXattr), access::encode_acl(list)});
      return {};
    }
    TROTH_TRY(const auto there, store::read_xattr(look.view().moment().tx, node.node,
                                                  access::kAclXattr, look.view().moment().at));
    if (there)
      look.add(store::RemoveXattr{node.node, std::string(access::kAclXattr)});
    else
      look.add(store::SetAttributes{.node = node.node});  // there is none already
    return {};
  }

  bool may_be_in(std::span<const store::Operation> record) const override {
    const auto names = [&](const auto& one) { return one.node == change_.fid.node; };
    return any_operation<store::SetXattr>(record, names) ||
           any_operation<store::RemoveXattr>(record, names) ||
           any_operation<store::SetAttributes>(record, names);
  }

 private:
  const fileproto::SetAcl change_;
};

struct AttributeStepMaker {
  using Made = std::unique_ptr<Step>;
  Made operator()(const fileproto::Setattr& c) const { return std::make_unique<SetattrStep>(c); }
  Made operator()(const fileproto::SetXattr& c) const { return std::make_unique<SetXattrStep>(c); }
  Made operator()(const fileproto::RemoveXattr& c) const {
    return std::make_unique<RemoveXattrStep>(c);
  }
  Made operator()(const fileproto::SetAcl& c) const { return std::make_unique<SetAclStep>(c); }
  template <typename C>
  Made operator()(const C&) const {
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<Step> make_attribute_step(const fileproto::Change& change) {
  return std::visit(AttributeStepMaker{}, change);
}

}  // namespace fileserver
