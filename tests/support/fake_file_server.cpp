#include "tests/support/fake_file_server.hpp"

#include <algorithm>
#include <cerrno>

#include "common/fileproto/block_names.hpp"

namespace test_support {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::Fid;
using common::MutexLock;
using common::NodeId;
using common::Result;
using common::Seq;
using common::Status;
using common::VolumeId;
using fileproto::NodeKind;

namespace {

constexpr NodeId kRoot{1};

FakeNode new_node(NodeId id, NodeKind kind, std::uint32_t mode, NodeId home) {
  FakeNode node;
  node.attributes.node = id;
  node.attributes.kind = kind;
  node.attributes.mode = mode;
  node.attributes.links = kind == NodeKind::Directory ? 2 : 1;
  node.attributes.home = home;
  return node;
}

}  // namespace

void FakeStaging::mark(std::uint64_t begin, std::uint64_t end) {
  auto at = there.upper_bound(begin);
  if (at != there.begin() && std::prev(at)->second >= begin)
    --at;
  while (at != there.end() && at->first <= end) {
    begin = std::min(begin, at->first);
    end = std::max(end, at->second);
    at = there.erase(at);
  }
  there[begin] = end;
}

bool FakeStaging::has(std::uint64_t begin, std::uint64_t end) const {
  const auto at = there.upper_bound(begin);
  return at != there.begin() && std::prev(at)->second >= end;
}

// One commit on its way: on a copy of the volume, which takes its place if all went well.
struct FakeFileServer::Applying {
  FakeVolume volume;
  ByteView bytes;
  fileproto::ChangeResult result;
  std::set<NodeId> touched;

  FakeNode& at(NodeId id) { return volume.nodes.at(id); }
  Result<FakeNode*> find(NodeId id) {
    const auto found = volume.nodes.find(id);
    if (found == volume.nodes.end())
      return fail_posix(ENOENT, "there is no such node");
    return &found->second;
  }
  ByteView take(std::uint64_t count) {
    const ByteView taken = bytes.first(count);
    bytes = bytes.subspan(count);
    return taken;
  }
  void touch(NodeId id, bool data) {
    FakeNode& node = at(id);
    node.attributes.version = Seq{volume.seq};
    if (data)
      node.attributes.data_version = Seq{volume.seq};
    node.attributes.size = node.attributes.kind == NodeKind::File ? node.bytes.size() : 0;
    touched.insert(id);
  }
};

FakeFileServer::FakeFileServer() {
  for (const auto& [number, name] : {std::pair{1U, "root"}, std::pair{2U, "data"}}) {
    FakeVolume& volume = volumes_[VolumeId{number}];
    volume.name = name;
    volume.nodes[kRoot] = new_node(kRoot, NodeKind::Directory, 0755, kRoot);
  }
  FakeVolume& root = volumes_[VolumeId{1}];
  root.flags = fileproto::volume_flag::kRoot;
  const NodeId mount{root.next_node++};
  root.nodes[mount] = new_node(mount, NodeKind::Directory, 0755, kRoot);
  root.nodes[mount].attributes.attached = VolumeId{2};
  root.nodes[kRoot].entries["data"] = mount;
  add_reads();
  add_changes();
}

void FakeFileServer::fail_next(const std::string& operation, common::Error error, bool after,
                               std::size_t skip) {
  const MutexLock lock(mutex_);
  failures_[operation].push_back({std::move(error), after, skip});
}

std::size_t FakeFileServer::calls(const std::string& operation) {
  const MutexLock lock(mutex_);
  return calls_[operation];
}

std::size_t FakeFileServer::commits() {
  const MutexLock lock(mutex_);
  return commits_;
}

FakeNode FakeFileServer::node_at(VolumeId volume, const std::string& path) {
  const MutexLock lock(mutex_);
  NodeId at = kRoot;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    if (slash > 0) {
      const FakeNode& node = volumes_.at(volume).nodes.at(at);
      const auto found = node.entries.find(std::string(rest.substr(0, slash)));
      if (found == node.entries.end())
        throw std::runtime_error("the fake server has no " + path);
      at = found->second;
    }
    rest.remove_prefix(std::min(slash + 1, rest.size()));
  }
  return volumes_.at(volume).nodes.at(at);
}

