#include "fileserver/operations/file_change.hpp"

#include <algorithm>
#include <cerrno>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "fileserver/access/ticket_rule.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::rpc::Reply;

// The node whose list, or lack of one, governs another.
NodeId governor_of(const store::Attributes& node) {
  return node.kind == store::NodeKind::Directory ? node.node : node.home;
}

tl::unexpected<common::Error> conflict(std::string_view sentence, std::size_t condition,
                                       std::optional<fileproto::Attributes> present) {
  fileproto::FailureDetail detail;
  detail.why = fileproto::FailureWhy::Unmet;
  detail.condition = static_cast<std::uint32_t>(condition);
  detail.node = std::move(present);
  return tl::unexpected(
      fileproto::with_detail(common::Error{ErrorCode::Conflict, std::string(sentence)}, detail));
}

}  // namespace

// --- looking ---

Result<std::optional<store::Attributes>> StepLook::entry(NodeId directory,
                                                         const std::string& name) {
  using Found = std::optional<store::Attributes>;
  std::optional<NodeId> child;
  if (const auto known = names_.find({directory, name}); known != names_.end()) {
    child = known->second;
  } else if (view_.source().find_made(directory) == nullptr) {
    const Moment& moment = view_.moment();
    TROTH_TRY(const auto found, store::read_entry(moment.tx, directory, name, moment.at));
    if (found)
      child = found->child;
  }
  if (!child)
    return Found();
  TROTH_TRY(auto attributes, view_.source().attributes(*child));
  if (!attributes)
    return fail(ErrorCode::Corrupt, "a directory names node {}, which is not there", child->value);
  return attributes;
}

Result<bool> StepLook::is_empty(NodeId directory) {
  std::size_t taken = 0;
  for (auto name = names_.lower_bound({directory, std::string()});
       name != names_.end() && name->first.first == directory; ++name) {
    if (name->second)
      return false;
    ++taken;
  }
  if (view_.source().find_made(directory) != nullptr)
    return true;
  // One more than earlier steps have taken away.
  const Moment& moment = view_.moment();
  TROTH_TRY(const auto entries,
            store::read_entries(moment.tx, directory, {}, taken + 1, moment.at));
  return std::all_of(entries.begin(), entries.end(), [&](const store::Entry& entry) {
    return names_.contains({directory, entry.name});
  });
}

void StepLook::touch(NodeId node, std::uint8_t what) {
  if (view_.source().find_made(node) != nullptr)
    return;
  if (std::binary_search(named_.begin(), named_.end(), node))
    into_.touch(node, what);
  else
    into_.find(node, what);
}

// --- steps ---

Result<std::unique_ptr<Step>> make_step(const fileproto::Change& change, common::ByteView raw) {
  if (auto step = make_name_step(change, raw))
    return step;
  if (auto step = make_attribute_step(change))
    return step;
  if (auto step = make_content_step(change, raw))
    return step;
  return fail(ErrorCode::Unsupported, "this server does not do \"{}\"",
              fileproto::operation_name(change));
}

namespace {

struct Names {
  std::vector<NodeId>& into;
  common::VolumeId volume{};

  void add(const Fid& fid) {
    into.push_back(fid.node);
    volume = fid.volume;
  }
  template <typename C>
  void operator()(const C& change) {
    if constexpr (requires { change.made; })
      add(change.made.dir);
    if constexpr (requires { change.fid; })
      add(change.fid);
    if constexpr (requires { change.dir; })
      add(change.dir);
    if constexpr (requires { change.to.volume; })
      add(change.to);
  }
};

}  // namespace

void add_named(const fileproto::Change& change, std::vector<NodeId>& into) {
  std::visit(Names{into}, change);
}

common::VolumeId volume_of(const fileproto::Change& change) {
  std::vector<NodeId> nodes;
  Names names{nodes};
  std::visit([&](const auto& one) { names(one); }, change);
  return names.volume;
}

// --- the change ---

