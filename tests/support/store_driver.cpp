#include "tests/support/store_driver.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace test_support {

using common::Result;
using common::Status;
using store::CommitReply;
using store::NodeKind;

namespace {

template <typename... Args>
tl::unexpected<common::Error> wrong(fmt::format_string<Args...> format, Args&&... args) {
  return common::fail(ErrorCode::Internal, "{}", fmt::format(format, std::forward<Args>(args)...));
}

std::string what_is(const ModelStep& step) {
  static constexpr std::array kNames{
      "create",   "set content",     "append tail", "set attributes", "link",       "unlink",
      "rmdir",    "rename",          "set xattr",   "remove xattr",   "reap",       "set setting",
      "snapshot", "delete snapshot", "raise fence", "reserve",        "begin epoch"};
  std::string text;
  if (step.content) {
    text = step.content->kind == ModelContent::Kind::Write    ? "write"
           : step.content->kind == ModelContent::Kind::Append ? "append"
                                                              : "copy";
    text += fmt::format(" {}", step.content->node.value);
    if (step.content->replace)
      text += " whole";
    for (const ModelContent::Piece& piece : step.content->pieces)
      text += fmt::format(" {}{}+{}", piece.hole != 0 ? "hole " : "", piece.offset,
                          piece.hole != 0 ? piece.hole : piece.bytes.size());
    if (step.content->size)
      text += fmt::format(" size {}", *step.content->size);
  }
  for (const store::Operation& op : step.operations)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", kNames[op.index()]);
  if (!step.conditions.empty())
    text += fmt::format(" if {} hold", step.conditions.size());
  return text;
}

constexpr std::size_t kRemembered = 16;

}  // namespace

StoreDriver::StoreDriver(store::Volume& volume, StoreModel& model, DriverOptions options)
    : volume_(&volume),
      model_(model),
      options_(std::move(options)),
      random_(options_.seed),
      absorbed_(volume.last_seq()) {
  if (const auto status = volume.status())
    floor_ = status->floor;
}

Result<CommitReply> StoreDriver::ask_once(const ModelStep& step) {
  store::CommitRequest request;
  request.caller = step.caller;
  request.key = step.key;
  request.conditions = step.conditions;
  request.operations = step.operations;
  if (step.content) {
    const ModelContent& change = *step.content;
    if (change.kind == ModelContent::Kind::Append)
      return volume_->append(std::move(request), change.node, change.bytes);
    if (change.kind == ModelContent::Kind::Copy)
      return volume_->copy_range({std::move(request), change.from, change.at, change.from_offset,
                                  change.length, change.node, change.to_offset});
    std::vector<store::Edit> edits;
    for (const ModelContent::Piece& piece : change.pieces) {
      store::Edit edit;
      edit.kind = piece.hole != 0 ? store::Edit::Kind::Hole : store::Edit::Kind::Data;
      edit.offset = piece.offset;
      edit.length = piece.hole;
      edit.bytes = piece.bytes;
      edits.push_back(edit);
    }
    store::Volume::WriteRequest write;
    write.commit = std::move(request);
    write.node = change.node;
    write.base = change.base;
    write.edits = edits;
    write.size = change.size;
    write.replace = change.replace;
    return volume_->write(write);
  }
  store::Upload upload = volume_->blocks().begin_upload();
  for (const auto& [index, bytes] : step.contents) {
    auto& create = std::get<store::Create>(request.operations[index]);
    if (create.kind == NodeKind::Symlink && bytes.size() > store::kMaxTail) {
      create.content.size = bytes.size();  // as a careless caller would
      create.content.tail = bytes;
      continue;
    }
    TROTH_TRY(create.content, make_content(volume_->blocks(), upload, bytes));
  }
  request.upload = &upload;
  return volume_->commit(request);
}

Result<CommitReply> StoreDriver::ask(const ModelStep& step) {
  // Blocks that were there may have been collected on the way: then they are written again.
  constexpr int kTries = 5;
  for (int i = 1;; ++i) {
    auto reply = ask_once(step);
    if (reply || reply.error().code != ErrorCode::Unavailable || i == kTries)
      return reply;
  }
}