std::string FakeFileServer::text_of(VolumeId volume, const std::string& path) {
  return std::string(common::as_text(node_at(volume, path).bytes));
}

FakeFileServer::Reply FakeFileServer::answer(common::rpc::Call&, const std::string& name,
                                             const std::function<Reply()>& run) {
  const MutexLock lock(mutex_);
  ++calls_[name];
  std::optional<Failure> failure;
  if (auto& planned = failures_[name]; !planned.empty() && planned.front().skip-- == 0) {
    failure = planned.front();
    planned.pop_front();
  }
  if (failure && !failure->after)
    return tl::unexpected(failure->error);
  Reply reply = run();
  return failure ? Reply(tl::unexpected(failure->error)) : std::move(reply);
}

template <typename Args>
void FakeFileServer::add(const std::string& name,
                         Reply (FakeFileServer::*run)(const Args&, ByteView),
                         std::uint64_t body_cap) {
  cell_.add({.service = "file",
             .name = name,
             .handler = [this, name, run](common::rpc::Call& call) -> Reply {
               auto args = fileproto::decode<Args>(call.args());
               if (!args)
                 return tl::unexpected(args.error());
               return answer(call, name, [&] { return (this->*run)(*args, call.body()); });
             },
             .body_cap = body_cap});
}

void FakeFileServer::add_reads() {
  constexpr std::uint64_t kPieceCap = (9 << 20);
  add("volumes", &FakeFileServer::volumes);
  add("lookup", &FakeFileServer::lookup);
  add("walk", &FakeFileServer::walk);
  add("getattr", &FakeFileServer::getattr);
  add("list", &FakeFileServer::list);
  add("readlink", &FakeFileServer::readlink);
  add("fetch", &FakeFileServer::fetch);
  add("bulk", &FakeFileServer::bulk);
  add("stage-open", &FakeFileServer::stage_open);
  add("stage-write", &FakeFileServer::stage_write, kPieceCap);
  add("stage-state", &FakeFileServer::stage_state);
  add("stage-drop", &FakeFileServer::stage_drop);
}

template <typename C>
void FakeFileServer::add_change(const std::string& name) {
  cell_.add({.service = "file",
             .name = name,
             .handler = [this, name](common::rpc::Call& call) -> Reply {
               auto args = fileproto::decode<fileproto::ChangeArgs<C>>(call.args());
               if (!args)
                 return tl::unexpected(args.error());
               return answer(call, name, [&] {
                 return change(call.head(), args->scope, {args->change}, call.body());
               });
             },
             .body_cap = 2 << 20,
             .needs_operation_id = true});
}

void FakeFileServer::add_changes() {
  add_change<fileproto::Create>("create");
  add_change<fileproto::Mkdir>("mkdir");
  add_change<fileproto::Symlink>("symlink");
  add_change<fileproto::Link>("link");
  add_change<fileproto::Unlink>("unlink");
  add_change<fileproto::Rmdir>("rmdir");
  add_change<fileproto::Rename>("rename");
  add_change<fileproto::Setattr>("setattr");
  add_change<fileproto::Store>("store");
  add_change<fileproto::CopyRange>("copy-range");
  cell_.add({.service = "file",
             .name = "batch",
             .handler = [this](common::rpc::Call& call) -> Reply {
               auto args = fileproto::decode<fileproto::BatchArgs>(call.args());
               if (!args)
                 return tl::unexpected(args.error());
               return answer(call, "batch", [&] {
                 return change(call.head(), args->scope, args->changes, call.body());
               });
             },
             .body_cap = 2 << 20,
             .needs_operation_id = true});
}

Result<FakeNode*> FakeFileServer::node(Fid fid) {
  const auto volume = volumes_.find(fid.volume);
  if (volume == volumes_.end())
    return fail(ErrorCode::NotFound, "no such volume");
  const auto found = volume->second.nodes.find(fid.node);
  if (found == volume->second.nodes.end())
    return fail_posix(ENOENT, "there is no such node");
  return &found->second;
}

fileproto::VolumeState FakeFileServer::state(VolumeId volume) {
  return {common::Epoch{1}, Seq{volumes_.at(volume).seq}, {}};
}

