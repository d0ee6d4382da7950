#pragma once

// Random commits on a volume and on its model at once, and everything compared.

#include "common/sim/random.hpp"
#include "tests/support/store_check.hpp"

namespace test_support {

struct DriverOptions {
  std::uint64_t seed = 1;
  // The directory below which everything happens; others may work below another.
  NodeId top = store::kRootNode;
  std::string top_name;       // in the root; "" with the root itself
  std::size_t nodes = 24;     // about so many
  std::uint64_t session = 1;  // this and the next are used
  store::MountId mount;
  std::uint64_t largest = 300'000;  // file, but for holes
  bool fences = true;               // asks for them in conditions
  ScriptedClock* clock = nullptr;   // moved by each step, if this driver is alone
};

struct DriverCounts {
  std::uint64_t commits = 0;
  std::uint64_t refused = 0;
  std::uint64_t replays = 0;
  std::uint64_t compared = 0;       // states
  std::uint64_t compared_past = 0;  // of those, earlier ones
};

// One thread. A failure (ErrorCode::Internal) is a difference: what the volume did is wrong.
class StoreDriver {
 public:
  // `model` describes the volume as it is, as far as it lies below `top`. All must outlive this.
  StoreDriver(store::Volume& volume, StoreModel& model, DriverOptions options);

  // Goes on with the same volume after it was closed and opened again.
  void reopened(store::Volume& volume) { volume_ = &volume; }

  // A random commit, or a refused one, or something else that a session does.
  [[nodiscard]] common::Status step();
  // One given commit: refused or done as the model says, and what it touched is as it should be.
  [[nodiscard]] common::Status perform(const ModelStep& step);

  // What the commits since the last comparison have touched.
  [[nodiscard]] common::Status compare_touched();
  // Everything as it is now.
  [[nodiscard]] common::Status compare_now();
  // Everything as it was at some retained seq, if there is one.
  [[nodiscard]] common::Status compare_past();
  // Ends what its sessions hold.
  [[nodiscard]] common::Status let_all_go();
  // The volume and the model have lost their newest commits.
  void rolled_back();
  // What upkeep has committed by itself since the last look.
  [[nodiscard]] common::Status absorb();

  [[nodiscard]] const DriverCounts& counts() const { return counts_; }
  [[nodiscard]] bool alone() const { return options_.top == store::kRootNode; }

 private:
  struct Done {
    ModelStep step;
    store::CommitReply reply;
  };
  struct Held {
    SessionId session;
    NodeId node;
    Seq version;
    store::Content content;
    ModelBytes bytes;
  };

  // What to do.
  [[nodiscard]] ModelStep random_step();
  [[nodiscard]] store::Operation random_operation(ModelStep& step, std::size_t index);
  void random_content(ModelStep& step);
  void random_conditions(ModelStep& step);
  [[nodiscard]] NodeId any_node(std::optional<store::NodeKind> kind = std::nullopt);
  [[nodiscard]] NodeId any_directory();
  [[nodiscard]] std::string any_name();
  // A name that this directory has, mostly.
  [[nodiscard]] std::string name_in(NodeId directory);
  [[nodiscard]] Bytes any_bytes(std::size_t length);
  [[nodiscard]] std::size_t any_length();
  [[nodiscard]] std::uint64_t any_offset(std::uint64_t size);
  bool one_in(std::uint64_t n) { return random_.below(n) == 0; }

  // Doing it.
  [[nodiscard]] common::Result<store::CommitReply> ask(const ModelStep& step);
  [[nodiscard]] common::Result<store::CommitReply> ask_once(const ModelStep& step);
  [[nodiscard]] common::Status accept(const ModelStep& step, const store::CommitReply& reply);
  [[nodiscard]] common::Status check_refusal(const ModelStep& step, const common::Error& error);
  [[nodiscard]] common::Status repeat_one();
  [[nodiscard]] std::string what_came(Seq after);
  [[nodiscard]] common::Status hold_one();
  [[nodiscard]] common::Status let_go();
  [[nodiscard]] common::Status read_held();

  store::Volume* volume_;
  StoreModel& model_;
  DriverOptions options_;
  common::sim::Random random_;
  DriverCounts counts_;
  std::uint64_t next_number_ = 1;
  std::vector<Done> done_;  // with a key, the last few
  std::vector<Held> held_;
  std::vector<Bytes> pool_;  // bytes that come again
  std::set<NodeId> touched_;
  Seq absorbed_;
  Seq floor_;
};

}  // namespace test_support
