#include "fileserver/content/content_access.hpp"

#include <algorithm>
#include <cerrno>

#include "fileserver/operations/look_at.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::Seq;
using store::Attributes;
using store::NodeKind;

// Versions with the same bytes that are looked at for a right: who changed modes more often in
// between is judged by the newest of them.
constexpr std::size_t kMostVersions = 64;
// Directories of a way that are gone with all that was in them.
constexpr int kMostGone = 64;

tl::unexpected<common::Error> with_why(common::Error error, fileproto::FailureWhy why) {
  fileproto::FailureDetail detail;
  detail.why = why;
  return tl::unexpected(fileproto::with_detail(std::move(error), detail));
}

Result<Attributes> present(CallView& view, NodeId id) {
  TROTH_TRY(const auto node, view.source().attributes(id));
  if (!node)
    return fail_posix(ENOENT, "there is no node {}", id.value);
  return *node;
}

Status may_read_at(CallView& view, NodeId node, Seq seq) {
  access::StoreSource then(view.moment().tx, seq);
  TROTH_TRY(const auto attributes, then.attributes(node));
  if (!attributes)
    return fail_posix(ENOENT, "there was no node {} at {}", node.value, seq.value);
  access::Judge judge({.caller = view.caller(), .source = then, .volume = view.volume().id()});
  return may_read(judge, view, *attributes);
}

// A handle pins the version, or one with the same bytes.
Result<bool> pins(CallView& view, const HeldFile& held, NodeId node, Seq version) {
  for (const Seq pinned : held.versions) {
    if (pinned == version)
      return true;
    TROTH_TRY(const auto then, store::read_attributes(view.moment().tx, node, pinned));
    if (then && then->data_version == version)
      return true;
  }
  return false;
}

// A file that was made without a name, and is open as that: its bytes are stored before it gets
// one (R24).
Result<bool> is_nameless(CallView& view, const HeldFile& held, NodeId node) {
  if (!held.write)
    return false;
  for (const Seq pinned : held.versions) {
    TROTH_TRY(const auto then, store::read_attributes(view.moment().tx, node, pinned));
    if (then && then->links == 0)
      return true;
  }
  return false;
}

}  // namespace

HeldFile held_file(CallView& view, NodeId node) {
  HeldFile file;
  if (view.session() == nullptr || view.is_past())
    return file;
  const Fid fid{view.volume().id(), node};
  auto held = view.session()->held.lock();
  for (const auto& [number, handle] : held->handles) {
    if (handle.fid != fid || handle.owner != view.owner())
      continue;
    file.read = file.read || handle.read;
    file.write = file.write || handle.write;
    file.versions.push_back(handle.version);
  }
  return file;
}

void look_up_held(StepLook& look, NodeId node, HeldFile& held) {
  if (!look.view().moment().committing)
    held = held_file(look.view(), node);
}

Result<StagingOwner> staging_owner(const FileCall& call, const HandleOwner& owner) {
  StagingOwner staging;
  TROTH_TRY(staging.mount, call.mount());
  staging.principal = owner.principal.value;
  switch (owner.kind) {
    case HandleOwner::Kind::Principal:
      break;
    case HandleOwner::Kind::LocalUser:
      staging.whom = StagingOwner::For::LocalUser;
      staging.uid = owner.uid;
      break;
    case HandleOwner::Kind::Anybody:
      staging.whom = StagingOwner::For::Anybody;
      break;
  }
  return staging;
}

Status must_be_file(const Attributes& node) {
  if (node.kind == NodeKind::Directory)
    return fail_posix(EISDIR, "node {} is a directory", node.node.value);
  if (node.kind != NodeKind::File)
    return fail_posix(EINVAL, "node {} is not a regular file", node.node.value);
  return {};
}

Result<Attributes> readable_file(CallView& view, const HeldFile& held, NodeId id) {
  TROTH_TRY(const Attributes node, held.read ? present(view, id) : view.node(id));
  TROTH_TRY_VOID(must_be_file(node));
  if (!held.read)
    TROTH_TRY_VOID(view.may(view.judge().fetch(node)));
  return node;
}

Result<Attributes> storable_file(CallView& view, const HeldFile& held, NodeId id) {
  TROTH_TRY(const Attributes node, held.write ? present(view, id) : view.node(id));
  TROTH_TRY_VOID(must_be_file(node));
  if (!held.write)
    TROTH_TRY_VOID(view.may(view.judge().store(node)));
  return node;
}

Result<Attributes> writable_file(StepLook& look, const HeldFile& held, NodeId id) {
  CallView& view = look.view();
  TROTH_TRY(const Attributes node, storable_file(view, held, id));
  if (node.links == 0 && look.view().source().find_made(id) == nullptr) {
    TROTH_TRY(const bool nameless, is_nameless(view, held, id));
    if (!nameless)
      return with_why(
          {ErrorCode::Stale, "the file has no name any more: keep the data", {}, ESTALE},
          fileproto::FailureWhy::Gone);
  }
  // A content is made from what was there before the call: two of them in one commit would be one.
  for (const store::Operation& operation : look.into().operations) {
    const auto* const set = std::get_if<store::SetContent>(&operation);
    const auto* const append = std::get_if<store::AppendTail>(&operation);
    if ((set != nullptr && set->node == id) || (append != nullptr && append->node == id))
      return fail(ErrorCode::InvalidArgument,
                  "node {} is written twice in one batch: put both into one store", id.value);
  }
  return node;
}

