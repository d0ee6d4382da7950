#pragma once

// What an operation that changes something is made of, for the pipeline that carries it out
// (PROTOCOL.md, "A change, in order"). An operation writes one of these; everything about marks,
// breaks, waiting, exactly-once, deadlines and promises is the pipeline's.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/result.hpp"
#include "common/rpc/call.hpp"
#include "fileserver/promises/promise_core.hpp"
#include "fileserver/store/volume.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

class FileCall;

// One moment of a volume, to look at with the functions of store/meta/reads.hpp: in a read
// transaction, or inside the one that commits.
struct Moment {
  store::ReadTx& tx;
  store::At at;  // pass it on to every read
  // Verdicts about directories may be taken from, and kept in, the cache under this number; none:
  // judge by the rows, and keep nothing.
  std::optional<std::uint64_t> generation;
  bool committing = false;  // it is the transaction that commits: everybody else waits for it
};

// What became of a change.
struct ChangeResult {
  const store::CommitReply& commit;
  // For each of commit.nodes: it is promised to the caller's session from now on.
  std::vector<bool> granted;
  std::uint64_t grant_clock = 0;  // 0: nothing was granted
};

// One change on its way. Made by a handler, kept while the call is parked, destroyed when it is
// answered or given up. One thread at a time.
//
// In the order of calls: prepare, look, [waiting], commit, which in its transaction looks again,
// [waiting and commit again if the set grew], reply. A retry that is answered from the record:
// reply only.
class Change {
 public:
  explicit Change(VolumeRef volume) : volume_(std::move(volume)) {}
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  virtual ~Change() = default;

  // What need not be done in a transaction, before anything else: staging bytes, putting blocks,
  // taking ids. No access has been checked yet: it must not tell the caller anything about what is
  // there, and asks for rights itself before it takes what would be gone if the change were refused
  // then. May take long; holds the worker.
  [[nodiscard]] virtual Status prepare(FileCall&) { return {}; }

  // May the caller, and do the conditions hold? A failure is the call's answer. Fills in what it
  // will touch (the nodes that the operations name, their directories, what is replaced), and with
  // which operations: `into` is empty at each call. Nodes that it makes are not told. Must not
  // block, nor use the volume but by the moment's transaction: it runs inside the one that commits
  // as well.
  struct Look {
    std::vector<store::Operation> operations;
    std::vector<store::Condition> conditions;
    std::vector<store::Hold> holds;
    store::Upload* upload = nullptr;
    bool draw_reservation = false;
    // An access list is changed; modes, owners and moves of directories need not be told.
    bool changes_lists = false;

    // The call names this node, or the server alone finds it (see Touched).
    void touch(NodeId node, std::uint8_t what) { named.push_back({node, what}); }
    void find(NodeId node, std::uint8_t what) { found.push_back({node, what}); }
    struct Node {
      NodeId node;
      std::uint8_t what = 0;
    };
    std::vector<Node> named;
    std::vector<Node> found;
  };
  [[nodiscard]] virtual Status look(FileCall& call, const Moment& moment, Look& into) = 0;

  // Commits `request`, which has everything. Another form for contents: Volume::write, append,
  // copy_range, which put the content's operations before those of the request.
  [[nodiscard]] virtual Result<store::CommitReply> commit(const store::CommitRequest& request) {
    return volume_->commit(request);
  }

  // The commit failed with Conflict: true to be prepared and looked at once more, with what is
  // there now (another store came first). Bounded.
  [[nodiscard]] virtual bool again(const common::Error&) { return false; }

  // There is a record under the call's operation id: whether it may be of this very change. If not,
  // the mount counts again from where it was (its disk was set back), and must learn of it.
  [[nodiscard]] virtual bool may_be(const store::CommitReply&) const { return true; }

  // The answer. Also for a retry (commit.replayed).
  [[nodiscard]] virtual Result<common::rpc::Reply> reply(FileCall& call,
                                                         const ChangeResult& result) = 0;

  [[nodiscard]] const VolumeRef& volume() const { return volume_; }

 private:
  VolumeRef volume_;
};

}  // namespace fileserver
