#include "fileserver/store/check/inspect.hpp"

#include <ostream>

#include "common/db/database.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/wire/hex.hpp"
#include "fileserver/store/blocks/segments.hpp"
#include "fileserver/store/meta/database.hpp"
#include "fileserver/store/meta/key_proof.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

constexpr std::chrono::minutes kLongestLook{10};

struct Opened {
  std::unique_ptr<common::db::Database> db;
  VolumeRow volume;
  TailSeal seal;
  std::unique_ptr<common::io::PosixFileIo> io;
  std::unique_ptr<Segments> segments;
};

Result<Opened> open_volume(const std::string& directory, const InspectOptions& options,
                           const common::Clock& clock) {
  TROTH_TRY_VOID(must_be_there(directory));
  Opened opened;
  common::db::Options how;
  how.application_id = kVolumeApplicationId;
  how.hold_mark = true;  // what has reached the disk is for the next opening to find out
  how.longest_read = kLongestLook;
  TROTH_TRY(opened.db, common::db::Database::open(metadata_path(directory), std::move(how),
                                                  volume_migrations(), clock));
  TROTH_TRY(auto row, opened.db->read([](ReadTx& tx) { return read_volume_row(tx); }));
  if (!row)
    return fail(ErrorCode::NotFound, "there is no volume in {}", directory);
  opened.volume = *std::move(row);
  TROTH_TRY_VOID(check_key(opened.volume.sealed, options.key, opened.volume.uuid));
  if (options.key != nullptr) {
    TROTH_TRY(opened.seal, TailSeal::create(*options.key));
  }
  TROTH_TRY(opened.io, common::io::PosixFileIo::open_root(directory));
  SegmentOptions segments;
  segments.volume = opened.volume.uuid;
  segments.key = options.key;
  TROTH_TRY(opened.segments, Segments::open(*opened.io, "segments", segments, clock));
  return opened;
}

// Names are bytes: what is not plain text is shown so that no terminal obeys it.
std::string shown(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\')
      text += c;
    else
      text += fmt::format("\\x{:02x}", byte);
  }
  return text;
}

struct Describe {
  std::string operator()(const Create& op) const {
    return fmt::format("create {} \"{}\" in {}, {} bytes", op.node.value, shown(op.name),
                       op.parent.value, op.content.size);
  }
  std::string operator()(const SetContent& op) const {
    return fmt::format(
        "content of {}: {} bytes, root {}, tail {}", op.node.value, op.content.size,
        op.content.root.is_hole() ? "-" : common::wire::to_hex(op.content.root.view()),
        op.content.tail.size());
  }
  std::string operator()(const AppendTail& op) const {
    return fmt::format("append to {}", op.node.value);
  }
  std::string operator()(const SetAttributes& op) const {
    return fmt::format("attributes of {}", op.node.value);
  }
  std::string operator()(const Link& op) const {
    return fmt::format("link {} as \"{}\" in {}", op.node.value, shown(op.name), op.parent.value);
  }
  std::string operator()(const Unlink& op) const {
    return fmt::format("unlink \"{}\" in {}{}", shown(op.name), op.parent.value,
                       op.keep_orphan ? ", held open" : "");
  }
  std::string operator()(const RemoveDirectory& op) const {
    return fmt::format("rmdir \"{}\" in {}", shown(op.name), op.parent.value);
  }
  std::string operator()(const Rename& op) const {
    return fmt::format("{} \"{}\" in {} to \"{}\" in {}",
                       op.mode == RenameMode::Exchange ? "exchange" : "rename", shown(op.from_name),
                       op.from_parent.value, shown(op.to_name), op.to_parent.value);
  }
  std::string operator()(const SetXattr& op) const {
    return fmt::format("xattr \"{}\" of {}: {} bytes", shown(op.name), op.node.value,
                       op.value.size());
  }
  std::string operator()(const RemoveXattr& op) const {
    return fmt::format("no xattr \"{}\" of {}", shown(op.name), op.node.value);
  }
  std::string operator()(const Reap& op) const { return fmt::format("end {}", op.node.value); }
  std::string operator()(const SetSetting& op) const {
    return fmt::format("setting {}: {}", shown(op.key), common::wire::to_hex(op.value));
  }
  std::string operator()(const CreateSnapshot& op) const {
    return fmt::format("snapshot \"{}\" of {}", shown(op.name), op.seq.value);
  }
  std::string operator()(const DeleteSnapshot& op) const {
    return fmt::format("no snapshot \"{}\"", shown(op.name));
  }
  std::string operator()(const RaiseFence& op) const {
    return fmt::format("fence {} [{}, {}]: {}", op.node.value, op.first, op.last, op.token.value);
  }
  std::string operator()(const Reserve& op) const {
    return fmt::format("reserve seqs to {}, nodes to {}", op.seq.value, op.node.value);
  }
  std::string operator()(const BeginEpoch& op) const {
    return fmt::format("epoch {}", op.epoch.value);
  }
};