FileChange::FileChange(VolumeRef volume, fileproto::ChangeScope scope,
                       std::vector<std::unique_ptr<Step>> steps, std::vector<NodeId> named)
    : Change(volume),
      scope_(std::move(scope)),
      steps_(std::move(steps)),
      named_(std::move(named)),
      upload_(volume->blocks().begin_upload()) {}

Status FileChange::prepare(FileCall& call) {
  if (std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->uses_up(); }))
    TROTH_TRY_VOID(judge(call));
  const HandleOwner owner = CallView::owner_of(call, scope_.as);
  for (const auto& step : steps_)
    TROTH_TRY_VOID(step->prepare({call, volume(), owner, upload_}));
  return {};
}

// Who may not do it, or names what is not so, uses up nothing. What holds when it is committed is
// asked then.
Status FileChange::judge(FileCall& call) {
  const auto generation = volume().generation().now();
  Look rights;
  const auto look = [&](store::ReadTx& tx, store::At at) {
    rights = {};
    return look_at_steps(call, {tx, at, generation}, rights, StepLook::Mode::Rights);
  };
  return volume()->view(look);
}

// It was good when the call came; since then the call may have waited (F40).
Status FileChange::check_ticket(FileCall& call) const {
  const common::Clock& clock = call.parts().clock;
  const auto now = common::ticket::to_time(clock.wall_now());
  const common::Instant began = call.deadline() - call.rpc().head().deadline;
  std::optional<common::ticket::Time> upload_began;
  if (std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->is_upload(); }))
    upload_began =
        now - std::chrono::duration_cast<common::ticket::Milliseconds>(clock.now() - began);
  return access::check_ticket_at_commit(call.identity().validity, now, upload_began);
}

Status FileChange::look(FileCall& call, const Moment& moment, Look& into) {
  if (moment.committing) {
    TROTH_TRY_VOID(check_ticket(call));
    TROTH_TRY_VOID(call.still_enabled());
  }
  return look_at_steps(call, moment, into, StepLook::Mode::Whole);
}

Status FileChange::look_at_steps(FileCall& call, const Moment& moment, Look& into,
                                 StepLook::Mode mode) {
  if (!caller_) {
    TROTH_TRY(caller_, CallView::caller_of(call, volume(), scope_.as));
  }
  CallView view(call, volume(), moment, *caller_,
                {CallView::owner_of(call, scope_.as), scope_.via, false});
  TROTH_TRY_VOID(check_conditions(view));
  StepLook look(view, into, named_, mode);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (const Status looked = steps_[i]->look(look); !looked) {
      common::Error error = looked.error();
      if (steps_.size() > 1)
        error.message = fmt::format("change {} of the batch: {}", i, error.message);
      return tl::unexpected(std::move(error));
    }
  }
  into.upload = &upload_;
  into.draw_reservation = call.session() != nullptr;
  // What the answer says besides is looked at once, before the commit.
  if (moment.committing || look.only_rights())
    return {};
  for (const auto* list : {&into.named, &into.found}) {
    for (const auto& [node, what] : *list) {
      TROTH_TRY(const auto attributes, store::read_attributes(moment.tx, node, moment.at));
      if (!attributes)
        continue;
      TROTH_TRY(governed_[governor_of(*attributes)], view.governed(*attributes));
    }
  }
  return {};
}

Status FileChange::check_conditions(CallView& view) {
  for (std::size_t i = 0; i < scope_.conditions.size(); ++i) {
    const auto check = [&](const auto& condition) -> Status {
      using C = std::decay_t<decltype(condition)>;
      if constexpr (std::is_same_v<C, fileproto::NameIs>) {
        TROTH_TRY(const auto directory, view.directory(condition.dir.node));
        TROTH_TRY_VOID(view.may(view.judge().search(directory)));
        TROTH_TRY(const auto entry, store::read_entry(view.moment().tx, condition.dir.node,
                                                      condition.name, view.moment().at));
        const auto is = entry ? std::optional(entry->child) : std::nullopt;
        if (is == condition.node)
          return {};
        return conflict("the name stands for something else", i, std::nullopt);
      } else {
        TROTH_TRY(const auto node, view.node(condition.fid.node));
        if constexpr (std::is_same_v<C, fileproto::TokenHolds>) {
          return fail(ErrorCode::Unsupported, "no lock server gives tokens yet");
        } else {
          bool holds = false;
          if constexpr (std::is_same_v<C, fileproto::VersionIs>)
            holds = node.version == condition.version;
          else
            holds = node.data_version == condition.data_version;
          if (holds)
            return {};
          TROTH_TRY(auto present, describe(node, view));
          return conflict("the node has another version", i, present);
        }
      }
    };
    TROTH_TRY_VOID(std::visit(check, scope_.conditions[i]));
  }
  return {};
}

