// Looking at what is and was.

#include <cerrno>

#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

// One answer holds at most this many entries: a page, not a directory.
constexpr std::size_t kMostListed = 10'000;
constexpr std::size_t kMostVersions = 10'000;

Result<Attributes> must_exist(Result<std::optional<Attributes>> found, NodeId node) {
  TROTH_TRY(const auto attributes, std::move(found));
  if (!attributes)
    return fail_posix(ENOENT, "there is no node {}", node.value);
  return *attributes;
}

Status must_be_directory(ReadTx& tx, NodeId node, At at) {
  TROTH_TRY(const Attributes attributes, must_exist(read_attributes(tx, node, at), node));
  if (attributes.kind != NodeKind::Directory)
    return fail_posix(ENOTDIR, "node {} is not a directory", node.value);
  return {};
}

std::optional<std::uint64_t> quota(const std::optional<Bytes>& value) {
  if (!value || value->size() != sizeof(std::uint64_t))
    return std::nullopt;
  std::uint64_t limit = 0;
  for (const std::byte byte : *value)
    limit = limit << 8U | std::to_integer<std::uint64_t>(byte);
  return limit;
}

}  // namespace

Result<At> Volume::Parts::resolve(ReadTx& tx, At at, NodeId node) const {
  const std::uint64_t top = visible.load();
  if (!at && !options.hold_visible)
    return At();  // with nothing held back the present rows are the visible ones
  if (!at) {
    if (top < floor.load() || top == 0)
      return fail(ErrorCode::Unavailable, "nothing of this volume is visible yet");
    return At(Seq{top});
  }
  if (at->value > top)
    return fail(ErrorCode::NotFound, "commit {} is not there yet", at->value);
  if (at->value >= floor.load())
    return at;
  // A snapshot, a pin, or a node that has not changed since.
  TROTH_TRY(auto row, tx.query("SELECT 1 FROM snapshot WHERE seq = ?1 AND to_seq IS NULL UNION ALL "
                               "SELECT 1 FROM pin WHERE node = ?2 AND seq = ?1 UNION ALL "
                               "SELECT 1 FROM node WHERE id = ?2 AND from_seq <= ?1 AND kind <> 2 "
                               "LIMIT 1",
                               at->value, node.value));
  TROTH_TRY(const bool shown, row.step());
  if (!shown)
    return fail(ErrorCode::Expired, "commit {} is no longer retained", at->value);
  return at;
}

Result<Attributes> Volume::attributes(NodeId node, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<Attributes> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, node));
    return must_exist(read_attributes(tx, node, when), node);
  });
}

Result<std::vector<std::optional<Attributes>>> Volume::attributes_of(std::span<const NodeId> nodes,
                                                                     At at) {
  using All = std::vector<std::optional<Attributes>>;
  return parts_->db->read([&](ReadTx& tx) -> Result<All> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, NodeId{}));
    All all;
    all.reserve(nodes.size());
    for (const NodeId node : nodes) {
      TROTH_TRY(auto attributes, read_attributes(tx, node, when));
      all.push_back(attributes);
    }
    return all;
  });
}

Result<Volume::Found> Volume::lookup(NodeId parent, std::string_view name, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<Found> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, parent));
    Found found;
    TROTH_TRY(found.parent, must_exist(read_attributes(tx, parent, when), parent));
    if (found.parent.kind != NodeKind::Directory)
      return fail_posix(ENOTDIR, "node {} is not a directory", parent.value);
    if (name.size() > kMaxName)
      return fail_posix(ENAMETOOLONG, "a name has at most {} bytes", kMaxName);
    TROTH_TRY(const auto entry, read_entry(tx, parent, name, when));
    if (!entry)
      return fail_posix(ENOENT, "there is no \"{}\"", name);
    TROTH_TRY(found.attributes, must_exist(read_attributes(tx, entry->child, when), entry->child));
    return found;
  });
}