Status show_summary(const Opened& opened, std::ostream& out) {
  const VolumeRow& volume = opened.volume;
  TROTH_TRY(const Head head, opened.db->read([](ReadTx& tx) { return read_head(tx); }));
  out << fmt::format(
      "volume {}\nuuid {}\nformat {}{}\nseq {}, epoch {}, floor {}\nnodes {}, bytes {}\n"
      "reserved: seqs to {}, nodes to {}\nclosed in order: {}{}\n",
      volume.id.value, common::wire::to_hex(volume.uuid), volume.format,
      volume.sealed ? ", sealed" : "", head.seq.value, head.epoch.value, volume.floor.value,
      head.nodes, head.bytes, volume.reserved_seq.value, volume.reserved_node.value,
      volume.clean ? "yes" : "no", volume.follows ? "\nfollows another copy" : "");
  constexpr std::string_view kTables[] = {
      "commits", "node",  "node_history", "dirent",   "content", "dirent_history", "touched",
      "xattr",   "block", "quarantine",   "unsynced", "orphan",  "snapshot",       "pin"};
  for (const std::string_view table : kTables) {
    const std::string sql = fmt::format("SELECT count(*) FROM {}", table);
    const auto count = opened.db->read([&](ReadTx& tx) -> Result<std::int64_t> {
      TROTH_TRY(auto row, tx.query(sql));
      TROTH_TRY_VOID(row.step());
      return row.column_int64(0);
    });
    if (!count)
      return tl::unexpected(count.error());
    out << fmt::format("{:>12}  {}\n", *count, table);
  }
  return {};
}

Status show_commits(const Opened& opened, const InspectOptions& options, std::ostream& out) {
  constexpr std::size_t kBytes = 64 << 20;
  const Seq after{options.number == 0 ? 0 : options.number - 1};
  TROTH_TRY(const auto records, opened.db->read([&](ReadTx& tx) {
    return read_records(tx, after, options.limit, kBytes, opened.seal);
  }));
  for (const CommitRecord& record : records) {
    out << fmt::format("{} epoch {} time {} principal {}{}\n", record.seq.value, record.epoch.value,
                       record.time, record.principal,
                       record.key ? fmt::format(" operation {}", record.key->number) : "");
    for (const Operation& operation : record.operations)
      out << "    " << std::visit(Describe{}, operation) << '\n';
  }
  return {};
}

Status show_node(const Opened& opened, const InspectOptions& options, std::ostream& out) {
  const NodeId node{options.number};
  TROTH_TRY(const auto versions,
            opened.db->read([&](ReadTx& tx) { return read_versions(tx, node, options.limit); }));
  if (versions.empty())
    return fail(ErrorCode::NotFound, "there is no node {}, and there was none that is retained",
                options.number);
  for (const NodeVersion& version : versions) {
    const Attributes& a = version.attributes;
    out << fmt::format(
        "{}-{}: kind {} mode {:04o} owner {}:{} links {} size {} home {}\n", a.version.value,
        version.until ? std::to_string(version.until->value) : "now", static_cast<int>(a.kind),
        a.mode, a.uid, a.gid, a.links, a.size, a.home.value);
  }
  return {};
}

Status show_segment(const Opened& opened, const InspectOptions& options, std::ostream& out) {
  std::size_t shown_records = 0;
  const auto visit = [&](const ScannedRecord& record) -> Status {
    if (shown_records++ < options.limit)
      out << fmt::format("{:>10} {} {:>6} stored {:>6} {}{}\n", record.placement.offset,
                         record.header.kind == BlockKind::Data ? "data" : "list",
                         record.header.raw_length, record.header.stored_length,
                         common::wire::to_hex(record.header.name.view()),
                         record.header.sealed ? " sealed" : "");
    return {};
  };
  const auto number = static_cast<std::uint32_t>(options.number);
  TROTH_TRY(const ScanResult result, opened.segments->scan(number, false, visit));
  out << fmt::format("{} records up to {}, {} bytes in none\n", result.records, result.end,
                     result.skipped);
  return {};
}

}  // namespace

Status inspect_volume(const std::string& directory, const InspectOptions& options,
                      const common::Clock& clock, std::ostream& out) {
  TROTH_TRY(const Opened opened, open_volume(directory, options, clock));
  switch (options.what) {
    case InspectOptions::What::Summary:
      return show_summary(opened, out);
    case InspectOptions::What::Commits:
      return show_commits(opened, options, out);
    case InspectOptions::What::Node:
      return show_node(opened, options, out);
    case InspectOptions::What::Segments:
      for (const SegmentInfo& segment : opened.segments->list())
        out << fmt::format("{} {} bytes\n", segment.number, segment.bytes);
      return {};
    case InspectOptions::What::Segment:
      return show_segment(opened, options, out);
  }
  return {};
}

}  // namespace fileserver::store
