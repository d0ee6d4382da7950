// Volumes as administrators manage them. Who is one: a member of system:administrators, as the
// caller's ticket says; for a volume's own quota, also who its policy names.

#include <algorithm>
#include <cerrno>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/volumes.hpp"
#include "common/log/log.hpp"
#include "common/wire/binary.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/sessions/sessions.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::rpc::Reply;
using fileproto::decode;

Status must_administer(FileCall& call) {
  if (call.identity().in_group(common::ticket::kAdministrators))
    return {};
  return fail(ErrorCode::PermissionDenied,
              "that is for members of system:administrators; a membership counts from the next "
              "login on");
}

std::string_view text_of(VolumeState state) {
  switch (state) {
    case VolumeState::Closed:
      return "closed";
    case VolumeState::Opening:
      return "opening";
    case VolumeState::Open:
      return "open";
    case VolumeState::Closing:
      return "closing";
    case VolumeState::Unavailable:
      return "unavailable";
  }
  return "";
}

std::vector<std::uint32_t> numbers_of(const std::vector<PrincipalId>& principals) {
  std::vector<std::uint32_t> numbers;
  for (const PrincipalId principal : principals)
    numbers.push_back(principal.value);
  return numbers;
}

std::vector<PrincipalId> principals_of(std::vector<std::uint32_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<PrincipalId> principals;
  for (const std::uint32_t number : numbers)
    principals.emplace_back(number);
  return principals;
}

fileproto::VolumePolicy describe(const VolumePolicy& policy) {
  return {static_cast<fileproto::WriteConflict>(policy.write_conflict),
          static_cast<fileproto::CloseLevel>(policy.close_level), numbers_of(policy.trusted_hosts),
          numbers_of(policy.administrators)};
}

VolumePolicy policy_of(const fileproto::VolumePolicy& policy) {
  return {static_cast<WriteConflict>(policy.write_conflict),
          static_cast<CloseLevel>(policy.close_level), principals_of(policy.trusted_hosts),
          principals_of(policy.administrators)};
}

fileproto::VolumeDescription describe(const VolumeReport& report) {
  const VolumeEntry& entry = *report.entry;
  fileproto::VolumeDescription out;
  out.volume = entry.id;
  out.uuid = entry.uuid;
  out.name = entry.name;
  out.root = entry.is_root;
  out.sealed = entry.sealed;
  out.policy = describe(entry.policy);
  out.attached = entry.attached_at;
  out.state = text_of(report.state);
  out.why = report.why.substr(0, fileproto::kMaxReasonBytes);
  return out;
}

Result<VolumeEntryPtr> find(FileCall& call, const fileproto::VolumeRef& which) {
  VolumeSet& volumes = call.parts().volumes;
  const VolumeEntryPtr entry = which.volume ? volumes.entry(*which.volume)
                               : which.name ? volumes.find(*which.name)
                                            : nullptr;
  if (entry == nullptr)
    return fail(ErrorCode::NotFound, "there is no such volume on this server");
  return entry;
}

Result<Reply> reply_with(FileCall& call, VolumeId id) {
  fileproto::VolumeResult result;
  const auto all = call.parts().volumes.list();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const VolumeReport& one) { return one.entry->id == id; });
  if (found == all.end())
    return fail(ErrorCode::NotFound, "there is no such volume on this server");
  result.volume = describe(*found);
  if (const auto volume = call.volume(id)) {
    TROTH_TRY(const store::Usage usage, (*volume)->usage());
    result.volume.quota_bytes = usage.quota_bytes;
    result.volume.quota_nodes = usage.quota_nodes;
    result.volume.used_bytes = usage.bytes;
    result.volume.used_nodes = usage.nodes;
  } else {
    result.volume.why = volume.error().message.substr(0, fileproto::kMaxReasonBytes);
  }
  return Reply::text(encode(result));
}

void note(FileCall& call, std::string_view what, const VolumeEntry& volume) {
  common::log::info("a volume was administered", {{"what", what},
                                                  {"volume", volume.id.value},
                                                  {"name", volume.name},
                                                  {"by", call.identity().client.name},
                                                  {"trace", call.rpc().head().trace}});
}

Result<Reply> volume_create(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeCreateArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  VolumeSet::Creation wanted;
  wanted.name = args.name;
  wanted.root = args.root;
  wanted.sealed = args.sealed;
  wanted.policy = policy_of(args.policy);
  wanted.quota_bytes = args.quota_bytes;
  wanted.quota_nodes = args.quota_nodes;
  wanted.uid = args.uid;
  wanted.gid = args.gid;
  wanted.mode = args.mode;
  TROTH_TRY(const VolumeEntryPtr entry, call.parts().volumes.create(wanted));
  note(call, "create", *entry);
  return reply_with(call, entry->id);
}