Status StoreDriver::check_refusal(const ModelStep& step, const common::Error& error) {
  ++counts_.refused;
  StoreModel::Given given;
  given.seq = Seq{model_.last().value + 1};
  // Ids that nothing has.
  for (std::size_t i = 0; i < step.operations.size(); ++i)
    given.created.push_back(NodeId{2'000'000'000 + i});
  const auto outcome = model_.apply(step, given, false);
  if (outcome.refused.contains(error.code))
    return {};
  if (error.code == ErrorCode::Conflict) {
    // Only the volume knows how long tails are.
    for (const store::Operation& op : step.operations) {
      const auto* const append = std::get_if<store::AppendTail>(&op);
      if (append == nullptr)
        continue;
      if (step.content && step.content->node == append->node)
        return {};
      TROTH_TRY(const auto content, volume_->content(append->node));
      const bool all = content.tail.size() == content.size;
      if (content.tail.size() + append->bytes.size() >
          (all ? store::kMaxTail : store::kMaxAppendedTail))
        return {};
    }
  }
  std::vector<std::string> expected;
  for (const ErrorCode code : outcome.refused)
    expected.emplace_back(common::to_string(code));
  return wrong(
      "{}: failed with {} ({}); should {}", what_is(step), common::to_string(error.code),
      error.message,
      expected.empty() ? "succeed" : fmt::format("fail with {}", fmt::join(expected, " or ")));
}

Status StoreDriver::accept(const ModelStep& step, const CommitReply& reply) {
  ++counts_.commits;
  if (reply.replayed)
    return wrong("{}: answered as a replay", what_is(step));
  if (reply.seq <= model_.last())
    return wrong("{}: seq {} is not above {}", what_is(step), reply.seq.value, model_.last().value);
  // The content is the first operation.
  const std::size_t first = step.content ? 1 : 0;
  if (reply.created.size() != step.operations.size() + first)
    return wrong("{}: {} ids for {} operations", what_is(step), reply.created.size(),
                 step.operations.size() + first);
  if (reply.time < model_.time())
    return wrong("{}: its time {} is before {}", what_is(step), reply.time, model_.time());
  // Unless the volume has made a commit of its own in between.
  if (alone() && options_.clock != nullptr && reply.seq.value == model_.last().value + 1 &&
      reply.time != std::max(model_.time(), options_.clock->wall()))
    return wrong("{}: its time is {}", what_is(step), reply.time);
  std::optional<common::Error> failed;
  std::set<NodeId> unknown;
  const StoreModel::Given given{
      reply.seq,
      reply.time,
      {reply.created.begin() + static_cast<std::ptrdiff_t>(first), reply.created.end()},
      [&](NodeId node) -> std::uint64_t {
        const auto content = volume_->content(node, reply.seq);
        if (!content) {
          // What the same commit ended can no longer be asked.
          if (content.error().code != ErrorCode::NotFound)
            failed = content.error();
          unknown.insert(node);
          return 0;
        }
        if (content->size <= store::kMaxTail ? content->tail.size() != content->size
                                             : content->tail.size() > store::kMaxTail)
          failed = common::Error{
              ErrorCode::Internal,
              fmt::format("a tail of {} for {} bytes", content->tail.size(), content->size)};
        return content->tail.size();
      }};
  const auto outcome = model_.apply(step, given);
  if (failed && outcome.refused.empty())
    return tl::unexpected(failed->in(what_is(step)));
  if (!outcome.refused.empty())
    return wrong("{}: succeeded; should fail with {}", what_is(step),
                 common::to_string(*outcome.refused.begin()));
  if (reply.nodes.size() != outcome.nodes.size())
    return wrong("{}: touched {} nodes, not {}", what_is(step), reply.nodes.size(),
                 outcome.nodes.size());
  for (std::size_t i = 0; i < reply.nodes.size(); ++i) {
    store::Attributes expected = outcome.nodes[i].attributes;
    if (unknown.contains(expected.node))
      expected.allocated = reply.nodes[i].attributes.allocated;
    const Status same = compare_attributes(reply.nodes[i].attributes, expected);
    if (!same)
      return tl::unexpected(same.error().in(what_is(step)));
    touched_.insert(reply.nodes[i].attributes.node);
    if (reply.nodes[i].gone != outcome.nodes[i].gone)
      return wrong("{}: node {} is {}", what_is(step), reply.nodes[i].attributes.node.value,
                   reply.nodes[i].gone ? "gone" : "still there");
  }
  if (step.key) {
    if (done_.size() >= kRemembered)
      done_.erase(done_.begin());
    done_.push_back({step, reply});
  }
  return {};
}

Status StoreDriver::perform(const ModelStep& step) {
  if (alone() && options_.clock != nullptr)  // also backwards, as clocks are
    options_.clock->set_wall(options_.clock->wall() + random_.between(-500, 2000));
  const auto reply = ask(step);
  return reply ? accept(step, *reply) : check_refusal(step, reply.error());
}

// The commits after this one, for people.
std::string StoreDriver::what_came(Seq after) {
  const auto records = volume_->changes_since(after, 5);
  if (!records)
    return records.error().message;
  std::string text;
  for (const store::CommitRecord& record : *records) {
    ModelStep step;
    step.operations = record.operations;
    text += fmt::format("{}{} {}{}", text.empty() ? "" : "; ", record.seq.value, what_is(step),
                        record.key ? " (with a key)" : "");
  }
  return text;
}

Status StoreDriver::repeat_one() {
  if (done_.empty())
    return {};
  Done done = random_.pick(std::span<const Done>(done_));
  if (one_in(8)) {
    done.step.caller.principal += 100;
    const auto reply = ask(done.step);
    if (reply || (reply.error().code != ErrorCode::PermissionDenied &&
                  reply.error().code != ErrorCode::Expired))
      return wrong("{}: another's key was taken", what_is(done.step));
    return {};
  }
  const Seq before = volume_->last_seq();
  const auto reply = ask(done.step);
  ++counts_.replays;
  if (alone() && volume_->last_seq() != before)
    return wrong("{}: a replay was executed: {}", what_is(done.step), what_came(before));
  if (!reply) {
    TROTH_TRY(const auto status, volume_->status());
    if (reply.error().code == ErrorCode::Expired && done.reply.seq <= status.floor)
      return {};
    return tl::unexpected(reply.error().in("replay of " + what_is(done.step)));
  }
  if (!reply->replayed || reply->seq != done.reply.seq || reply->created != done.reply.created ||
      reply->time != done.reply.time)
    return wrong("{}: a replay gave another answer", what_is(done.step));
  // Answered from the record, which names neither all that a commit touched nor only that.
  for (const store::NodeOutcome& original : done.reply.nodes) {
    const auto again = std::find_if(reply->nodes.begin(), reply->nodes.end(),
                                    [&](const store::NodeOutcome& outcome) {
                                      return outcome.attributes.node == original.attributes.node;
                                    });
    if (again == reply->nodes.end())
      continue;
    if (again->gone != original.gone)
      return wrong("{}: in a replay node {} is {}", what_is(done.step),
                   original.attributes.node.value, again->gone ? "gone" : "still there");
    if (!original.gone)
      TROTH_TRY_VOID(compare_attributes(again->attributes, original.attributes));
  }
  return {};
}

Status StoreDriver::hold_one() {
  const NodeId id = any_node(NodeKind::File);
  const ModelNode* const node = model_.present().find(id);
  if (node == nullptr || node->attributes.kind != NodeKind::File || held_.size() > 6)
    return {};
  const SessionId session{options_.session + random_.below(2)};
  const Seq version = node->attributes.version;
  if (const Status held = volume_->pin(session, id, version); !held)
    return tl::unexpected(held.error().in(fmt::format("holding node {}", id.value)));
  model_.pin(session, id, version);
  TROTH_TRY(store::Content content, volume_->content(id));
  held_.push_back({session, id, version, std::move(content), node->bytes});
  return {};
}

Status StoreDriver::read_held() {
  if (held_.empty())
    return {};
  const Held& held = held_[random_.below(held_.size())];
  const std::uint64_t offset = any_offset(held.bytes.size());
  Bytes found(5000);
  TROTH_TRY(const std::size_t length, volume_->read(held.content, offset, found));
  found.resize(length);
  if (found != held.bytes.read(offset, 5000))
    return wrong("node {}: the version {} that is held reads differently", held.node.value,
                 held.version.value);
  return {};
}

Status StoreDriver::let_go() {
  if (held_.empty())
    return {};
  if (one_in(3)) {
    const SessionId session = held_.front().session;
    TROTH_TRY_VOID(volume_->end_session(session));
    model_.end_session(session);
    std::erase_if(held_, [&](const Held& held) { return held.session == session; });
    return {};
  }
  const auto chosen = held_.begin() + static_cast<std::ptrdiff_t>(random_.below(held_.size()));
  TROTH_TRY_VOID(volume_->unpin(chosen->session, chosen->node, chosen->version));
  if (!model_.unpin(chosen->session, chosen->node, chosen->version))
    return wrong("the model lost a pin");
  held_.erase(chosen);
  return {};
}

Status StoreDriver::let_all_go() {
  for (const std::uint64_t session : {options_.session, options_.session + 1}) {
    TROTH_TRY_VOID(volume_->end_session(SessionId{session}));
    model_.end_session(SessionId{session});
  }
  held_.clear();
  return {};
}

void StoreDriver::rolled_back() {
  std::erase_if(done_, [&](const Done& done) { return done.reply.seq > model_.last(); });
  absorbed_ = volume_->last_seq();
}

Status StoreDriver::step() {
  switch (random_.below(20)) {
    case 0:
      return repeat_one();
    case 1:
      return hold_one();
    case 2:
      return read_held();
    case 3:
      return one_in(2) ? let_go() : Status();
    default:
      return perform(random_step());
  }
}

Status StoreDriver::absorb() {
  TROTH_TRY(const auto status, volume_->status());
  absorbed_ = std::max(absorbed_, status.floor);
  floor_ = status.floor;
  model_.forget_below(floor_);
  for (;;) {
    TROTH_TRY(const auto records, volume_->changes_since(absorbed_, 200));
    if (records.empty())
      return {};
    for (const store::CommitRecord& record : records) {
      absorbed_ = record.seq;
      model_.note_time(record.time);
      if (model_.history().contains(record.seq))
        continue;
      for (const store::Operation& operation : record.operations) {
        const auto* const reap = std::get_if<store::Reap>(&operation);
        if (reap == nullptr || model_.present().find(reap->node) == nullptr)
          continue;
        if (!model_.reap(reap->node, record.seq))
          return wrong("commit {} ended node {}, which somebody holds", record.seq.value,
                       reap->node.value);
      }
    }
  }
}

Status StoreDriver::compare_touched() {
  CompareOptions options;
  options.skip_root = !alone();
  options.every_byte = one_in(4);
  for (const NodeId id : touched_) {
    if (options.skip_root && id == store::kRootNode)
      continue;
    if (const ModelNode* const node = model_.present().find(id)) {
      TROTH_TRY_VOID(compare_node(*volume_, model_.present(), *node, options));
    } else if (const auto found = volume_->attributes(id);
               found || found.error().code != ErrorCode::NotFound) {
      return wrong("node {} should be gone", id.value);
    }
  }
  touched_.clear();
  return {};
}

Status StoreDriver::compare_now() {
  ++counts_.compared;
  touched_.clear();
  CompareOptions options;
  options.skip_root = !alone();
  options.every_byte = one_in(4);
  options.through_lookup = one_in(3);
  return compare_state(*volume_, model_.present(), options);
}

Status StoreDriver::compare_past() {
  TROTH_TRY(const auto status, volume_->status());
  const Seq floor = status.floor;
  model_.forget_below(floor);
  std::vector<Seq> choices;
  for (const auto& [seq, state] : model_.history()) {
    if (seq >= floor && alone())
      choices.push_back(seq);
    else if (seq >= floor && seq > model_.history().begin()->first)
      choices.push_back(seq);
  }
  const ModelState* then = nullptr;
  CompareOptions options;
  const auto& snapshots = model_.present().snapshots;
  if (!snapshots.empty() && one_in(3)) {
    // A commit that the volume made by itself may lie between what both say it shows.
    const auto& [name, seq] = *snapshots.begin();
    TROTH_TRY(const auto all, volume_->snapshots());
    for (const store::Snapshot& snapshot : all) {
      if (snapshot.name == name)
        options.at = snapshot.seq;
    }
    then = model_.at(seq);
    // A rollback has brought back a snapshot that had been deleted and forgotten.
    if (then == nullptr)
      options.at.reset();
  }
  if (!options.at) {
    if (choices.empty())
      return {};
    options.at = random_.pick(std::span<const Seq>(choices));
    then = model_.at(*options.at);
  }
  ++counts_.compared_past;
  options.skip_root = !alone();
  options.every_byte = one_in(8);
  options.through_lookup = one_in(4);
  return compare_state(*volume_, *then, options);
}

}  // namespace test_support