Status may_read(access::Judge& judge, CallView& view, const Attributes& node) {
  if (node.kind == NodeKind::File)
    return view.may(judge.fetch(node));
  if (node.kind == NodeKind::Directory)
    return view.may(judge.list(node));
  return view.may(judge.reach(node));
}

Status may_read_past(CallView& view, const HeldFile& held, NodeId node, Seq version) {
  if (view.caller().is_administrator())
    return {};
  if (held.read) {
    TROTH_TRY(const bool pinned, pins(view, held, node, version));
    if (pinned)
      return {};
  }
  TROTH_TRY(const auto versions,
            store::read_versions(view.moment().tx, node, fileproto::kMaxHistory));
  const auto then = std::find_if(versions.begin(), versions.end(), [&](const auto& one) {
    return one.attributes.version <= version && (!one.until || version < *one.until);
  });
  if (then == versions.end())
    return with_why({ErrorCode::Expired, "that version of the file is forgotten", {}, 0},
                    fileproto::FailureWhy::Past);
  const Status asked = may_read_at(view, node, version);
  if (asked)
    return {};
  // Modes and names may have changed while the bytes were these.
  std::size_t looked = 0;
  for (const store::NodeVersion& one : versions) {
    if (one.attributes.data_version != then->attributes.data_version || !one.until)
      continue;
    if (++looked > kMostVersions)
      break;
    if (may_read_at(view, node, Seq{one.until->value - 1}) ||
        may_read_at(view, node, one.attributes.version))
      return {};
  }
  return asked;
}

namespace {

Status may_be_told(access::Judge& judge, CallView& view, const Attributes& node, Told told) {
  switch (told) {
    case Told::Attributes:
      break;
    case Told::Names:
      return view.may(judge.search(node));
    case Told::Bytes:
      TROTH_TRY_VOID(view.may(judge.reach(node)));
      return may_read(judge, view, node);
  }
  return view.may(judge.reach(node));
}

// The last version that had a name, and a seq at which it was that.
struct LastSeen {
  Attributes node;
  Seq at;
};
Result<LastSeen> last_seen(CallView& now, NodeId id) {
  TROTH_TRY(const auto versions, store::read_versions(now.moment().tx, id, kMostVersions));
  const auto last = std::find_if(versions.begin(), versions.end(),
                                 [](const auto& one) { return one.attributes.links > 0; });
  if (last == versions.end())
    return fail_posix(ENOENT, "there is no such node");
  const Seq at = last->until ? Seq{last->until->value - 1} : last->attributes.version;
  return LastSeen{last->attributes, at};
}

}  // namespace

Status may_read_now(CallView& now, NodeId node, Told told) {
  if (now.caller().is_administrator())
    return {};
  NodeId id = node;
  for (int gone = 0; gone < kMostGone; ++gone) {
    TROTH_TRY(const auto present, now.source().attributes(id));
    const bool has_name = present && present->links > 0;
    const bool is_itself = gone == 0;
    if (is_itself && present && (has_name || now.allows(now.judge().reach(*present))))
      return may_be_told(now.judge(), now, *present, told);
    if (has_name) {
      TROTH_TRY_VOID(now.may(now.judge().list(*present)));
      return now.may(now.judge().search(*present));
    }
    TROTH_TRY(const LastSeen last, last_seen(now, id));
    access::StoreSource then(now.moment().tx, last.at);
    access::Judge judge({.caller = now.caller(), .source = then, .volume = now.volume().id()});
    if (is_itself)
      TROTH_TRY_VOID(may_be_told(judge, now, last.node, told));
    else
      TROTH_TRY_VOID(now.may(judge.search(last.node)));
    id = last.node.home;
  }
  return fail_posix(ENOENT, "there is no such node");
}

Status judge_now(FileCall& call, const VolumeRef& volume, const fileproto::Scope& scope,
                 NodeId node, Told told) {
  if (!scope.at)
    return {};
  fileproto::Scope present = scope;
  present.at.reset();
  return look_at(call, volume, present,
                 [&](CallView& now) { return may_read_now(now, node, told); });
}

bool might_read_then(CallView& view, const store::NodeVersion& version) {
  if (!version.until || view.caller().is_administrator())
    return true;  // what is there now has been judged
  const NodeId node = version.attributes.node;
  return may_read_at(view, node, version.attributes.version) ||
         may_read_at(view, node, Seq{version.until->value - 1});
}

Result<store::Content> past_content(const VolumeRef& volume, NodeId node, Seq version) {
  auto content = volume->content(node, version);
  if (!content && content.error().code == ErrorCode::Expired)
    return with_why(std::move(content).error(), fileproto::FailureWhy::Past);
  return content;
}

Status must_administer_volume(const CallView& view) {
  if (view.caller().is_administrator())
    return {};
  return fail_posix(EPERM, "that is for administrators of volume \"{}\"",
                    view.volume().entry().name);
}

}  // namespace fileserver
