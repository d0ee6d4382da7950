#include "common/fileproto/common_fields.hpp"

namespace common::fileproto {
namespace codec {

// --- conditions ---

template <typename F>
void fields(F& f, VersionIs& m) {
  f.tuple("version", [&](auto& pair) {
    pair.fid(m.fid);
    pair.number(m.version);
  });
}
template <typename F>
void fields(F& f, DataVersionIs& m) {
  f.tuple("data", [&](auto& pair) {
    pair.fid(m.fid);
    pair.number(m.data_version);
  });
}
template <typename F>
void fields(F& f, NameIs& m) {
  f.tuple("name", [&](auto& triple) {
    triple.fid(m.dir);
    triple.name(m.name);
    triple.number_or_null(m.node);
  });
}
template <typename F>
void fields(F& f, TokenHolds& m) {
  f.tuple("token", [&](auto& pair) {
    pair.fid(m.fid);
    pair.bytes(m.token, kMaxTokenBytes, 1);
  });
}
template <typename F>
void fields(F& f, Condition& m) {
  if constexpr (F::kReads) {
    if (f.has("version"))
      m = VersionIs{};
    else if (f.has("data"))
      m = DataVersionIs{};
    else if (f.has("name"))
      m = NameIs{};
    else if (f.has("token"))
      m = TokenHolds{};
    else
      return f.fail("if", "one of version, data, name and token");
  }
  std::visit([&](auto& condition) { fields(f, condition); }, m);
}

// --- names ---

template <typename F>
void new_node(F& f, NewNode& m) {
  f.fid("dir", m.dir);
  f.name_or_none("name", m.name);
  f.number("mode", m.mode, kMaxMode);
  f.optional("node", m.node);
}
// Only files may be without.
template <typename F>
void named_node(F& f, NewNode& m) {
  new_node(f, m);
  f.require(!m.name.empty(), "name", "a name");
}
template <typename F>
void fields(F& f, Create& m) {
  new_node(f, m.made);
  f.optional("handle", m.handle);
  f.defaulted("grow", m.grow, 0, kMaxFileSize);
  f.defaulted("bytes", m.bytes, 0, kMaxStoreBytes);
  f.require(!m.made.name.empty() || m.handle, "name", "a name, or a handle for a file without");
}
template <typename F>
void fields(F& f, Mkdir& m) {
  named_node(f, m.made);
}
template <typename F>
void fields(F& f, Mknod& m) {
  named_node(f, m.made);
  f.word("kind", m.kind, kKindWords);
  f.defaulted("dev", m.device);
  f.require(m.kind >= NodeKind::Fifo, "kind", "one of p, s, c and b");
}
template <typename F>
void fields(F& f, Symlink& m) {
  named_node(f, m.made);
  f.bytes("target", m.target, kMaxTargetBytes, 1);
  f.require(m.target.find('\0') == std::string::npos, "target", "no NUL byte");
}
template <typename F>
void fields(F& f, Link& m) {
  f.fid("fid", m.fid);
  f.fid("dir", m.dir);
  f.name("name", m.name);
}
template <typename F>
void fields(F& f, Unlink& m) {
  f.fid("dir", m.dir);
  f.name("name", m.name);
}
template <typename F>
void fields(F& f, Rmdir& m) {
  f.fid("dir", m.dir);
  f.name("name", m.name);
}
template <typename F>
void fields(F& f, Rename& m) {
  static constexpr std::array<Word<RenameMode>, 3> kModes{{{RenameMode::Replace, "replace"},
                                                           {RenameMode::NoReplace, "noreplace"},
                                                           {RenameMode::Exchange, "exchange"}}};
  f.fid("dir", m.dir);
  f.name("name", m.name);
  f.fid("to", m.to);
  f.name("to_name", m.to_name);
  f.word_or_first("mode", m.mode, kModes);
}

// --- nodes ---

template <typename F>
void set_time(F& f, std::string_view name, std::optional<SetTime>& m) {
  if constexpr (F::kReads) {
    if (f.is_text(name, "now")) {
      m.emplace();
      return;
    }
    std::optional<FileTime> given;
    f.optional(name, given);
    if (given)
      m = SetTime{given};
  } else if (m) {
    if (m->to)
      f.number(name, *m->to);
    else
      f.constant(name, "now");
  }
}
template <typename F>
void fields(F& f, Setattr& m) {
  f.fid("fid", m.fid);
  f.optional("mode", m.mode, kMaxMode);
  f.optional("uid", m.uid);
  f.optional("gid", m.gid);
  f.optional("size", m.size, kMaxFileSize);
  set_time(f, "mtime", m.mtime);
  set_time(f, "atime", m.atime);
}
template <typename F>
void fields(F& f, SetXattr& m) {
  static constexpr std::array<Word<XattrMode>, 3> kModes{{{XattrMode::Any, "any"},
                                                          {XattrMode::CreateOnly, "create"},
                                                          {XattrMode::ReplaceOnly, "replace"}}};
  f.fid("fid", m.fid);
  f.bytes("name", m.name, kMaxXattrNameBytes, 1);
  f.bytes("value", m.value, kMaxXattrValueBytes);
  f.word_or_first("mode", m.mode, kModes);
  f.require(m.name.find('\0') == std::string::npos, "name", "no NUL byte");
}
template <typename F>
void fields(F& f, RemoveXattr& m) {
  f.fid("fid", m.fid);
  f.bytes("name", m.name, kMaxXattrNameBytes, 1);
}
template <typename F>
void fields(F& f, SetAcl& m) {
  f.fid("fid", m.fid);
  f.optional_list("entries", m.acl, kMaxAclEntries, kObject);
}

// --- bytes ---

template <typename F>
void fields(F& f, Store& m) {
  f.fid("fid", m.fid);
  f.optional("base", m.base);
  f.number("size", m.size, kMaxFileSize);
  f.optional("mtime", m.mtime);
  f.optional("atime", m.atime);
  f.optional("staging", m.staging);
  const bool staged = m.staging.has_value();
  f.list_or_none("edits", m.edits, staged ? kMaxStagedEdits : kMaxEdits,
                 [&](auto& item, Edit& edit) {
                   item.tuple([&](auto& range) {
                     range.number(edit.offset, kMaxFileSize);
                     range.number(edit.length, staged ? kMaxFileSize : kMaxStoreBytes);
                     if (staged)
                       range.number(edit.from, kMaxFileSize);
                   });
                 });
  f.list_or_none("holes", m.holes, kMaxEdits, kRange);
  f.optional_bytes("token", m.token, kMaxTokenBytes);
  for (const Edit& edit : m.edits)
    f.require(edit.length > 0, "edits", "no empty one");
}
template <typename F>
void fields(F& f, Append& m) {
  f.fid("fid", m.fid);
  f.number("bytes", m.bytes, kMaxAppendBytes);
  f.optional_bytes("token", m.token, kMaxTokenBytes);
}
template <typename F>
void fields(F& f, Allocate& m) {
  static constexpr std::array<Word<AllocateMode>, 4> kModes{{{AllocateMode::Grow, "grow"},
                                                             {AllocateMode::KeepSize, "keep-size"},
                                                             {AllocateMode::Punch, "punch"},
                                                             {AllocateMode::Zero, "zero"}}};
  f.fid("fid", m.fid);
  f.number("offset", m.offset, kMaxFileSize);
  f.number("length", m.length, kMaxFileSize);
  f.word_or_first("mode", m.mode, kModes);
  f.optional_bytes("token", m.token, kMaxTokenBytes);
  f.require(m.length > 0, "length", "at least 1");
}
template <typename F>
void fields(F& f, CopyRange& m) {
  f.fid("from", m.from);
  f.optional("version", m.version);
  f.number("from_offset", m.from_offset, kMaxFileSize);
  f.number("length", m.length, kMaxFileSize);
  f.fid("to", m.to);
  f.number("to_offset", m.to_offset, kMaxFileSize);
  f.optional_bytes("token", m.token, kMaxTokenBytes);
}
template <typename F>
void fields(F& f, Restore& m) {
  f.fid("fid", m.fid);
  f.number("version", m.version);
}

// --- calls ---

// As Change has them.
constexpr std::array<std::string_view, std::variant_size_v<Change>> kOperations{
    "create", "mkdir",  "mknod",    "symlink",    "link",         "unlink",
    "rmdir",  "rename", "setattr",  "set-xattr",  "remove-xattr", "set-acl",
    "store",  "append", "allocate", "copy-range", "restore"};

template <std::size_t I = 0>
bool emplace(std::string_view operation, Change& change) {
  if constexpr (I == std::variant_size_v<Change>) {
    return false;
  } else {
    if (operation != kOperations[I])
      return emplace<I + 1>(operation, change);
    change.emplace<I>();
    return true;
  }
}

template <typename F>
void fields(F& f, Change& m) {
  if constexpr (F::kReads) {
    if (!emplace(f.constant("op"), m))
      return f.fail("op", "a change known here");
  } else {
    f.constant("op", kOperations[m.index()]);
  }
  std::visit([&](auto& change) { fields(f, change); }, m);
}

template <typename F>
void change_scope(F& f, ChangeScope& m) {
  f.refuse_others();
  speaker(f, m.as);
  f.optional("via", m.via);
  f.optional("s", m.session);
  f.defaulted("seen", m.seen);
  f.list_or_none("if", m.conditions, kMaxConditions, kObject);
}
template <typename F, typename C>
void fields(F& f, ChangeArgs<C>& m) {
  change_scope(f, m.scope);
  fields(f, m.change);
}
template <typename F>
void fields(F& f, BatchArgs& m) {
  change_scope(f, m.scope);
  f.list("do", m.changes, kMaxBatchChanges, kObject);
  f.require(!m.changes.empty(), "do", "at least one change");
}

template <typename F>
void fields(F& f, ChangeOutcome& m) {
  f.optional("node", m.created);
  f.optional("lost", m.lost);
  f.optional("offset", m.offset, kMaxFileSize);
  f.optional("length", m.length, kMaxFileSize);
}
template <typename F>
void fields(F& f, TouchedNode& m) {
  fields(f, m.node);
  if constexpr (F::kReads) {
    if (f.has("was"))
      m.was.emplace();
  }
  if (!m.was)
    return;
  f.tuple("was", [&](auto& pair) {
    pair.number(m.was->version);
    pair.number(m.was->data_version);
  });
}
template <typename F>
void fields(F& f, ChangeResult& m) {
  state(f, m.state);
  f.number("seq", m.seq);
  f.flag("replayed", m.replayed);
  f.list("nodes", m.nodes, kMaxTouchedNodes, kObject);
  f.list_or_none("gone", m.gone, kMaxTouchedNodes, kNumber);
  f.list_or_none("done", m.outcomes, kMaxBatchChanges, kObject);
}

template <typename F>
void fields(F& f, FailureDetail& m) {
  static constexpr std::array<Word<FailureWhy>, 8> kWhys{{{FailureWhy::Session, "session"},
                                                          {FailureWhy::Id, "id"},
                                                          {FailureWhy::IdUsed, "id-used"},
                                                          {FailureWhy::Unmet, "condition"},
                                                          {FailureWhy::Base, "base"},
                                                          {FailureWhy::Fence, "fence"},
                                                          {FailureWhy::Gone, "gone"},
                                                          {FailureWhy::Past, "past"}}};
  f.word("why", m.why, kWhys);
  f.optional("condition", m.condition, kMaxConditions);
  f.optional("change", m.change, kMaxBatchChanges);
  f.optional_object("node", m.node);
}

}  // namespace codec

std::string_view operation_name(const Change& change) {
  return codec::kOperations[change.index()];
}

std::uint64_t raw_bytes(const Change& change) {
  if (const auto* create = std::get_if<Create>(&change))
    return create->bytes;
  if (const auto* append = std::get_if<Append>(&change))
    return append->bytes;
  std::uint64_t total = 0;
  if (const auto* store = std::get_if<Store>(&change); store != nullptr && !store->staging) {
    for (const Edit& edit : store->edits)
      total += edit.length;
  }
  return total;
}

Error with_detail(Error error, const FailureDetail& detail) {
  error.detail = encode(detail);
  return error;
}

std::optional<FailureDetail> detail_of(const Error& error) {
  if (error.detail.empty())
    return std::nullopt;
  auto detail = decode_text<FailureDetail>(error.detail);
  return detail ? std::optional<FailureDetail>(std::move(*detail)) : std::nullopt;
}

TROTH_FILEPROTO_MESSAGE(CreateArgs);
TROTH_FILEPROTO_MESSAGE(MkdirArgs);
TROTH_FILEPROTO_MESSAGE(MknodArgs);
TROTH_FILEPROTO_MESSAGE(SymlinkArgs);
TROTH_FILEPROTO_MESSAGE(LinkArgs);
TROTH_FILEPROTO_MESSAGE(UnlinkArgs);
TROTH_FILEPROTO_MESSAGE(RmdirArgs);
TROTH_FILEPROTO_MESSAGE(RenameArgs);
TROTH_FILEPROTO_MESSAGE(SetattrArgs);
TROTH_FILEPROTO_MESSAGE(SetXattrArgs);
TROTH_FILEPROTO_MESSAGE(RemoveXattrArgs);
TROTH_FILEPROTO_MESSAGE(SetAclArgs);
TROTH_FILEPROTO_MESSAGE(StoreArgs);
TROTH_FILEPROTO_MESSAGE(AppendArgs);
TROTH_FILEPROTO_MESSAGE(AllocateArgs);
TROTH_FILEPROTO_MESSAGE(CopyRangeArgs);
TROTH_FILEPROTO_MESSAGE(RestoreArgs);
TROTH_FILEPROTO_MESSAGE(BatchArgs);
TROTH_FILEPROTO_MESSAGE(ChangeResult);
TROTH_FILEPROTO_MESSAGE(FailureDetail);

}  // namespace common::fileproto
