#include "common/fileproto/common_fields.hpp"

namespace common::fileproto {
namespace codec {

constexpr std::array<Letter, 3> kPermissionLetters{
    {{'r', permission::kRead}, {'w', permission::kWrite}, {'x', permission::kExecute}}};

template <typename F>
void fields(F& f, VolumesArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
}
template <typename F>
void fields(F& f, VolumeEntry& m) {
  f.number("volume", m.volume);
  f.hex("uuid", m.uuid);
  f.text("name", m.name, kMaxVolumeNameBytes);
  f.number("root", m.root);
  f.defaulted("flags", m.flags);
}
template <typename F>
void fields(F& f, VolumesResult& m) {
  f.list("volumes", m.volumes, kMaxVolumes, kObject);
}

template <typename F>
void fields(F& f, LookupArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("dir", m.dir);
  f.name("name", m.name);
}
template <typename F>
void fields(F& f, LookupResult& m) {
  state(f, m.state);
  f.object("dir", m.dir);
  f.optional_object("node", m.node);
}

template <typename F>
void fields(F& f, WalkArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("from", m.from);
  f.list("names", m.names, kMaxWalkNames, [](auto& item, std::string& name) { item.name(name); });
  f.require(!m.names.empty(), "names", "at least one");
}
template <typename F>
void fields(F& f, WalkResult& m) {
  state(f, m.state);
  f.object("from", m.from);
  f.list("steps", m.steps, kMaxWalkNames, kObject);
}

template <typename F>
void fields(F& f, GetattrArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.list("fids", m.fids, kMaxGetattrNodes, [](auto& item, Fid& fid) { item.fid(fid); });
  f.require(!m.fids.empty() && of_one_volume(m.fids), "fids", kOneVolume);
}

// Attributes, or {"error":{"code":..,"message":..,"errno":..}}.
template <typename F>
void fields(F& f, Error& m) {
  if constexpr (F::kReads) {
    m.code = error_code_from_string(f.constant("code"));
  } else {
    f.constant("code", to_string(m.code));
  }
  if constexpr (F::kReads) {
    f.text("message", m.message, kMaxReasonBytes);
  } else {
    // What is no UTF-8 becomes three times as long.
    f.text("message", m.message.substr(0, kMaxReasonBytes / 3), kMaxReasonBytes);
  }
  f.errno_name("errno", m.error_number);
}
template <typename F>
void fields(F& f, AttributesOrError& m) {
  if constexpr (F::kReads) {
    if (!f.has("error"))
      return fields(f, *m);
    m = tl::unexpected<Error>(Error{});
  }
  if (m)
    fields(f, *m);
  else
    f.object("error", m.error());
}
template <typename F>
void fields(F& f, GetattrResult& m) {
  state(f, m.state);
  f.list("nodes", m.nodes, kMaxGetattrNodes, kObject);
}

template <typename F>
void fields(F& f, ListArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("dir", m.dir);
  f.name_or_none("after", m.after);
  f.number("limit", m.limit, kMaxListEntries);
  f.require(m.limit > 0, "limit", "at least 1");
  f.flag("packed", m.packed);
}
template <typename F>
void fields(F& f, ListEntry& m) {
  f.name("name", m.name);
  f.object("node", m.node);
}
template <typename F>
void fields(F& f, ListResult& m) {
  state(f, m.state);
  f.object("dir", m.dir);
  f.list("entries", m.entries, kMaxListEntries, kObject);
  f.optional_name("next", m.next);
}

template <typename F>
void fields(F& f, RevalidateArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.list("nodes", m.nodes, kMaxRevalidateNodes, kVersion);
  f.require(of_one_volume(m.nodes), "nodes", kOneVolume);
}
template <typename F>
void fields(F& f, RevalidateResult& m) {
  state(f, m.state);
  f.list("changed", m.changed, kMaxRevalidateNodes, kObject);
  f.list_or_none("gone", m.gone, kMaxRevalidateNodes, kNumber);
}

template <typename F>
void fields(F& f, ReadlinkArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
}
template <typename F>
void fields(F& f, ReadlinkResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.bytes("target", m.target, kMaxTargetBytes, 1);
}
template <typename F>
void fields(F& f, XattrArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
  f.bytes("name", m.name, kMaxXattrNameBytes, 1);
}
template <typename F>
void fields(F& f, XattrResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.bytes("value", m.value, kMaxXattrValueBytes);
}
template <typename F>
void fields(F& f, XattrsArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
}
template <typename F>
void fields(F& f, XattrsResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.list("names", m.names, kMaxXattrNames,
         [](auto& item, std::string& name) { item.bytes(name, kMaxXattrNameBytes, 1); });
}
template <typename F>
void fields(F& f, AclArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
}
template <typename F>
void fields(F& f, AclResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.number("governor", m.governor);
  f.optional_list("acl", m.acl, kMaxAclEntries, kObject);
}
template <typename F>
void fields(F& f, AccessArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
}
template <typename F>
void fields(F& f, AccessResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.letters("allowed", m.allowed, kPermissionLetters);
  f.letters("everybody", m.everybody, kPermissionLetters);
  f.letters("rights", m.rights, kRightLetters);
}

template <typename F>
void fields(F& f, HistoryArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
  f.number("limit", m.limit, kMaxHistory);
  f.require(m.limit > 0, "limit", "at least 1");
}
template <typename F>
void fields(F& f, HistoryEntry& m) {
  f.object("node", m.node);
  f.optional("until", m.until);
}
template <typename F>
void fields(F& f, HistoryResult& m) {
  state(f, m.state);
  f.list("versions", m.versions, kMaxHistory, kObject);
}
template <typename F>
void fields(F& f, SeqAtArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.number("time", m.time);
}
template <typename F>
void fields(F& f, SeqAtResult& m) {
  state(f, m.state);
  f.number("seq", m.seq);
}
template <typename F>
void fields(F& f, ChangesSinceArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.number("seq", m.seq);
  f.number("limit", m.limit, kMaxRecords);
  f.require(m.limit > 0, "limit", "at least 1");
}
template <typename F>
void fields(F& f, ChangesSinceResult& m) {
  state(f, m.state);
  f.number("last", m.last);
  f.number("head", m.head);
  f.number("count", m.count, kMaxRecords);
}
template <typename F>
void fields(F& f, StatfsArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
}
template <typename F>
void fields(F& f, StatfsResult& m) {
  state(f, m.state);
  f.number("bytes", m.bytes);
  f.number("bytes_free", m.bytes_free);
  f.number("bytes_available", m.bytes_available);
  f.number("nodes", m.nodes);
  f.number("nodes_free", m.nodes_free);
}
template <typename F>
void fields(F& f, LockPermitArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
}
template <typename F>
void fields(F& f, LockPermitResult& m) {
  state(f, m.state);
  f.bytes("permit", m.permit, kMaxTokenBytes, 1);
}
template <typename F>
void fields(F& f, WhynotArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.text("operation", m.operation, 32);
  f.fid("fid", m.fid);
  f.optional_name("name", m.name);
}
template <typename F>
void fields(F& f, WhynotResult& m) {
  f.flag("allowed", m.allowed);
  f.text("rule", m.rule, kMaxReasonBytes);
  f.errno_name("errno", m.error_number);
}

}  // namespace codec

TROTH_FILEPROTO_MESSAGE(VolumesArgs);
TROTH_FILEPROTO_MESSAGE(VolumesResult);
TROTH_FILEPROTO_MESSAGE(LookupArgs);
TROTH_FILEPROTO_MESSAGE(LookupResult);
TROTH_FILEPROTO_MESSAGE(WalkArgs);
TROTH_FILEPROTO_MESSAGE(WalkResult);
TROTH_FILEPROTO_MESSAGE(GetattrArgs);
TROTH_FILEPROTO_MESSAGE(GetattrResult);
TROTH_FILEPROTO_MESSAGE(ListArgs);
TROTH_FILEPROTO_MESSAGE(ListResult);
TROTH_FILEPROTO_MESSAGE(RevalidateArgs);
TROTH_FILEPROTO_MESSAGE(RevalidateResult);
TROTH_FILEPROTO_MESSAGE(ReadlinkArgs);
TROTH_FILEPROTO_MESSAGE(ReadlinkResult);
TROTH_FILEPROTO_MESSAGE(XattrArgs);
TROTH_FILEPROTO_MESSAGE(XattrResult);
TROTH_FILEPROTO_MESSAGE(XattrsArgs);
TROTH_FILEPROTO_MESSAGE(XattrsResult);
TROTH_FILEPROTO_MESSAGE(AclArgs);
TROTH_FILEPROTO_MESSAGE(AclResult);
TROTH_FILEPROTO_MESSAGE(AccessArgs);
TROTH_FILEPROTO_MESSAGE(AccessResult);
TROTH_FILEPROTO_MESSAGE(HistoryArgs);
TROTH_FILEPROTO_MESSAGE(HistoryResult);
TROTH_FILEPROTO_MESSAGE(SeqAtArgs);
TROTH_FILEPROTO_MESSAGE(SeqAtResult);
TROTH_FILEPROTO_MESSAGE(ChangesSinceArgs);
TROTH_FILEPROTO_MESSAGE(ChangesSinceResult);
TROTH_FILEPROTO_MESSAGE(StatfsArgs);
TROTH_FILEPROTO_MESSAGE(StatfsResult);
TROTH_FILEPROTO_MESSAGE(LockPermitArgs);
TROTH_FILEPROTO_MESSAGE(LockPermitResult);
TROTH_FILEPROTO_MESSAGE(WhynotArgs);
TROTH_FILEPROTO_MESSAGE(WhynotResult);

}  // namespace common::fileproto
