#pragma once

// What a volume must do, said once more in the plainest way: maps in memory, one whole copy of the
// tree for each commit. Tests let a volume and this model do the same and compare everything.
// Knows nothing of blocks, tables or disks. One thread at a time.

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "fileserver/store/volume.hpp"

namespace test_support {

namespace store = fileserver::store;
using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::NodeId;
using common::Seq;
using common::SessionId;

// The bytes of a file. Zeros that were never written cost nothing; copies share their pages.
class ModelBytes {
 public:
  ModelBytes() = default;
  explicit ModelBytes(ByteView bytes) { write(0, bytes); }

  [[nodiscard]] std::uint64_t size() const { return size_; }
  void write(std::uint64_t offset, ByteView bytes);
  // Zeros over a range; grows the file if it reaches beyond the end.
  void zero(std::uint64_t offset, std::uint64_t length);
  void resize(std::uint64_t size);
  // As many bytes as there are from `offset` on, at most `length`.
  [[nodiscard]] Bytes read(std::uint64_t offset, std::uint64_t length) const;
  // What quota counts when the last `tail` bytes are kept apart: each block that has a byte other
  // than zero, as far as it reaches, and the tail.
  [[nodiscard]] std::uint64_t allocated(std::uint64_t tail) const;
  // Where something may be that is not zero, in pages: beginnings.
  [[nodiscard]] std::vector<std::uint64_t> places() const;

 private:
  static constexpr std::uint64_t kPage = 4096;
  using Page = std::array<std::byte, kPage>;
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::shared_ptr<const Page>> pages_;  // by number; zeros beyond the end
};

struct ModelNode {
  store::Attributes attributes;
  ModelBytes bytes;  // of a file; the target of a symlink
  std::map<std::string, NodeId> entries;
  std::map<std::string, Bytes> xattrs;
};

struct ModelState {
  std::map<NodeId, std::shared_ptr<const ModelNode>> nodes;
  std::map<std::string, Bytes> settings;
  std::map<std::string, Seq> snapshots;

  [[nodiscard]] const ModelNode* find(NodeId node) const;
  [[nodiscard]] const ModelNode* child(NodeId parent, const std::string& name) const;
  [[nodiscard]] std::uint64_t allocated() const;
};

// The change of content that comes before the operations of a commit.
struct ModelContent {
  enum class Kind : std::uint8_t { Write, Append, Copy };
  struct Piece {
    std::uint64_t offset = 0;
    Bytes bytes;
    std::uint64_t hole = 0;  // length of zeros, instead of bytes
  };
  Kind kind = Kind::Write;
  NodeId node;
  std::vector<Piece> pieces;          // Write
  std::optional<std::uint64_t> size;  // Write
  bool replace = false;               // Write
  std::optional<Seq> base;            // Write
  Bytes bytes;                        // Append
  NodeId from;                        // Copy
  std::optional<Seq> at;              // Copy
  std::uint64_t from_offset = 0;      // Copy
  std::uint64_t length = 0;           // Copy
  std::uint64_t to_offset = 0;        // Copy
};

// One commit as it is asked for.
struct ModelStep {
  store::Caller caller;
  std::optional<store::OperationKey> key;
  std::vector<store::Condition> conditions;
  std::optional<ModelContent> content;
  std::vector<store::Operation> operations;  // contents of Create: below
  std::map<std::size_t, Bytes> contents;     // by operation
};

class ModelCommit;

class StoreModel {
 public:
  // A new volume, whose first commit is `seq`.
  StoreModel(Seq seq, std::int64_t time);

  // What only the volume knows about a commit that it has made.
  struct Given {
    Seq seq;
    std::int64_t time = 0;
    std::vector<NodeId> created;                   // by operation
    std::function<std::uint64_t(NodeId)> tail_of;  // length of a file's tail afterwards
  };
  struct Outcome {
    // Empty: it must succeed. Else each is a reason to refuse it, and it must be one of these.
    std::set<ErrorCode> refused;
    std::vector<store::NodeOutcome> nodes;  // in order of id
  };
  // Does the step, or says why not and changes nothing. To ask beforehand whether a step is
  // refused, give invented ids and seq and keep = false.
  Outcome apply(const ModelStep& step, const Given& given, bool keep = true);
  // The newest commit's time, also of those that the volume made by itself.
  [[nodiscard]] std::int64_t time() const { return time_; }
  void note_time(std::int64_t time) { time_ = std::max(time_, time); }
  // An orphan that the volume ended by itself in commit `seq`.
  [[nodiscard]] bool reap(NodeId node, Seq seq);

  void pin(SessionId session, NodeId node, Seq version);
  [[nodiscard]] bool unpin(SessionId session, NodeId node, Seq version);
  void end_session(SessionId session);
  [[nodiscard]] bool is_pinned(NodeId node) const;

  [[nodiscard]] const ModelState& present() const { return *history_.rbegin()->second; }
  [[nodiscard]] Seq last() const { return history_.rbegin()->first; }
  // The state that was true at `seq`; null if it has been forgotten, or came later.
  [[nodiscard]] const ModelState* at(Seq seq) const;
  // States below `seq` that no snapshot shows are no longer needed, unless all are kept.
  void forget_below(Seq seq);
  void keep_all() { keeps_all_ = true; }
  // Commits above `seq` have been lost.
  void forget_above(Seq seq);
  [[nodiscard]] const std::map<Seq, std::shared_ptr<const ModelState>>& history() const {
    return history_;
  }

 private:
  friend class ModelCommit;
  struct Fence {
    NodeId node;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t token = 0;
  };
  struct Pin {
    SessionId session;
    NodeId node;
    Seq version;
    friend auto operator<=>(const Pin&, const Pin&) = default;
  };
  [[nodiscard]] std::set<ErrorCode> failed_conditions(const ModelStep& step) const;

  std::map<Seq, std::shared_ptr<const ModelState>> history_;
  std::int64_t time_ = 0;
  bool keeps_all_ = false;
  std::vector<Fence> fences_;
  std::multiset<Pin> pins_;
};

}  // namespace test_support
