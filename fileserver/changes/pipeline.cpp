#include "fileserver/changes/pipeline.hpp"

#include <algorithm>

#include "common/failpoint/failpoint.hpp"
#include "common/fileproto/codec.hpp"
#include "fileserver/changes/pending_change.hpp"
#include "fileserver/operations/file_call.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/sessions/sessions.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Fid;
using common::Instant;
using common::rpc::Reply;

// A content that is made from its base is made again when another commit came first.
constexpr int kMostRepetitions = 16;

// Others came first each time. Nothing has happened: the same may be asked for again.
common::Error always_beaten() {
  return {ErrorCode::Overloaded, "others keep changing what the change is made of: try again",
          std::chrono::milliseconds(50)};
}

std::vector<Touched> touched_of(const Change::Look& look, VolumeId volume) {
  std::vector<Touched> all;
  all.reserve(look.named.size() + look.found.size());
  for (const auto& [node, what] : look.named)
    all.push_back({{volume, node}, what, true});
  for (const auto& [node, what] : look.found)
    all.push_back({{volume, node}, what, false});
  // Each node once, with all that may happen to it; named if any says so.
  std::sort(all.begin(), all.end(), [](const Touched& a, const Touched& b) {
    return a.node != b.node ? a.node < b.node : a.named > b.named;
  });
  std::vector<Touched> once;
  for (const Touched& touched : all) {
    if (!once.empty() && once.back().node == touched.node)
      once.back().what |= touched.what;
    else
      once.push_back(touched);
  }
  return once;
}

// What rights stand on has changed.
bool changes_rights(const store::NodeOutcome& outcome) {
  if (!outcome.before || outcome.attributes.kind != store::NodeKind::Directory)
    return false;
  const store::Attributes& was = *outcome.before;
  const store::Attributes& is = outcome.attributes;
  return was.mode != is.mode || was.uid != is.uid || was.gid != is.gid || was.home != is.home;
}

