#include "tests/support/store_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace test_support {

using common::fail;
using common::Result;
using common::Status;
using store::Attributes;
using store::NodeKind;
using store::Volume;

namespace {

template <typename... Args>
tl::unexpected<common::Error> differs(fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::Internal, "{}", fmt::format(format, std::forward<Args>(args)...));
}

std::string where(const CompareOptions& options) {
  return options.at ? fmt::format("at seq {}", options.at->value) : "now";
}

Status compare_range(Volume& volume, const ModelNode& node, std::uint64_t offset,
                     std::uint64_t length, const CompareOptions& options) {
  Bytes found(length);
  TROTH_TRY(const auto reply, volume.read(node.attributes.node, offset, found, options.at));
  found.resize(reply.length);
  const Bytes expected = node.bytes.read(offset, length);
  if (found.size() != expected.size())
    return differs("node {} {}: {} bytes at {}, not {}", node.attributes.node.value, where(options),
                   found.size(), offset, expected.size());
  if (found.empty() || std::memcmp(found.data(), expected.data(), found.size()) == 0)
    return compare_attributes(reply.attributes, node.attributes);
  const auto at = std::mismatch(found.begin(), found.end(), expected.begin());
  return differs("node {} {}: byte {} is {:02x}, not {:02x}", node.attributes.node.value,
                 where(options), offset + (at.first - found.begin()),
                 std::to_integer<int>(*at.first), std::to_integer<int>(*at.second));
}

Status compare_bytes(Volume& volume, const ModelNode& node, const CompareOptions& options) {
  constexpr std::uint64_t kWhole = 64 * 1024;
  constexpr std::uint64_t kAll = 2 << 20;
  const std::uint64_t size = node.bytes.size();
  if (size <= kWhole || (options.every_byte && size <= kAll))
    return compare_range(volume, node, 0, size + 10, options);
  const auto places = node.bytes.places();
  const std::size_t stride = places.size() / (options.every_byte ? 16 : 3) + 1;
  for (std::size_t i = 0; i < places.size(); i += stride)
    TROTH_TRY_VOID(compare_range(volume, node, places[i] > 7 ? places[i] - 7 : 0, 4110, options));
  TROTH_TRY_VOID(compare_range(volume, node, size / 2, 5000, options));
  return compare_range(volume, node, size - std::min<std::uint64_t>(size, 5000), 6000, options);
}

Status compare_entries(Volume& volume, const ModelState& state, const ModelNode& node,
                       const CompareOptions& options) {
  const NodeId id = node.attributes.node;
  auto expected = node.entries.begin();
  std::string after;
  // Small pages, so that going on after a name is tried, too.
  constexpr std::size_t kPage = 5;
  for (;;) {
    TROTH_TRY(const auto page, volume.list(id, after, kPage, options.at));
    TROTH_TRY(const auto names, volume.list_names(id, after, kPage, options.at));
    if (names.size() != page.size())
      return differs("directory {} {}: {} names and {} entries after \"{}\"", id.value,
                     where(options), names.size(), page.size(), after);
    for (std::size_t i = 0; i < page.size(); ++i, ++expected) {
      if (expected == node.entries.end())
        return differs("directory {} {}: \"{}\" should not be there", id.value, where(options),
                       page[i].name);
      const ModelNode* const child = state.find(expected->second);
      if (page[i].name != expected->first || names[i].name != expected->first ||
          names[i].child != expected->second || names[i].kind != child->attributes.kind)
        return differs("directory {} {}: \"{}\" of node {} where \"{}\" of node {} should be",
                       id.value, where(options), page[i].name, names[i].child.value,
                       expected->first, expected->second.value);
      TROTH_TRY_VOID(compare_attributes(page[i].attributes, child->attributes));
      after = page[i].name;
    }
    if (page.size() < kPage)
      break;
  }
  if (expected != node.entries.end())
    return differs("directory {} {}: \"{}\" is missing", id.value, where(options), expected->first);
  if (!options.through_lookup)
    return {};
  for (const auto& [name, child] : node.entries) {
    TROTH_TRY(const auto found, volume.lookup(id, name, options.at));
    TROTH_TRY_VOID(compare_attributes(found.attributes, state.find(child)->attributes));
    TROTH_TRY_VOID(compare_attributes(found.parent, node.attributes));
  }
  const auto none = volume.lookup(id, "no such name", options.at);
  if (none || none.error().code != ErrorCode::NotFound)
    return differs("directory {}: a missing name is not NotFound", id.value);
  return {};
}

Status compare_xattrs(Volume& volume, const ModelNode& node, const CompareOptions& options) {
  const NodeId id = node.attributes.node;
  TROTH_TRY(const auto names, volume.xattr_names(id, options.at));
  std::vector<std::string> expected;
  for (const auto& [name, value] : node.xattrs)
    expected.push_back(name);
  if (names != expected)
    return differs("node {} {}: {} xattrs, not {}", id.value, where(options), names.size(),
                   expected.size());
  for (const auto& [name, value] : node.xattrs) {
    TROTH_TRY(const auto found, volume.xattr(id, name, options.at));
    if (found != value)
      return differs("node {} {}: xattr \"{}\" differs", id.value, where(options), name);
  }
  TROTH_TRY(const auto none, volume.xattr(id, "no such name", options.at));
  if (none)
    return differs("node {}: an xattr that should not be there", id.value);
  return {};
}