Result<std::vector<EntryAttributes>> Volume::list(NodeId directory, std::string_view after,
                                                  std::size_t limit, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::vector<EntryAttributes>> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, directory));
    TROTH_TRY_VOID(must_be_directory(tx, directory, when));
    return read_entries_attributes(tx, directory, after, std::min(limit, kMostListed), when);
  });
}

Result<std::vector<Entry>> Volume::list_names(NodeId directory, std::string_view after,
                                              std::size_t limit, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::vector<Entry>> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, directory));
    TROTH_TRY_VOID(must_be_directory(tx, directory, when));
    return read_entries(tx, directory, after, std::min(limit, kMostListed), when);
  });
}

Result<std::optional<Bytes>> Volume::xattr(NodeId node, std::string_view name, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::optional<Bytes>> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, node));
    TROTH_TRY_VOID(must_exist(read_attributes(tx, node, when), node));
    return read_xattr(tx, node, name, when);
  });
}

Result<std::vector<std::string>> Volume::xattr_names(NodeId node, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::vector<std::string>> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, node));
    TROTH_TRY_VOID(must_exist(read_attributes(tx, node, when), node));
    return read_xattr_names(tx, node, when);
  });
}

Status Volume::view(common::db::FunctionRef<Status(ReadTx&, At)> look, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Status {
    TROTH_TRY(const At when, parts_->resolve(tx, at, NodeId{}));
    return look(tx, when);
  });
}

std::uint64_t Volume::read_state() const {
  // Where commits are held back, what is visible changes apart from the database.
  return parts_->options.hold_visible ? 0 : parts_->db->read_state();
}

Result<std::optional<Bytes>> Volume::setting(std::string_view key, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::optional<Bytes>> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, NodeId{}));
    return read_setting(tx, key, when);
  });
}

Result<std::vector<NodeVersion>> Volume::history(NodeId node, std::size_t limit) {
  return parts_->db->read(
      [&](ReadTx& tx) { return read_versions(tx, node, std::min(limit, kMostVersions)); });
}

Result<std::vector<Snapshot>> Volume::snapshots() {
  return parts_->db->read([](ReadTx& tx) { return read_snapshots(tx); });
}

Result<Seq> Volume::seq_at(std::int64_t time) {
  return parts_->db->read([&](ReadTx& tx) -> Result<Seq> {
    TROTH_TRY(const auto seq, read_seq_at(tx, time));
    if (!seq || seq->value < parts_->floor.load())
      return fail(ErrorCode::Expired, "nothing that old is retained");
    return std::min(*seq, visible_seq());
  });
}

Result<Usage> Volume::usage() {
  parts_->look_at_room();
  return parts_->db->read([&](ReadTx& tx) -> Result<Usage> {
    Usage usage;
    TROTH_TRY(const Head head, read_head(tx));
    usage.nodes = head.nodes;
    usage.bytes = head.bytes;
    TROTH_TRY(const auto bytes, read_setting(tx, kQuotaBytes, {}));
    TROTH_TRY(const auto nodes, read_setting(tx, kQuotaNodes, {}));
    usage.quota_bytes = quota(bytes);
    usage.quota_nodes = quota(nodes);
    TROTH_TRY(auto row, tx.query("SELECT coalesce(sum(nodes), 0), coalesce(sum(bytes), 0) "
                                 "FROM reservation"));
    TROTH_TRY_VOID(row.step());
    usage.reserved_nodes = row.column_uint64(0);
    usage.reserved_bytes = row.column_uint64(1);
    usage.disk_total = parts_->room_total.load();
    const std::uint64_t kept = parts_->kept_free();
    const std::uint64_t free = parts_->room_free.load();
    usage.disk_free = free > kept ? free - kept : 0;
    return usage;
  });
}

common::VolumeId Volume::id() const {
  return parts_->identity.id;
}

const VolumeUuid& Volume::uuid() const {
  return parts_->identity.uuid;
}

const OpenReport& Volume::report() const {
  return parts_->report;
}

}  // namespace fileserver::store