// --- reads ---

FakeFileServer::Reply FakeFileServer::volumes(const fileproto::VolumesArgs&, ByteView) {
  fileproto::VolumesResult result;
  for (const auto& [number, volume] : volumes_) {
    fileproto::VolumeEntry entry;
    entry.volume = number;
    entry.name = volume.name;
    entry.root = kRoot;
    entry.flags = volume.flags;
    result.volumes.push_back(entry);
  }
  return common::rpc::Reply::text(fileproto::encode(result));
}

FakeFileServer::Reply FakeFileServer::lookup(const fileproto::LookupArgs& args, ByteView) {
  TROTH_TRY(FakeNode * dir, node(args.dir));
  fileproto::LookupResult result;
  result.state = state(args.dir.volume);
  result.dir = dir->attributes;
  if (const auto found = dir->entries.find(args.name); found != dir->entries.end())
    result.node = volumes_.at(args.dir.volume).nodes.at(found->second).attributes;
  return common::rpc::Reply::text(fileproto::encode(result));
}

FakeFileServer::Reply FakeFileServer::walk(const fileproto::WalkArgs& args, ByteView) {
  TROTH_TRY(FakeNode * at, node(args.from));
  fileproto::WalkResult result;
  result.state = state(args.from.volume);
  result.from = at->attributes;
  for (const std::string& name : args.names) {
    const auto found = at->entries.find(name);
    if (found == at->entries.end())
      break;
    at = &volumes_.at(args.from.volume).nodes.at(found->second);
    result.steps.push_back(at->attributes);
    if (at->attributes.kind == NodeKind::Symlink || at->attributes.attached != VolumeId{})
      break;
  }
  return common::rpc::Reply::text(fileproto::encode(result));
}

FakeFileServer::Reply FakeFileServer::getattr(const fileproto::GetattrArgs& args, ByteView) {
  fileproto::GetattrResult result;
  result.state = state(args.fids.at(0).volume);
  for (const Fid& fid : args.fids) {
    auto found = node(fid);
    if (found)
      result.nodes.emplace_back((*found)->attributes);
    else
      result.nodes.emplace_back(tl::unexpected(found.error()));
  }
  return common::rpc::Reply::text(fileproto::encode(result));
}

FakeFileServer::Reply FakeFileServer::list(const fileproto::ListArgs& args, ByteView) {
  TROTH_TRY(FakeNode * dir, node(args.dir));
  fileproto::ListResult result;
  result.state = state(args.dir.volume);
  result.dir = dir->attributes;
  auto at = args.after.empty() ? dir->entries.begin() : dir->entries.upper_bound(args.after);
  for (; at != dir->entries.end() && result.entries.size() < args.limit; ++at)
    result.entries.push_back(
        {at->first, volumes_.at(args.dir.volume).nodes.at(at->second).attributes});
  if (at != dir->entries.end())
    result.next = result.entries.back().name;
  fileproto::PackedList packed = fileproto::encode_packed(result);
  common::rpc::Reply reply = common::rpc::Reply::text(std::move(packed.head));
  reply.bytes = std::move(packed.raw);
  return reply;
}

FakeFileServer::Reply FakeFileServer::readlink(const fileproto::ReadlinkArgs& args, ByteView) {
  TROTH_TRY(FakeNode * link, node(args.fid));
  fileproto::ReadlinkResult result;
  result.state = state(args.fid.volume);
  result.node = link->attributes;
  result.target = link->target;
  return common::rpc::Reply::text(fileproto::encode(result));
}

FakeFileServer::Reply FakeFileServer::fetch(const fileproto::FetchArgs& args, ByteView) {
  TROTH_TRY(FakeNode * file, node(args.fid));
  if (args.version && *args.version != file->attributes.version)
    return fail(ErrorCode::Stale, "that version is gone");
  fileproto::FetchResult result;
  result.state = state(args.fid.volume);
  result.node = file->attributes;
  common::rpc::Reply reply;
  for (const fileproto::ByteRange& range : args.ranges) {
    const std::uint64_t begin = std::min<std::uint64_t>(range.offset, file->bytes.size());
    const std::uint64_t length = std::min<std::uint64_t>(range.length, file->bytes.size() - begin);
    if (length == 0)
      continue;
    result.ranges.push_back({begin, length});
    const auto from = file->bytes.begin() + static_cast<std::ptrdiff_t>(begin);
    reply.bytes.insert(reply.bytes.end(), from, from + static_cast<std::ptrdiff_t>(length));
  }
  reply.result = fileproto::encode(result);
  return reply;
}