Status compare_volume_wide(Volume& volume, const ModelState& state, const CompareOptions& options) {
  for (const auto& [key, value] : state.settings) {
    TROTH_TRY(const auto found, volume.setting(key, options.at));
    if (found != value)
      return differs("setting \"{}\" {} differs", key, where(options));
  }
  if (options.at)
    return {};
  TROTH_TRY(const auto usage, volume.usage());
  if (usage.nodes != state.nodes.size() || usage.bytes != state.allocated())
    return differs("usage is {} nodes, {} bytes; should be {}, {}", usage.nodes, usage.bytes,
                   state.nodes.size(), state.allocated());
  TROTH_TRY(const auto snapshots, volume.snapshots());
  std::set<std::string> names;
  for (const auto& snapshot : snapshots)
    names.insert(snapshot.name);
  for (const auto& [name, seq] : state.snapshots) {
    if (names.erase(name) == 0)
      return differs("snapshot \"{}\" is missing", name);
  }
  if (!names.empty())
    return differs("snapshot \"{}\" should not be there", *names.begin());
  return {};
}

}  // namespace

std::string describe(const Attributes& a) {
  return fmt::format(
      "node {} kind {} mode {:o} uid {} gid {} links {} size {} allocated {} mtime {} ctime {} "
      "atime {} device {} version {} data {} home {}",
      a.node.value, static_cast<int>(a.kind), a.mode, a.uid, a.gid, a.links, a.size, a.allocated,
      a.mtime, a.ctime, a.atime, a.device, a.version.value, a.data_version.value, a.home.value);
}

Status compare_attributes(const Attributes& found, const Attributes& expected) {
  if (found != expected)
    return differs("attributes differ: {}; should be: {}", describe(found), describe(expected));
  return {};
}

Status compare_node(Volume& volume, const ModelState& state, const ModelNode& node,
                    const CompareOptions& options) {
  const NodeId id = node.attributes.node;
  TROTH_TRY(const Attributes found, volume.attributes(id, options.at));
  TROTH_TRY_VOID(compare_attributes(found, node.attributes));
  TROTH_TRY_VOID(compare_xattrs(volume, node, options));
  switch (node.attributes.kind) {
    case NodeKind::Directory:
      return compare_entries(volume, state, node, options);
    case NodeKind::File:
      return compare_bytes(volume, node, options);
    case NodeKind::Symlink: {
      TROTH_TRY(const std::string target, volume.read_link(id, options.at));
      if (common::as_bytes(target).size() != node.bytes.size() ||
          Bytes(common::as_bytes(target).begin(), common::as_bytes(target).end()) !=
              node.bytes.read(0, node.bytes.size()))
        return differs("the target of symlink {} differs", id.value);
      return {};
    }
    default:
      return {};
  }
}

Status compare_state(Volume& volume, const ModelState& state, const CompareOptions& options) {
  for (const auto& [id, node] : state.nodes) {
    if (options.skip_root && id == store::kRootNode)
      continue;
    if (const Status same = compare_node(volume, state, *node, options); !same)
      return tl::unexpected(same.error().in(fmt::format("{}, node {}", where(options), id.value)));
  }
  return options.skip_root ? Status() : compare_volume_wide(volume, state, options);
}

namespace {

Status bring_blocks(Volume& original, Volume& copy, const store::Content& content,
                    store::Upload& upload) {
  Bytes buffer(store::kBlockBytes);
  for (;;) {
    TROTH_TRY(const auto missing,
              missing_blocks(copy.blocks(), content.root, content.tree_size(), 64));
    if (missing.empty())
      return {};
    for (const store::MissingBlock& block : missing) {
      TROTH_TRY(const std::size_t length, original.blocks().read(block.name, block.kind, buffer));
      TROTH_TRY_VOID(
          copy.blocks().put_named(upload, block.name, block.kind, ByteView(buffer).first(length)));
    }
  }
}

}  // namespace

Result<Seq> redo_all(Volume& original, Volume& copy, Seq after) {
  for (;;) {
    TROTH_TRY(const auto records, original.changes_since(after, 100));
    if (records.empty())
      return after;
    for (const store::CommitRecord& record : records) {
      TROTH_TRY(store::CommitRecord sent, store::decode_record(store::encode_record(record)));
      if (sent != record)
        return differs("record {} changes on its way", record.seq.value);
      store::Upload upload = copy.blocks().begin_upload();
      for (store::Operation& operation : sent.operations) {
        if (const store::Content* const content = content_of(operation))
          TROTH_TRY_VOID(bring_blocks(original, copy, *content, upload));
      }
      if (const Status done = copy.redo(sent, &upload); !done)
        return tl::unexpected(done.error().in(fmt::format("redoing {}", record.seq.value)));
      after = record.seq;
    }
  }
}

}  // namespace test_support