Result<Reply> volume_show(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeShowArgs>(call.args()));
  TROTH_TRY(const VolumeEntryPtr entry, find(call, args.which));
  return reply_with(call, entry->id);
}

Result<Reply> volume_list(FileCall& call) {
  TROTH_TRY([[maybe_unused]] const auto args, decode<fileproto::VolumeListArgs>(call.args()));
  fileproto::VolumeListResult result;
  for (const VolumeReport& report : call.parts().volumes.list())
    result.volumes.push_back(describe(report));
  return Reply::text(encode(result));
}

Result<Reply> volume_delete(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeDeleteArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  TROTH_TRY(const VolumeEntryPtr entry, find(call, args.which));
  TROTH_TRY_VOID(call.parts().volumes.remove(entry->id, call.deadline()));
  call.parts().sessions.volume_deleted(entry->id);
  note(call, "delete", *entry);
  return Reply::text(encode(fileproto::Done{}));
}

Result<Reply> volume_rename(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeRenameArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  TROTH_TRY(const VolumeEntryPtr entry, find(call, args.which));
  TROTH_TRY(const VolumeEntryPtr renamed, call.parts().volumes.rename(entry->id, args.to));
  note(call, "rename", *renamed);
  return reply_with(call, entry->id);
}

Result<Reply> volume_policy(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumePolicyArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  TROTH_TRY(const VolumeEntryPtr entry, find(call, args.which));
  TROTH_TRY(const VolumeEntryPtr changed,
            call.parts().volumes.set_policy(entry->id, policy_of(args.policy)));
  note(call, "policy", *changed);
  return reply_with(call, entry->id);
}

// --- those that are commits ---

class AdminChange : public Change {
 public:
  explicit AdminChange(VolumeRef volume) : Change(std::move(volume)) {}
  Result<Reply> reply(FileCall& call, const ChangeResult&) override {
    return reply_with(call, volume().id());
  }
};

class QuotaChange final : public AdminChange {
 public:
  QuotaChange(VolumeRef volume, const fileproto::VolumeQuotaArgs& args)
      : AdminChange(std::move(volume)), args_(args) {}

  Status look(FileCall& call, const Moment&, Look& into) override {
    TROTH_TRY_VOID(must_administer(call));
    const auto set = [&](std::string_view key, const std::optional<std::uint64_t>& value) {
      if (!value)
        return;
      store::SetSetting setting;
      setting.key = key;
      if (*value != 0)
        setting.value = common::wire::BinaryWriter().u64(*value).take();
      into.operations.emplace_back(std::move(setting));
    };
    set(store::kQuotaBytes, args_.bytes);
    set(store::kQuotaNodes, args_.nodes);
    if (into.operations.empty())
      return fail(ErrorCode::InvalidArgument, "say which quota, of bytes or of nodes");
    return {};
  }

 private:
  const fileproto::VolumeQuotaArgs args_;
};

Result<Reply> volume_quota(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeQuotaArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  TROTH_TRY_VOID(call.speaks_for(std::nullopt, 0));
  if (call.rpc().parked())
    return call.change(nullptr);
  TROTH_TRY(const VolumeEntryPtr entry, find(call, args.which));
  TROTH_TRY(VolumeRef volume, call.volume(entry->id));
  note(call, "quota", *entry);
  return call.change(std::make_unique<QuotaChange>(std::move(volume), args));
}

// What lies on a directory is one of its attributes: who was promised them is asked first. The
// commit says nothing but that they changed.
class PlaceChange : public Change {
 public:
  PlaceChange(VolumeRef parent, NodeId directory, VolumeId child)
      : Change(std::move(parent)), directory_(directory), child_(child) {}

  Status look(FileCall& call, const Moment& moment, Look& into) override {
    TROTH_TRY_VOID(must_administer(call));
    TROTH_TRY(const auto found, store::read_attributes(moment.tx, directory_, moment.at));
    if (!found)
      return fail_posix(ENOENT, "there is no node {}", directory_.value);
    if (found->kind != store::NodeKind::Directory)
      return fail_posix(ENOTDIR, "node {} is not a directory", directory_.value);
    if (directory_ == store::kRootNode)
      return fail(ErrorCode::InvalidArgument, "a volume's own root is not to be covered");
    into.touch(directory_, what::kAttributes);
    into.operations.emplace_back(store::SetAttributes{.node = directory_});
    return {};
  }
  Result<Reply> reply(FileCall& call, const ChangeResult&) override {
    return reply_with(call, child_);
  }

