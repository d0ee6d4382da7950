#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "common/sim/example/lease_protocol.hpp"

namespace common::sim::example {

// Keeps the counter, and refuses what comes too late. A pure core; effects as for LeaseGrantor.
class LeaseStore {
 public:
  // One change, appended to the log. The state is the sum of the log.
  struct Record {
    Token floor = 0;  // no write with a lower token is accepted any more
    std::uint64_t version = 0;
    std::uint64_t value = 0;
    PeerId client = 0;  // whose write this was; 0: none, only the floor moved
    LeaseOp op = 0;
    friend bool operator==(const Record&, const Record&) = default;
  };

  struct Started {
    std::vector<Record> log;
  };
  struct Received {
    PeerId from = 0;
    LeaseMessage message;
  };
  using Event = std::variant<Started, Received>;

  // To be stable before the effects behind it are carried out, unless `lazily`.
  struct Append {
    Record record;
    bool lazily = false;
  };
  // For the judge of the simulation: a write took effect.
  struct Applied {
    LeaseMessage write;
    std::uint64_t version = 0;  // that it made
  };
  using Effect = std::variant<Send, Append, Applied>;
  using Effects = std::vector<Effect>;

  explicit LeaseStore(const LeaseOptions& options) : options_(options) {}

  void on(const Event& event, Instant now, Effects& effects);

  [[nodiscard]] std::uint64_t version() const { return state_.version; }
  [[nodiscard]] Token floor() const { return state_.floor; }

 private:
  void apply(const Record& record);
  void fence(const Received& event, Effects& effects);
  void write(const Received& event, Effects& effects);
  [[nodiscard]] LeaseOp last_op(PeerId client) const;

  LeaseOptions options_;
  Record state_;
  std::map<PeerId, LeaseOp> last_ops_;  // one per client of the cell
};

// Records as bytes: 48 of them, a checksum first. nullopt: torn, or not a record.
std::vector<std::byte> encode(const LeaseStore::Record& record);
std::optional<LeaseStore::Record> decode_record(std::span<const std::byte> bytes, bool check);
inline constexpr std::size_t kRecordBytes = 48;

// Checksum of anything short.
std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace common::sim::example
