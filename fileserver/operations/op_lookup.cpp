// Looking: names, attributes, listings. Everything of one call is read in one moment.

#include <cerrno>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "fileserver/access/whynot.hpp"
#include "fileserver/content/content_access.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::rpc::Reply;
using fileproto::decode;

// A node of which a directory's entry tells.
Result<store::Attributes> node_of(const CallView& view, NodeId node) {
  TROTH_TRY(const auto found, store::read_attributes(view.moment().tx, node, view.moment().at));
  if (!found)
    return fail(ErrorCode::Corrupt, "a directory names node {}, which is not there", node.value);
  return *found;
}

Result<Reply> lookup(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::LookupArgs>(call.args()));
  call.note(args.dir);
  TROTH_TRY(const VolumeRef volume, call.volume(args.dir.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::LookupResult result;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    TROTH_TRY(const auto directory, view.directory(args.dir.node));
    TROTH_TRY_VOID(view.may(view.judge().search(directory)));
    TROTH_TRY(result.dir, describe(directory, view));
    TROTH_TRY(const auto entry,
              store::read_entry(view.moment().tx, args.dir.node, args.name, view.moment().at));
    if (!entry)
      return {};
    TROTH_TRY(const auto node, node_of(view, entry->child));
    TROTH_TRY(result.node, describe(node, view));
    return {};
  });
  TROTH_TRY_VOID(looked);
  TROTH_TRY_VOID(judge_now(call, volume, args.scope, args.dir.node, Told::Names));
  if (result.node)
    TROTH_TRY_VOID(judge_now(call, volume, args.scope, result.node->node, Told::Attributes));
  std::vector<fileproto::Attributes*> nodes{&result.dir};
  if (result.node)
    nodes.push_back(&*result.node);
  grant(grants, volume.id(), nodes);
  result.state = state_of(volume, grants.clock());
  return Reply::text(encode(result));
}

Result<Reply> walk(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::WalkArgs>(call.args()));
  call.note(args.from);
  TROTH_TRY(const VolumeRef volume, call.volume(args.from.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::WalkResult result;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    TROTH_TRY(store::Attributes at, view.directory(args.from.node));
    TROTH_TRY(result.from, describe(at, view));
    for (const std::string& name : args.names) {
      // What is closed to the caller, or lies in another volume, ends the walk.
      if (at.kind != store::NodeKind::Directory || !view.allows(view.judge().search(at)) ||
          volume.entry().attachments.contains(at.node))
        break;
      TROTH_TRY(const auto entry,
                store::read_entry(view.moment().tx, at.node, name, view.moment().at));
      if (!entry)
        break;
      TROTH_TRY(at, node_of(view, entry->child));
      TROTH_TRY(auto described, describe(at, view));
      result.steps.push_back(described);
    }
    return {};
  });
  TROTH_TRY_VOID(looked);
  TROTH_TRY_VOID(judge_now(call, volume, args.scope, args.from.node, Told::Attributes));
  for (std::size_t i = 0; i < result.steps.size(); ++i) {
    const NodeId in = i == 0 ? args.from.node : result.steps[i - 1].node;
    if (judge_now(call, volume, args.scope, in, Told::Names) &&
        judge_now(call, volume, args.scope, result.steps[i].node, Told::Attributes))
      continue;
    result.steps.resize(i);
    break;
  }
  std::vector<fileproto::Attributes*> nodes{&result.from};
  for (auto& step : result.steps)
    nodes.push_back(&step);
  grant(grants, volume.id(), nodes);
  result.state = state_of(volume, grants.clock());
  return Reply::text(encode(result));
}

// What a judgement needs of nodes that are in memory; whatever is not there fails.
class RememberedSource final : public access::Source {
 public:
  RememberedSource(NodeMemory& memory, common::VolumeId volume, std::uint64_t state)
      : memory_(memory), volume_(volume), state_(state) {}

  Result<std::optional<store::Attributes>> attributes(NodeId node) override {
    auto known = memory_.find({volume_, node}, state_);
    return known ? Result<std::optional<store::Attributes>>(known) : missing();
  }
  Result<std::optional<access::Acl>> list(NodeId) override { return missing(); }
  Result<bool> has_link(NodeId, NodeId) override { return missing(); }

 private:
  static tl::unexpected<common::Error> missing() {
    return tl::unexpected(common::Error{ErrorCode::NotFound, {}});
  }

  NodeMemory& memory_;
  const common::VolumeId volume_;
  const std::uint64_t state_;
};