 protected:
  [[nodiscard]] Fid place() const { return {volume().id(), directory_}; }
  [[nodiscard]] VolumeId child() const { return child_; }

 private:
  const NodeId directory_;
  const VolumeId child_;
};

// It lies there before the commit: a directory that somebody removes meanwhile is found gone by the
// commit, and nobody removes it later.
class AttachChange final : public PlaceChange {
 public:
  AttachChange(VolumeSet& volumes, VolumeRef parent, NodeId directory, VolumeId child)
      : PlaceChange(std::move(parent), directory, child), volumes_(volumes) {}

  Result<store::CommitReply> commit(const store::CommitRequest& request) override {
    const VolumeEntryPtr entry = volumes_.entry(child());
    // A former life of this server may have come so far.
    const bool lies_there = entry && entry->attached_at == place();
    if (!lies_there)
      TROTH_TRY_VOID(volumes_.attach(child(), place()));
    auto done = volume()->commit(request);
    if (!done && !lies_there)
      static_cast<void>(volumes_.detach(child()));
    return done;
  }

 private:
  VolumeSet& volumes_;
};

class DetachChange final : public PlaceChange {
 public:
  DetachChange(VolumeSet& volumes, VolumeRef parent, NodeId directory, VolumeId child)
      : PlaceChange(std::move(parent), directory, child), volumes_(volumes) {}

  // Between marks and reply: nobody is promised the directory meanwhile. What came of it is told
  // later, for the commit itself is done.
  Result<store::CommitReply> commit(const store::CommitRequest& request) override {
    TROTH_TRY(auto done, volume()->commit(request));
    if (done.replayed)
      return done;
    if (const auto was = volumes_.detach(child()); !was)
      detached_ = tl::unexpected(was.error());
    return done;
  }
  Result<Reply> reply(FileCall& call, const ChangeResult& result) override {
    TROTH_TRY_VOID(detached_);
    return PlaceChange::reply(call, result);
  }

 private:
  VolumeSet& volumes_;
  Status detached_;
};

Result<Reply> volume_attach(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeAttachArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  TROTH_TRY_VOID(call.speaks_for(std::nullopt, 0));
  if (call.rpc().parked())
    return call.change(nullptr);
  TROTH_TRY(const VolumeEntryPtr child, find(call, args.which));
  TROTH_TRY(VolumeRef parent, call.volume(args.dir.volume));
  note(call, "attach", *child);
  return call.change(std::make_unique<AttachChange>(call.parts().volumes, std::move(parent),
                                                    args.dir.node, child->id));
}

Result<Reply> volume_detach(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumeDetachArgs>(call.args()));
  TROTH_TRY_VOID(must_administer(call));
  TROTH_TRY_VOID(call.speaks_for(std::nullopt, 0));
  if (call.rpc().parked())
    return call.change(nullptr);
  TROTH_TRY(const VolumeEntryPtr child, find(call, args.which));
  if (!child->attached_at)
    return fail(ErrorCode::NotFound, "volume \"{}\" is attached nowhere", child->name);
  note(call, "detach", *child);
  auto parent = call.volume(child->attached_at->volume);
  if (!parent) {
    // Nobody is promised anything of a volume that cannot be opened.
    TROTH_TRY([[maybe_unused]] const Fid where, call.parts().volumes.detach(child->id));
    return reply_with(call, child->id);
  }
  return call.change(std::make_unique<DetachChange>(call.parts().volumes, *std::move(parent),
                                                    child->attached_at->node, child->id));
}

}  // namespace

std::span<const FileOperation> volume_operations() {
  static constexpr FileOperation kOperations[] = {
      {.name = "volume-create", .run = volume_create},
      {.name = "volume-show", .run = volume_show},
      {.name = "volume-list", .run = volume_list},
      {.name = "volume-delete", .run = volume_delete},
      {.name = "volume-rename", .run = volume_rename},
      {.name = "volume-policy", .run = volume_policy},
      {.name = "volume-quota", .run = volume_quota, .needs_id = true},
      {.name = "volume-attach", .run = volume_attach, .needs_id = true},
      {.name = "volume-detach", .run = volume_detach, .needs_id = true},
  };
  return kOperations;
}

}  // namespace fileserver