FakeFileServer::Reply FakeFileServer::bulk(const fileproto::BulkArgs& args, ByteView) {
  constexpr std::size_t kMost = 100;  // so that tests see more than one answer
  fileproto::BulkResult result;
  result.state = state(args.nodes.at(0).fid.volume);
  common::rpc::Reply reply;
  for (const auto& wanted : args.nodes) {
    if (result.count == kMost)
      break;
    ++result.count;
    fileproto::BulkFile file;
    auto found = node(wanted.fid);
    file.node.node = wanted.fid.node;
    if (found) {
      file.kind = fileproto::BulkKind::Whole;
      file.node = (*found)->attributes;
      file.bytes = (*found)->bytes;
    }
    fileproto::append_bulk(reply.bytes, file);
  }
  reply.result = fileproto::encode(result);
  return reply;
}

// --- stagings ---

FakeFileServer::Reply FakeFileServer::stage_reply(Fid fid) {
  const auto& stagings = volumes_.at(fid.volume).stagings;
  const auto found = stagings.find(fid.node);
  if (found == stagings.end())
    return fail(ErrorCode::NotFound, "there is no such staging");
  fileproto::StageResult result;
  result.state = state(fid.volume);
  result.staging = fid;
  result.size = found->second.bytes.size();
  for (const auto& [begin, end] : found->second.there)
    result.ranges.push_back({begin, end - begin});
  return common::rpc::Reply::text(fileproto::encode(result));
}

FakeFileServer::Reply FakeFileServer::stage_open(const fileproto::StageOpenArgs& args, ByteView) {
  FakeVolume& volume = volumes_.at(args.volume);
  const NodeId id{volume.next_node++};
  volume.stagings[id] = {Bytes(args.size), {}};
  return stage_reply({args.volume, id});
}

FakeFileServer::Reply FakeFileServer::stage_write(const fileproto::StageWriteArgs& args,
                                                  ByteView bytes) {
  TROTH_TRY(const auto hash, fileproto::hash_of_piece(args.offset, bytes));
  if (hash != args.hash)
    return fail(ErrorCode::Corrupt, "the piece is not what its hash says");
  auto& stagings = volumes_.at(args.staging.volume).stagings;
  const auto found = stagings.find(args.staging.node);
  if (found == stagings.end())
    return fail(ErrorCode::NotFound, "there is no such staging");
  if (args.offset + bytes.size() > found->second.bytes.size())
    return fail(ErrorCode::InvalidArgument, "beyond the end");
  std::copy(bytes.begin(), bytes.end(),
            found->second.bytes.begin() + static_cast<std::ptrdiff_t>(args.offset));
  found->second.mark(args.offset, args.offset + bytes.size());
  return stage_reply(args.staging);
}

FakeFileServer::Reply FakeFileServer::stage_state(const fileproto::StageStateArgs& args, ByteView) {
  return stage_reply(args.staging);
}

FakeFileServer::Reply FakeFileServer::stage_drop(const fileproto::StageDropArgs& args, ByteView) {
  volumes_.at(args.staging.volume).stagings.erase(args.staging.node);
  return common::rpc::Reply::text(fileproto::encode(fileproto::Done{}));
}

// --- changes ---

Status FakeFileServer::check(const std::vector<fileproto::Condition>& conditions) {
  for (const auto& condition : conditions) {
    if (const auto* data = std::get_if<fileproto::DataVersionIs>(&condition)) {
      TROTH_TRY(const FakeNode* file, node(data->fid));
      if (file->attributes.data_version != data->data_version)
        return fail(ErrorCode::Conflict, "the file is not what it was");
    }
  }
  return {};
}