// All of what getattr answers, of one moment, without a look at the database: possible if nothing
// has been committed since each node was read, and the ways to them are known to be open. False:
// it is not, or somebody is to be refused, who is told why by the rows.
bool answer_from_memory(FileCall& call, const VolumeRef& volume, const fileproto::GetattrArgs& args,
                        std::vector<fileproto::AttributesOrError>& nodes) {
  // In this order: of a commit that changes rights and nodes, the nodes are not seen before the
  // rights.
  const std::uint64_t state = args.scope.at ? 0 : volume->read_state();
  const auto generation = volume.generation().now();
  if (state == 0 || !generation)
    return false;
  const auto caller = CallView::caller_of(call, volume, args.scope.as);
  if (!caller)
    return false;
  NodeMemory& memory = call.parts().volumes.nodes();
  access::PathCache& paths = call.parts().paths;
  RememberedSource source(memory, volume.id(), state);
  access::Judge judge({.caller = *caller,
                       .source = source,
                       .volume = volume.id(),
                       .via = args.scope.via,
                       .cache = &paths,
                       .generation = generation});
  bool administered = false;
  for (const Fid& fid : args.fids) {
    const auto node = memory.find(fid, state);
    if (!node || node->links == 0)
      return false;
    const auto verdict = judge.reach(*node);
    const bool is_directory = node->kind == store::NodeKind::Directory;
    const auto governed =
        paths.find_governed({volume.id(), is_directory ? node->node : node->home}, *generation);
    if (!verdict || !verdict->allowed || !governed)
      return false;
    administered = administered || verdict->by_administration();
    fileproto::Attributes described = describe(*node, volume.entry());
    described.governed = *governed;
    nodes.emplace_back(described);
  }
  if (administered)
    call.note_administration();
  return true;
}

// By a look at the database, which is remembered.
Status look_up_attributes(FileCall& call, const VolumeRef& volume,
                          const fileproto::GetattrArgs& args,
                          std::vector<fileproto::AttributesOrError>& nodes) {
  const std::uint64_t state = args.scope.at ? 0 : volume->read_state();
  std::vector<store::Attributes> read;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    nodes.clear();
    read.clear();
    for (const Fid& fid : args.fids) {
      const auto node = view.node(fid.node);
      if (!node) {
        nodes.emplace_back(tl::unexpected(node.error()));
        continue;
      }
      TROTH_TRY(auto described, describe(*node, view));
      nodes.emplace_back(described);
      read.push_back(*node);
    }
    return {};
  });
  if (looked && state != 0) {
    for (const store::Attributes& node : read)
      call.parts().volumes.nodes().keep({volume.id(), node.node}, state, node);
  }
  return looked;
}

Result<Reply> getattr(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::GetattrArgs>(call.args()));
  if (args.fids.empty())
    return fail(ErrorCode::InvalidArgument, "getattr of no node");
  call.note(args.fids[0]);
  TROTH_TRY(const VolumeRef volume, call.volume(args.fids[0].volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::GetattrResult result;
  result.nodes.reserve(args.fids.size());
  if (!answer_from_memory(call, volume, args, result.nodes))
    TROTH_TRY_VOID(look_up_attributes(call, volume, args, result.nodes));
  for (auto& node : result.nodes) {
    if (!node)
      continue;
    if (Status now = judge_now(call, volume, args.scope, node->node, Told::Attributes); !now)
      node = tl::unexpected(std::move(now).error());
  }
  std::vector<fileproto::Attributes*> nodes;
  for (auto& node : result.nodes) {
    if (node)
      nodes.push_back(&*node);
  }
  grant(grants, volume.id(), nodes);
  result.state = state_of(volume, grants.clock());
  return Reply::text(encode(result));
}

// A listing of the past: whoever may list the directory now; what has gone from it to where he may
// not look is left out.
Status leave_out_closed(FileCall& call, const VolumeRef& volume, fileproto::Scope scope,
                        fileproto::ListResult& listed) {
  scope.at.reset();
  return look_at(call, volume, scope, [&](CallView& now) -> Status {
    TROTH_TRY_VOID(may_read_now(now, listed.dir.node, Told::Bytes));
    TROTH_TRY_VOID(may_read_now(now, listed.dir.node, Told::Names));
    std::vector<fileproto::ListEntry> open;
    for (auto& entry : listed.entries) {
      TROTH_TRY(const auto node, now.source().attributes(entry.node.node));
      if (!node || node->links == 0 || now.allows(now.judge().reach(*node)))
        open.push_back(std::move(entry));
    }
    listed.entries = std::move(open);
    return {};
  });
}

Result<Reply> list(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::ListArgs>(call.args()));
  call.note(args.dir);
  TROTH_TRY(const VolumeRef volume, call.volume(args.dir.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::ListResult result;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    result.entries.clear();
    TROTH_TRY(const auto directory, view.directory(args.dir.node));
    TROTH_TRY_VOID(view.may(view.judge().list(directory)));
    TROTH_TRY(result.dir, describe(directory, view));
    // Who may list but not search learns names only in POSIX; here attributes come along, so both
    // are asked.
    TROTH_TRY_VOID(view.may(view.judge().search(directory)));
    const std::size_t limit = std::min<std::size_t>(args.limit, fileproto::kMaxListEntries);
    TROTH_TRY(auto entries,
              store::read_entries_attributes(view.moment().tx, args.dir.node, args.after, limit + 1,
                                             view.moment().at));
    std::size_t bytes = 0;
    for (auto& entry : entries) {
      bytes += entry.name.size() + 1 + fileproto::kPackedAttributes;
      if (result.entries.size() == limit || bytes > fileproto::kMaxListBytes) {
        result.next = result.entries.back().name;
        break;
      }
      TROTH_TRY(auto described, describe(entry.attributes, view));
      result.entries.push_back({std::move(entry.name), described});
    }
    return {};
  });
  TROTH_TRY_VOID(looked);
  if (args.scope.at)
    TROTH_TRY_VOID(leave_out_closed(call, volume, args.scope, result));
  std::vector<fileproto::Attributes*> nodes{&result.dir};
  for (auto& entry : result.entries)
    nodes.push_back(&entry.node);
  grant(grants, volume.id(), nodes);
  result.state = state_of(volume, grants.clock());
  if (!args.packed)
    return Reply::text(encode(result));
  auto packed = fileproto::encode_packed(result);
  Reply reply = Reply::text(std::move(packed.head));
  reply.bytes = std::move(packed.raw);
  return reply;
}

