#include "common/fileproto/common_fields.hpp"

namespace common::fileproto {
namespace codec {

constexpr std::array<Word<LoadThen>, 2> kLoadThen{
    {{LoadThen::Serve, "serve"}, {LoadThen::Follow, "follow"}}};

// In all at most `most` bytes.
bool fit(const std::vector<ByteRange>& ranges, std::uint64_t most) {
  std::uint64_t total = 0;
  for (const ByteRange& range : ranges) {
    if (range.length > most - total)
      return false;
    total += range.length;
  }
  return true;
}

// Empty: from the beginning.
template <typename F>
void cursor(F& f, std::string& value) {
  std::optional<std::string> given;
  if (!value.empty())
    given = value;
  f.optional_bytes("cursor", given, kMaxCursorBytes);
  if constexpr (F::kReads)
    value = given.value_or(std::string());
}

template <typename F>
void fields(F& f, OpenArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
  f.number("handle", m.handle);
  f.flag("read", m.read, true);
  f.flag("write", m.write);
  f.flag("append", m.append);
  f.flag("execute", m.execute);
  f.defaulted("grow", m.grow, 0, kMaxFileSize);
  f.require(m.read || m.write || m.execute, "read", "to open for something");
  f.require(!m.append || m.write, "append", "write beside it");
  f.require(!m.write || !m.scope.at, "at", "no write beside it");
}
template <typename F>
void fields(F& f, OpenResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.defaulted("reserved", m.reserved);
}
template <typename F>
void fields(F& f, ReopenArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.list("handles", m.handles, kMaxHandles, [](auto& item, OpenHandle& open) {
    item.tuple([&](auto& four) {
      four.number(open.handle);
      four.fid(open.fid);
      four.number(open.version);
      four.boolean(open.write);
    });
  });
  f.optional("rest", m.rest);
  f.require(m.rest || !m.handles.empty(), "handles", "at least one, or a rest");
  const auto of_one_volume = [&](const OpenHandle& each) {
    return each.fid.volume == m.rest.value_or(m.handles[0].fid.volume);
  };
  f.require(std::ranges::all_of(m.handles, of_one_volume), "handles", kOneVolume);
}
template <typename F>
void fields(F& f, ReopenResult& m) {
  state(f, m.state);
  f.list_or_none("lost", m.lost, kMaxHandles, [](auto& item, LostHandle& lost) {
    item.tuple([&](auto& triple) {
      triple.number(lost.handle);
      std::string code(to_string(lost.code));
      triple.text(code, 32);
      lost.code = error_code_from_string(code);
      triple.text(lost.message, kMaxReasonBytes);
    });
  });
}
template <typename F>
void fields(F& f, ReleaseArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.list("handles", m.handles, kMaxHandles, kNumber);
}

template <typename F>
void fields(F& f, FetchArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
  f.optional("version", m.version);
  f.optional("since", m.since);
  f.flag("map", m.map);
  f.list("ranges", m.ranges, kMaxFetchRanges, kRange);
  f.require(fit(m.ranges, kMaxFetchBytes), "ranges", "at most 64 MiB in all");
}
template <typename F>
void fields(F& f, FetchResult& m) {
  state(f, m.state);
  f.object("node", m.node);
  f.list("ranges", m.ranges, kMaxFetchedRanges, kRange);
  f.require(fit(m.ranges, kMaxFetchBytes), "ranges", "at most 64 MiB in all");
}
template <typename F>
void fields(F& f, BulkArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.list("nodes", m.nodes, kMaxBulkNodes, kVersion);
  f.require(!m.nodes.empty() && of_one_volume(m.nodes), "nodes", kOneVolume);
}
template <typename F>
void fields(F& f, BulkResult& m) {
  state(f, m.state);
  f.number("count", m.count, kMaxBulkNodes);
}

template <typename F>
void fields(F& f, StageOpenArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.optional("node", m.node);
  f.optional_fid("for", m.target);
  f.number("size", m.size, kMaxFileSize);
}
template <typename F>
void fields(F& f, StageWriteArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("staging", m.staging);
  f.number("offset", m.offset, kMaxFileSize);
  f.hex("hash", m.hash);
}
template <typename F>
void fields(F& f, StageStateArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("staging", m.staging);
  f.defaulted("after", m.after, 0, kMaxFileSize);
}
template <typename F>
void fields(F& f, StageResult& m) {
  state(f, m.state);
  f.fid("staging", m.staging);
  f.number("size", m.size, kMaxFileSize);
  f.list("ranges", m.ranges, kMaxStagedRanges, kRange);
  f.optional("next", m.next, kMaxFileSize);
}
template <typename F>
void fields(F& f, StageDropArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("staging", m.staging);
}

template <typename F>
void fields(F& f, ReserveArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.number("nodes", m.nodes, kMaxFileSize);
  f.number("bytes", m.bytes, kMaxFileSize);
  f.flag("lower", m.lower);
}
template <typename F>
void fields(F& f, ReserveResult& m) {
  state(f, m.state);
  f.number("nodes", m.nodes);
  f.number("bytes", m.bytes);
}
template <typename F>
void fields(F& f, NodeIdsArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.number("count", m.count, kMaxNodeIds);
  f.require(m.count > 0, "count", "at least 1");
}
template <typename F>
void fields(F& f, NodeIdsResult& m) {
  state(f, m.state);
  f.number("first", m.first);
  f.number("count", m.count, kMaxNodeIds);
}
template <typename F>
void fields(F& f, FsyncArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.number("epoch", m.epoch);
  f.number("seq", m.seq);
}
template <typename F>
void fields(F& f, FsyncResult& m) {
  state(f, m.state);
}
template <typename F>
void fields(F& f, FenceArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.fid("fid", m.fid);
  f.bytes("token", m.token, kMaxTokenBytes, 1);
}
template <typename F>
void fields(F& f, FenceResult& m) {
  state(f, m.state);
  f.object("node", m.node);
}

template <typename F>
void fields(F& f, DumpArgs& m) {
  f.refuse_others();
  scope(f, m.scope);
  f.number("volume", m.volume);
  f.number("from", m.from);
  f.optional("to", m.to);
  cursor(f, m.cursor);
}
template <typename F>
void fields(F& f, LoadArgs& m) {
  f.refuse_others();
  f.optional("volume", m.volume);
  f.optional_name("name", m.name);
  f.require(m.volume.has_value() != m.name.has_value(), "volume", "either this or \"name\"");
  f.word_or_first("then", m.then, kLoadThen);
  f.flag("end", m.end);
  cursor(f, m.cursor);
}
template <typename F>
void fields(F& f, LoadResult& m) {
  f.optional_bytes("cursor", m.cursor, kMaxCursorBytes);
  f.optional("volume", m.volume);
  f.optional("seq", m.seq);
}
template <typename F>
void fields(F& f, CursorResult& m) {
  state(f, m.state);
  f.optional_bytes("cursor", m.cursor, kMaxCursorBytes);
}

}  // namespace codec

std::uint64_t FetchResult::raw_bytes() const {
  std::uint64_t total = 0;
  for (const ByteRange& range : ranges)
    total += range.length;
  return total;
}

TROTH_FILEPROTO_MESSAGE(OpenArgs);
TROTH_FILEPROTO_MESSAGE(OpenResult);
TROTH_FILEPROTO_MESSAGE(ReleaseArgs);
TROTH_FILEPROTO_MESSAGE(ReopenArgs);
TROTH_FILEPROTO_MESSAGE(ReopenResult);
TROTH_FILEPROTO_MESSAGE(FetchArgs);
TROTH_FILEPROTO_MESSAGE(FetchResult);
TROTH_FILEPROTO_MESSAGE(BulkArgs);
TROTH_FILEPROTO_MESSAGE(BulkResult);
TROTH_FILEPROTO_MESSAGE(StageOpenArgs);
TROTH_FILEPROTO_MESSAGE(StageWriteArgs);
TROTH_FILEPROTO_MESSAGE(StageStateArgs);
TROTH_FILEPROTO_MESSAGE(StageResult);
TROTH_FILEPROTO_MESSAGE(StageDropArgs);
TROTH_FILEPROTO_MESSAGE(ReserveArgs);
TROTH_FILEPROTO_MESSAGE(ReserveResult);
TROTH_FILEPROTO_MESSAGE(NodeIdsArgs);
TROTH_FILEPROTO_MESSAGE(NodeIdsResult);
TROTH_FILEPROTO_MESSAGE(FsyncArgs);
TROTH_FILEPROTO_MESSAGE(FsyncResult);
TROTH_FILEPROTO_MESSAGE(FenceArgs);
TROTH_FILEPROTO_MESSAGE(FenceResult);
TROTH_FILEPROTO_MESSAGE(DumpArgs);
TROTH_FILEPROTO_MESSAGE(LoadArgs);
TROTH_FILEPROTO_MESSAGE(LoadResult);
TROTH_FILEPROTO_MESSAGE(CursorResult);

}  // namespace common::fileproto