// The checks that one attempt to commit makes in its transaction, and what came of them.
class Attempt {
 public:
  Attempt(FileCall& call, PendingChange& pending, PromiseKeeper& keeper, const common::Clock& clock)
      : call_(call), pending_(pending), keeper_(keeper), clock_(clock) {}
  ~Attempt() {
    if (changing_rights_)
      volume().generation().end();
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  Result<store::CommitReply> commit() {
    Change::Look& look = pending_.look;
    store::CommitRequest request;
    request.caller = call_.committer();
    request.key = pending_.key;
    request.conditions = look.conditions;
    request.operations = look.operations;
    request.holds = look.holds;
    request.upload = look.upload;
    request.draw_reservation = look.draw_reservation;
    request.deadline = call_.deadline();
    request.check_present = [this](store::ReadTx& tx) { return check_present(tx); };
    request.check_touched = [this](std::span<const store::NodeOutcome> nodes) {
      return check_touched(nodes);
    };
    return pending_.change().commit(request);
  }

  // Nodes that a failed attempt touched without having marked them.
  [[nodiscard]] const std::vector<Fid>& unmarked() const { return unmarked_; }
  // It failed because other operations are called for by now.
  [[nodiscard]] bool is_outdated() const { return outdated_; }

 private:
  [[nodiscard]] const VolumeRef& volume() { return pending_.change().volume(); }

  Status check_present(store::ReadTx& tx) {
    unmarked_.clear();
    outdated_ = false;
    // A server that was stopped for minutes must not carry out what nobody waits for (F17, R28).
    if (clock_.now() >= call_.deadline())
      return fail(ErrorCode::DeadlineExceeded, "the deadline passed before the change was made");
    Change::Look again;
    TROTH_TRY_VOID(
        pending_.change().look(call_, {tx, {}, volume().generation().now(), true}, again));
    // A mode without its set-id bits, a copy of a directory's list: what is written may be made of
    // what is there.
    outdated_ = again.operations != pending_.look.operations;
    if (outdated_)
      return fail(ErrorCode::Overloaded, "what the change is made of keeps changing: try again");
    return {};
  }

  Status check_touched(std::span<const store::NodeOutcome> nodes) {
    std::vector<Fid> touched;
    touched.reserve(nodes.size());
    bool rights = pending_.look.changes_lists;
    for (const store::NodeOutcome& outcome : nodes) {
      rights = rights || changes_rights(outcome);
      if (outcome.before)  // what it makes nobody knows yet
        touched.push_back({volume().id(), outcome.attributes.node});
    }
    const auto session =
        call_.session() ? std::optional<SessionId>(call_.session()->id) : std::nullopt;
    TROTH_TRY_VOID(keeper_.check_marks(pending_.id(), session, touched, unmarked_));
    if (!unmarked_.empty())
      return fail(ErrorCode::Unavailable, "the change touches more than it seemed to");
    if (rights && !changing_rights_) {
      changing_rights_ = true;
      volume().generation().begin();
    }
    return {};
  }

  FileCall& call_;
  PendingChange& pending_;
  PromiseKeeper& keeper_;
  const common::Clock& clock_;
  std::vector<Fid> unmarked_;
  bool outdated_ = false;
  bool changing_rights_ = false;
};

// A number that stands for something else must not be answered as if this had been done.
Status must_be_same(const Change& change, const store::CommitReply& record) {
  if (change.may_be(record))
    return {};
  common::fileproto::FailureDetail detail;
  detail.why = common::fileproto::FailureWhy::IdUsed;
  return tl::unexpected(common::fileproto::with_detail(
      common::Error{ErrorCode::Conflict,
                    "this operation's number was used for another one: take a new mount id"},
      detail));
}

// As far on the disk as the volume asks before anybody is told. Also of what was done before: who
// repeats it may have been told that this was not known.
Status settle(FileCall& call, const VolumeRef& volume, store::CommitReply& commit) {
  if (volume.entry().policy.close_level == CloseLevel::Stable) {
    Status stable;
    if (!commit.replayed)
      stable = volume->wait_stable(commit, call.deadline());
    else if (volume->stable_seq() < commit.seq)
      stable = volume->sync(call.deadline());
    if (!stable)
      return fail(ErrorCode::OutcomeUnknown,
                  "the change is made, but it is not known to be on the disk: {}",
                  stable.error().message);
    commit.stable = volume->stable_seq();
  }
  if (call.session() && commit.stable < commit.seq)
    call.parts().sessions.note_unstable(call.session(), volume.id(), commit.seq);
  return {};
}

// The answer to something that was executed before; nullopt: it was not.
Result<std::optional<Reply>> answer_of_record(FileCall& call, PendingChange& pending) {
  if (!pending.key)
    return std::optional<Reply>();
  store::CommitRequest request;
  request.caller = call.committer();
  request.key = pending.key;
  TROTH_TRY(auto replay, pending.change().volume()->replay(request));
  if (!replay)
    return std::optional<Reply>();
  TROTH_TRY_VOID(must_be_same(pending.change(), *replay));
  TROTH_TRY_VOID(settle(call, pending.change().volume(), *replay));
  const ChangeResult result{*replay, std::vector<bool>(replay->nodes.size()), 0};
  TROTH_TRY(Reply reply, pending.change().reply(call, result));
  return std::optional(std::move(reply));
}

Status look_at_present(FileCall& call, PendingChange& pending) {
  Change& change = pending.change();
  const auto generation = change.volume().generation().now();
  pending.look = {};
  auto look = [&](store::ReadTx& tx, store::At at) {
    return change.look(call, {tx, at, generation}, pending.look);
  };
  return change.volume()->view(look);
}

}  // namespace

// A retry may find its own effects in its way ("exists already"): before a failure is the answer,
// the record is asked.
Result<Reply> ChangePipeline::unless_done(FileCall& call, PendingChange& pending,
                                          const common::Error& error) {
  auto record = answer_of_record(call, pending);
  if (!record)
    return tl::unexpected(std::move(record).error());
  if (*record)
    return **std::move(record);
  return tl::unexpected(error);
}

Result<Reply> ChangePipeline::run(FileCall& call, std::unique_ptr<Change> change) {
  auto pending = std::static_pointer_cast<PendingChange>(call.rpc().parked());
  if (pending)
    return go_on(call, pending);
  pending = std::make_shared<PendingChange>(keeper_, std::move(change));
  if (call.rpc().head().id != common::OperationId{}) {
    TROTH_TRY(pending->key, call.operation_key());
    if (common::failpoint::kCompiledIn && !common::failpoint::hit("changes.key.remembered"))
      pending->key.reset();
    else if (call.may_be_retry(*pending->key)) {
      TROTH_TRY(auto record, answer_of_record(call, *pending));
      if (record)
        return *std::move(record);
    }
  }
  if (const Status prepared = pending->change().prepare(call); !prepared)
    return unless_done(call, *pending, prepared.error());
  if (const Status looked = look_at_present(call, *pending); !looked)
    return unless_done(call, *pending, looked.error());
  pending->waits();
  const std::vector<Touched> touched = touched_of(pending->look, pending->change().volume().id());
  std::optional<ChangeOrigin> origin;
  if (call.session())
    origin = ChangeOrigin{call.session()->id, call.seen()};
  TROTH_TRY(const auto progress,
            keeper_.begin_change(pending->id(), origin, touched, call.deadline(), pending));
  pending->marked();
  if (progress == PromiseKeeper::Progress::Ready)
    pending->is_ready();
  return go_on(call, pending);
}