Result<NodeId> FakeFileServer::make(Applying& to, const fileproto::NewNode& made, NodeKind kind) {
  TROTH_TRY(FakeNode * dir, to.find(made.dir.node));
  if (dir->attributes.kind != NodeKind::Directory)
    return fail_posix(ENOTDIR, "not a directory");
  if (dir->entries.contains(made.name))
    return fail_posix(EEXIST, "{} is there already", made.name);
  const NodeId id{to.volume.next_node++};
  dir->entries[made.name] = id;
  to.volume.nodes[id] = new_node(id, kind, made.mode, made.dir.node);
  to.touch(id, true);
  to.touch(made.dir.node, true);
  to.result.outcomes.back().created = id;
  return id;
}

Status FakeFileServer::store(Applying& to, const fileproto::Store& store) {
  TROTH_TRY(FakeNode * file, to.find(store.fid.node));
  if (store.base && *store.base != file->attributes.data_version) {
    if (to.volume.refuses_conflicts)
      return fail(ErrorCode::Conflict, "the base is not the present version");
    to.result.outcomes.back().lost = file->attributes.data_version;
  }
  if (!store.base)
    file->bytes.clear();
  file->bytes.resize(store.size);
  for (const auto& hole : store.holes)
    std::fill_n(file->bytes.begin() + static_cast<std::ptrdiff_t>(hole.offset), hole.length,
                std::byte{0});
  for (const auto& edit : store.edits) {
    ByteView from;
    if (store.staging) {
      const FakeStaging& staging = to.volume.stagings.at(*store.staging);
      if (!staging.has(edit.from, edit.from + edit.length))
        return fail(ErrorCode::InvalidArgument, "bytes that were never staged");
      from = ByteView(staging.bytes).subspan(edit.from, edit.length);
    } else {
      from = to.take(edit.length);
    }
    std::copy(from.begin(), from.end(),
              file->bytes.begin() + static_cast<std::ptrdiff_t>(edit.offset));
  }
  if (store.staging)
    to.volume.stagings.erase(*store.staging);
  if (store.mtime)
    file->attributes.mtime = *store.mtime;
  to.touch(store.fid.node, true);
  return {};
}

Status FakeFileServer::rename(Applying& to, const fileproto::Rename& rename) {
  TROTH_TRY(FakeNode * dir, to.find(rename.dir.node));
  TROTH_TRY(FakeNode * target, to.find(rename.to.node));
  const auto found = dir->entries.find(rename.name);
  if (found == dir->entries.end())
    return fail_posix(ENOENT, "no {}", rename.name);
  if (rename.mode == fileproto::RenameMode::NoReplace && target->entries.contains(rename.to_name))
    return fail_posix(EEXIST, "{} is there already", rename.to_name);
  const NodeId id = found->second;
  dir->entries.erase(found);
  if (rename.mode == fileproto::RenameMode::Exchange)
    dir->entries[rename.name] = target->entries.at(rename.to_name);
  target->entries[rename.to_name] = id;
  to.touch(id, false);
  to.touch(rename.dir.node, true);
  to.touch(rename.to.node, true);
  return {};
}