Result<Reply> revalidate(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::RevalidateArgs>(call.args()));
  if (args.nodes.empty())
    return fail(ErrorCode::InvalidArgument, "revalidate of no node");
  TROTH_TRY(const VolumeRef volume, call.volume(args.nodes[0].fid.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::RevalidateResult result;
  std::vector<fileproto::Attributes> same;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    result = {};
    same.clear();
    for (const auto& asked : args.nodes) {
      const auto node = view.node(asked.fid.node);
      if (!node) {
        result.gone.push_back(asked.fid.node);
        continue;
      }
      TROTH_TRY(auto described, describe(*node, view));
      (node->version == asked.version ? same : result.changed).push_back(described);
    }
    return {};
  });
  TROTH_TRY_VOID(looked);
  for (auto* list : {&same, &result.changed}) {
    std::erase_if(*list, [&](const fileproto::Attributes& node) {
      const bool closed =
          !judge_now(call, volume, args.scope, node.node, Told::Attributes).has_value();
      if (closed)
        result.gone.push_back(node.node);
      return closed;
    });
  }
  std::vector<fileproto::Attributes*> nodes;
  for (auto* list : {&same, &result.changed}) {
    for (auto& node : *list)
      nodes.push_back(&node);
  }
  grant(grants, volume.id(), nodes);
  // What is as it was, but cannot be promised now, has to be told of.
  for (auto& node : same) {
    if (!node.granted)
      result.changed.push_back(node);
  }
  result.state = state_of(volume, grants.clock());
  return Reply::text(encode(result));
}

// A read of one node that tells its attributes besides.
template <typename Args, typename ResultType, typename F>
Result<Reply> of_node(FileCall& call, F&& what, Told told = Told::Attributes) {
  TROTH_TRY(const auto args, decode<Args>(call.args()));
  call.note(args.fid);
  TROTH_TRY(const VolumeRef volume, call.volume(args.fid.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  ResultType result;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    TROTH_TRY(const auto node, view.node(args.fid.node));
    TROTH_TRY(result.node, describe(node, view));
    return what(view, node, args, result);
  });
  TROTH_TRY_VOID(looked);
  TROTH_TRY_VOID(judge_now(call, volume, args.scope, args.fid.node, told));
  fileproto::Attributes* const nodes[] = {&result.node};
  grant(grants, volume.id(), nodes);
  result.state = state_of(volume, grants.clock());
  return Reply::text(encode(result));
}

Result<Reply> readlink(FileCall& call) {
  return of_node<fileproto::ReadlinkArgs, fileproto::ReadlinkResult>(
      call, [](CallView& view, const store::Attributes& node, const auto&, auto& result) -> Status {
        TROTH_TRY(result.target,
                  view.volume()->read_link(view.moment().tx, node.node, view.moment().at));
        return {};
      });
}