bool FileChange::may_be(const store::CommitReply& record) const {
  return std::all_of(steps_.begin(), steps_.end(),
                     [&](const auto& step) { return step->may_be_in(record.operations); });
}

bool FileChange::again(const common::Error& error) {
  bool any = false;
  for (const auto& step : steps_)
    any = step->again(error) || any;
  return any;
}

Result<fileproto::Attributes> FileChange::describe_outcome(const store::NodeOutcome& outcome) {
  fileproto::Attributes node = describe(outcome.attributes, volume().entry());
  if (const auto known = governed_.find(governor_of(outcome.attributes)); known != governed_.end())
    node.governed = known->second;
  else if (const auto above = governed_.find(outcome.attributes.home); above != governed_.end())
    node.governed = above->second;  // a new directory has its parent's list
  return node;
}

// An answer from the record has not looked at anything.
void FileChange::look_at_governors(FileCall& call, const ChangeResult& result) {
  const auto ask = [&](CallView& view) -> Status {
    for (const store::NodeOutcome& outcome : result.commit.nodes) {
      TROTH_TRY(governed_[governor_of(outcome.attributes)], view.governed(outcome.attributes));
    }
    return {};
  };
  // Should it fail, the answer says less, and the mount asks.
  static_cast<void>(look_at(call, volume(), {.as = scope_.as}, ask));
}

Result<Reply> FileChange::reply(FileCall& call, const ChangeResult& result) {
  if (result.commit.replayed)
    look_at_governors(call, result);
  if (result.commit.replayed) {
    std::vector<NodeId> made = result.commit.created;
    std::erase(made, NodeId{});
    std::span<const NodeId> rest(made);
    for (const auto& step : steps_)
      step->replayed(rest);
  }
  for (const auto& step : steps_)
    TROTH_TRY_VOID(step->done(call, volume(), scope_.as, result.commit));
  fileproto::ChangeResult out;
  out.state = state_of(volume(), result.grant_clock);
  out.state.stable = result.commit.stable;
  out.seq = result.commit.seq;
  out.replayed = result.commit.replayed;
  for (std::size_t i = 0; i < result.commit.nodes.size(); ++i) {
    const store::NodeOutcome& outcome = result.commit.nodes[i];
    if (outcome.gone) {
      out.gone.push_back(outcome.attributes.node);
      continue;
    }
    fileproto::TouchedNode& touched = out.nodes.emplace_back();
    TROTH_TRY(touched.node, describe_outcome(outcome));
    touched.node.granted = result.granted[i];
    if (outcome.before)
      touched.was = fileproto::Was{outcome.before->version, outcome.before->data_version};
  }
  for (const auto& step : steps_)
    out.outcomes.push_back(step->outcome(result.commit));
  return Reply::text(encode(out));
}

// --- calls ---

namespace {

common::VolumeId volume_in(const fileproto::Condition& condition) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.dir; })
          return one.dir.volume;
        else
          return one.fid.volume;
      },
      condition);
}