Status FakeFileServer::apply(Applying& to, const fileproto::Change& change) {
  to.result.outcomes.emplace_back();
  if (const auto* create = std::get_if<fileproto::Create>(&change)) {
    TROTH_TRY(const NodeId id, make(to, create->made, NodeKind::File));
    const ByteView bytes = to.take(create->bytes);
    to.at(id).bytes.assign(bytes.begin(), bytes.end());
    to.touch(id, true);
    return {};
  }
  if (const auto* mkdir = std::get_if<fileproto::Mkdir>(&change)) {
    TROTH_TRY(const NodeId id, make(to, mkdir->made, NodeKind::Directory));
    static_cast<void>(id);
    return {};
  }
  if (const auto* symlink = std::get_if<fileproto::Symlink>(&change)) {
    TROTH_TRY(const NodeId id, make(to, symlink->made, NodeKind::Symlink));
    to.at(id).target = symlink->target;
    return {};
  }
  if (const auto* store_change = std::get_if<fileproto::Store>(&change))
    return store(to, *store_change);
  if (const auto* rename_change = std::get_if<fileproto::Rename>(&change))
    return rename(to, *rename_change);
  if (const auto* link = std::get_if<fileproto::Link>(&change)) {
    TROTH_TRY(FakeNode * dir, to.find(link->dir.node));
    if (!dir->entries.emplace(link->name, link->fid.node).second)
      return fail_posix(EEXIST, "{} is there already", link->name);
    ++to.at(link->fid.node).attributes.links;
    to.touch(link->fid.node, false);
    return {};
  }
  if (const auto* setattr = std::get_if<fileproto::Setattr>(&change)) {
    TROTH_TRY(FakeNode * file, to.find(setattr->fid.node));
    if (setattr->mode)
      file->attributes.mode = *setattr->mode;
    if (setattr->mtime && setattr->mtime->to)
      file->attributes.mtime = *setattr->mtime->to;
    if (setattr->size)
      file->bytes.resize(*setattr->size);
    to.touch(setattr->fid.node, setattr->size.has_value());
    return {};
  }
  if (const auto* copy = std::get_if<fileproto::CopyRange>(&change)) {
    TROTH_TRY(const FakeNode* from, to.find(copy->from.node));
    const Bytes bytes = from->bytes;
    TROTH_TRY(FakeNode * file, to.find(copy->to.node));
    file->bytes.resize(std::max<std::size_t>(file->bytes.size(), copy->to_offset + copy->length));
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(copy->from_offset), copy->length,
                file->bytes.begin() + static_cast<std::ptrdiff_t>(copy->to_offset));
    to.touch(copy->to.node, true);
    return {};
  }
  const auto* unlink = std::get_if<fileproto::Unlink>(&change);
  const auto* rmdir = std::get_if<fileproto::Rmdir>(&change);
  if (unlink == nullptr && rmdir == nullptr)
    return fail(ErrorCode::Unsupported, "the fake server cannot do that");
  const Fid dir_fid = unlink != nullptr ? unlink->dir : rmdir->dir;
  const std::string& name = unlink != nullptr ? unlink->name : rmdir->name;
  TROTH_TRY(FakeNode * dir, to.find(dir_fid.node));
  const auto found = dir->entries.find(name);
  if (found == dir->entries.end())
    return fail_posix(ENOENT, "no {}", name);
  const FakeNode& gone = to.at(found->second);
  if ((gone.attributes.kind == NodeKind::Directory) != (rmdir != nullptr))
    return fail_posix(rmdir != nullptr ? ENOTDIR : EISDIR, "{} is of another kind", name);
  if (!gone.entries.empty())
    return fail_posix(ENOTEMPTY, "{} is not empty", name);
  to.result.gone.push_back(found->second);
  to.volume.nodes.erase(found->second);
  dir->entries.erase(found);
  to.touch(dir_fid.node, true);
  return {};
}

FakeFileServer::Reply FakeFileServer::change(const common::rpc::CallHead& head,
                                             const fileproto::ChangeScope& scope,
                                             const std::vector<fileproto::Change>& changes,
                                             ByteView bytes) {
  if (const auto record = records_.find(head.id); record != records_.end())
    return common::rpc::Reply::text(record->second);
  TROTH_TRY_VOID(check(scope.conditions));
  const VolumeId volume = std::visit(
      [](const auto& one) -> VolumeId {
        if constexpr (requires { one.made; })
          return one.made.dir.volume;
        else if constexpr (requires { one.dir; })
          return one.dir.volume;
        else if constexpr (requires { one.fid; })
          return one.fid.volume;
        else
          return one.to.volume;
      },
      changes.at(0));
  Applying to{volumes_.at(volume), bytes, {}, {}};
  ++to.volume.seq;
  for (const auto& each : changes)
    TROTH_TRY_VOID(apply(to, each));
  to.result.seq = Seq{to.volume.seq};
  for (const NodeId id : to.touched) {
    if (to.volume.nodes.contains(id))
      to.result.nodes.push_back({to.volume.nodes.at(id).attributes, {}});
  }
  volumes_.at(volume) = std::move(to.volume);
  to.result.state = state(volume);
  ++commits_;
  std::string text = fileproto::encode(to.result);
  records_[head.id] = text;
  return common::rpc::Reply::text(std::move(text));
}

}  // namespace test_support