bool is_reserved(std::string_view name) {
  return name.starts_with(kReservedXattrs);
}

Result<Reply> xattr(FileCall& call) {
  return of_node<fileproto::XattrArgs, fileproto::XattrResult>(
      call,
      [](CallView& view, const store::Attributes& node, const auto& args, auto& result) -> Status {
        TROTH_TRY_VOID(view.may(view.judge().get_xattr(node, args.name)));
        TROTH_TRY(const auto value,
                  store::read_xattr(view.moment().tx, node.node, args.name, view.moment().at));
        if (!value || is_reserved(args.name))
          return fail_posix(ENODATA, "there is no extended attribute \"{}\"", args.name);
        result.value = common::as_text(*value);
        return {};
      },
      Told::Bytes);
}

Result<Reply> xattrs(FileCall& call) {
  return of_node<fileproto::XattrsArgs, fileproto::XattrsResult>(
      call, [](CallView& view, const store::Attributes& node, const auto&, auto& result) -> Status {
        TROTH_TRY(result.names,
                  store::read_xattr_names(view.moment().tx, node.node, view.moment().at));
        std::erase_if(result.names, [](const auto& name) { return is_reserved(name); });
        return {};
      });
}

Result<Reply> acl(FileCall& call) {
  return of_node<fileproto::AclArgs, fileproto::AclResult>(
      call, [](CallView& view, const store::Attributes& node, const auto&, auto& result) -> Status {
        result.governor = node.kind == store::NodeKind::Directory ? node.node : node.home;
        TROTH_TRY(result.acl, view.source().list(result.governor));
        return {};
      });
}

Result<Reply> access_of(FileCall& call) {
  return of_node<fileproto::AccessArgs, fileproto::AccessResult>(
      call, [](CallView& view, const store::Attributes& node, const auto&, auto& result) -> Status {
        TROTH_TRY(const access::Permissions permissions, view.judge().permissions(node));
        result.allowed = static_cast<std::uint8_t>(permissions.caller);
        result.everybody = static_cast<std::uint8_t>(permissions.everybody);
        result.rights = permissions.rights;
        return {};
      });
}

Result<Reply> whynot(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::WhynotArgs>(call.args()));
  call.note(args.fid);
  TROTH_TRY(const VolumeRef volume, call.volume(args.fid.volume));
  fileproto::WhynotResult result;
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    const auto say = [&](const access::Verdict& verdict) {
      result.allowed = verdict.allowed;
      result.rule = access::explain(verdict, view.caller());
      result.error_number = verdict.allowed ? 0 : verdict.error_number;
    };
    // Of what he may not know of there is nothing to explain.
    TROTH_TRY(const auto named, view.node(args.fid.node));
    access::Subject subject;
    std::optional<store::Attributes> child;
    if (args.name) {
      subject.directory = &named;
      TROTH_TRY(const auto search, view.judge().search(named));
      if (!search.allowed) {
        say(search);
        return {};
      }
      TROTH_TRY(const auto entry,
                store::read_entry(view.moment().tx, args.fid.node, *args.name, view.moment().at));
      if (entry) {
        TROTH_TRY(child, view.source().attributes(entry->child));
      }
      subject.node = child ? &*child : nullptr;
    } else if (named.kind == store::NodeKind::Directory) {
      subject.directory = subject.node = &named;
    } else {
      subject.node = &named;
    }
    TROTH_TRY(const auto verdict, access::judge_by_name(view.judge(), args.operation, subject));
    say(verdict);
    return {};
  });
  TROTH_TRY_VOID(looked);
  TROTH_TRY_VOID(judge_now(call, volume, args.scope, args.fid.node,
                           args.name ? Told::Names : Told::Attributes));
  return Reply::text(encode(result));
}

}  // namespace

std::span<const FileOperation> lookup_operations() {
  using common::rpc::OperationClass;
  static constexpr FileOperation kOperations[] = {
      {.name = "lookup", .run = lookup},
      {.name = "walk", .run = walk},
      {.name = "getattr", .run = getattr},
      {.name = "list", .run = list},
      {.name = "revalidate", .run = revalidate, .body_cap = 1 << 20},
      {.name = "readlink", .run = readlink},
      {.name = "xattr", .run = xattr},
      {.name = "xattrs", .run = xattrs},
      {.name = "acl", .run = acl},
      {.name = "access", .run = access_of},
      {.name = "whynot", .run = whynot},
  };
  return kOperations;
}

}  // namespace fileserver