Result<Reply> ChangePipeline::go_on(FileCall& call, const std::shared_ptr<PendingChange>& pending) {
  for (;;) {
    switch (pending->state()) {
      case PendingChange::State::Expired:
        return fail(ErrorCode::DeadlineExceeded,
                    "others did not give up in time what they had been promised");
      case PendingChange::State::Waiting:
        if (call.rpc().cancelled())
          return fail(ErrorCode::Cancelled, "the caller has gone");
        if (clock_.now() >= call.deadline())
          return fail(ErrorCode::DeadlineExceeded,
                      "others did not give up in time what they had been promised");
        return call.rpc().park(pending);
      case PendingChange::State::Ready:
        break;
    }
    std::vector<Fid> unmarked;
    bool outdated = false;
    auto done = [&] {
      Attempt attempt(call, *pending, keeper_, clock_);
      auto result = attempt.commit();
      unmarked = attempt.unmarked();
      outdated = attempt.is_outdated();
      return result;
    }();
    if (done)
      return finish(call, *pending, *std::move(done));
    if (done.error().code == ErrorCode::OutcomeUnknown) {
      pending->leave_marks();
      return tl::unexpected(done.error());
    }
    Status repeated = tl::unexpected(done.error());
    if (!unmarked.empty())
      repeated = extend(call, pending, unmarked);
    else if (pending->repetitions < kMostRepetitions)
      repeated = repeat(call, *pending, done.error(), outdated);
    else if (done.error().code == ErrorCode::Conflict && pending->change().again(done.error()))
      repeated = tl::unexpected(always_beaten());
    if (!repeated) {
      static_cast<void>(pending->end(nullptr));
      return unless_done(call, *pending, repeated.error());
    }
  }
}

// What was there when the change was looked at is not there any more: the same once more, with what
// is there now. The error: that does not help.
Status ChangePipeline::repeat(FileCall& call, PendingChange& pending, const common::Error& error,
                              bool outdated) {
  ++pending.repetitions;
  if (outdated)
    return look_at_present(call, pending);
  if (error.code != ErrorCode::Conflict || !pending.change().again(error))
    return tl::unexpected(error);
  TROTH_TRY_VOID(pending.change().prepare(call));
  return look_at_present(call, pending);
}

Status ChangePipeline::extend(FileCall& call, const std::shared_ptr<PendingChange>& pending,
                              const std::vector<Fid>& unmarked) {
  if (++pending->extensions > kMostExtensions)
    return tl::unexpected(common::Error{ErrorCode::Overloaded,
                                        "what the change would touch keeps changing: try again",
                                        std::chrono::milliseconds(50)});
  // What is there now, for operations name what they look up.
  TROTH_TRY_VOID(look_at_present(call, *pending));
  std::vector<Touched> more;
  for (const Fid& node : unmarked)
    more.push_back({node, what::kBytes | what::kAttributes | what::kEntries, false});
  pending->waits();
  TROTH_TRY(const auto progress, keeper_.extend_change(pending->id(), more, pending));
  if (progress == PromiseKeeper::Progress::Ready)
    pending->is_ready();
  return {};
}

Result<Reply> ChangePipeline::finish(FileCall& call, PendingChange& pending,
                                     store::CommitReply commit) {
  if (commit.replayed) {
    static_cast<void>(pending.end(nullptr));
    TROTH_TRY_VOID(must_be_same(pending.change(), commit));
    TROTH_TRY_VOID(settle(call, pending.change().volume(), commit));
    const ChangeResult result{commit, std::vector<bool>(commit.nodes.size()), 0};
    return pending.change().reply(call, result);
  }
  const VolumeRef& volume = pending.change().volume();
  auto news = std::make_shared<ChangeNews>(ChangeNews{volume.id(), std::move(commit)});
  const PromiseCore::Ended ended = pending.end(news);
  TROTH_TRY_VOID(settle(call, volume, news->commit));
  std::vector<bool> granted;
  granted.reserve(news->commit.nodes.size());
  const bool enabled = call.still_enabled().has_value();
  for (const store::NodeOutcome& outcome : news->commit.nodes) {
    const Fid fid{volume.id(), outcome.attributes.node};
    granted.push_back(enabled && std::find(ended.granted.begin(), ended.granted.end(), fid) !=
                                     ended.granted.end());
  }
  return pending.change().reply(call, {news->commit, std::move(granted), ended.clock});
}

}  // namespace fileserver