Result<Reply> run_steps(FileCall& call, common::VolumeId id, fileproto::ChangeScope scope,
                        std::span<const fileproto::Change> changes) {
  TROTH_TRY_VOID(call.speaks_for(scope.session, scope.seen));
  // A call that goes on after waiting has its change already.
  if (call.rpc().parked())
    return call.change(nullptr);
  TROTH_TRY(VolumeRef volume, call.volume(id));
  std::vector<std::unique_ptr<Step>> steps;
  std::vector<NodeId> named;
  common::ByteView raw = call.rpc().body();
  for (const fileproto::Change& change : changes) {
    if (volume_of(change) != id)
      return fail_posix(EXDEV, "all nodes of a call are in one volume");
    const std::uint64_t own = fileproto::raw_bytes(change);
    if (own > raw.size())
      return fail(ErrorCode::Protocol, "fewer bytes came along than the changes say");
    TROTH_TRY(auto step, make_step(change, raw.first(own)));
    raw = raw.subspan(own);
    steps.push_back(std::move(step));
    add_named(change, named);
  }
  if (!raw.empty())
    return fail(ErrorCode::Protocol, "more bytes came along than the changes say");
  // A condition on a name tells whom the call means by it.
  for (const auto& condition : scope.conditions) {
    if (volume_in(condition) != id)
      return fail_posix(EXDEV, "all nodes of a call are in one volume");
    if (const auto* const name = std::get_if<fileproto::NameIs>(&condition); name && name->node)
      named.push_back(*name->node);
  }
  std::sort(named.begin(), named.end());
  call.note({id, named.empty() ? NodeId{} : named.front()});
  return call.change(std::make_unique<FileChange>(std::move(volume), std::move(scope),
                                                  std::move(steps), std::move(named)));
}

Result<Reply> batch(FileCall& call) {
  TROTH_TRY(auto args, fileproto::decode<fileproto::BatchArgs>(call.args()));
  if (args.changes.empty())
    return fail(ErrorCode::InvalidArgument, "a batch of nothing");
  const common::VolumeId volume = volume_of(args.changes.front());
  return run_steps(call, volume, std::move(args.scope), args.changes);
}

}  // namespace

template <typename C>
Result<Reply> run_change(FileCall& call) {
  TROTH_TRY(auto args, fileproto::decode<fileproto::ChangeArgs<C>>(call.args()));
  const fileproto::Change change = std::move(args.change);
  return run_steps(call, volume_of(change), std::move(args.scope), std::span(&change, 1));
}

template Result<Reply> run_change<fileproto::Store>(FileCall&);
template Result<Reply> run_change<fileproto::Append>(FileCall&);
template Result<Reply> run_change<fileproto::Allocate>(FileCall&);
template Result<Reply> run_change<fileproto::CopyRange>(FileCall&);
template Result<Reply> run_change<fileproto::Restore>(FileCall&);

std::span<const FileOperation> namespace_operations() {
  // A head of 64 KiB and the bytes of a small file; a batch without bytes may say more.
  constexpr std::uint64_t kWithBytes = (1 << 20) + (64 << 10) + 4;
  static constexpr FileOperation kOperations[] = {
      {.name = "create",
       .run = run_change<fileproto::Create>,
       .needs_id = true,
       .body_cap = kWithBytes},
      {.name = "mkdir", .run = run_change<fileproto::Mkdir>, .needs_id = true},
      {.name = "mknod", .run = run_change<fileproto::Mknod>, .needs_id = true},
      {.name = "symlink", .run = run_change<fileproto::Symlink>, .needs_id = true},
      {.name = "link", .run = run_change<fileproto::Link>, .needs_id = true},
      {.name = "unlink", .run = run_change<fileproto::Unlink>, .needs_id = true},
      {.name = "rmdir", .run = run_change<fileproto::Rmdir>, .needs_id = true},
      {.name = "rename", .run = run_change<fileproto::Rename>, .needs_id = true},
      {.name = "setattr", .run = run_change<fileproto::Setattr>, .needs_id = true},
      {.name = "set-xattr",
       .run = run_change<fileproto::SetXattr>,
       .needs_id = true,
       .body_cap = 256 << 10},
      {.name = "remove-xattr", .run = run_change<fileproto::RemoveXattr>, .needs_id = true},
      {.name = "set-acl", .run = run_change<fileproto::SetAcl>, .needs_id = true},
      {.name = "batch", .run = batch, .needs_id = true, .body_cap = kWithBytes},
  };
  return kOperations;
}

}  // namespace fileserver
