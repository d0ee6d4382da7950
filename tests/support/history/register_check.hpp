#pragma once

// Registers: files that are read whole and stored whole (G1, G3, G7), or attributes. Each write has
// a value that no other has, and every answer names the version of what it tells. The versions are
// the order that is proposed for the writes; it is accepted if it explains all answers:
//   - what began after something was answered sees no older version, and writes a newer one;
//   - a version is one value, and a value one version;
//   - what is read was written, by a write that had begun, and that was not refused.
// These are what linearizability of a register asks; the server's word for the order is not trusted
// beyond that.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "tests/support/history/record.hpp"
#include "tests/support/history/verdicts.hpp"

namespace history {

// Records in the order of their stamps, of any number of registers.
class RegisterCheck {
 public:
  // Of each register so many versions are remembered, the newest; older ones are too old for
  // whoever reads them, unless it began that long ago.
  static constexpr std::size_t kVersions = 4096;

  explicit RegisterCheck(Verdicts& verdicts) : verdicts_(verdicts) {}

  // What a register holds before anybody has written it; value 0 unless told.
  void begins_with(std::uint64_t object, std::uint64_t value);
  // Read and Write, both phases.
  void take(const Record& record);
  // The client is gone; what it had begun may happen or not.
  void client_gone(std::uint64_t client);
  // Read when all others have ended: what is missing now is lost.
  void take_last(const Record& record);

 private:
  struct Written {
    std::uint64_t version = 0;  // 0: not known yet
    bool refused = false;
  };
  struct Register {
    std::uint64_t newest = 0;                           // version that was answered to anybody
    std::map<std::uint64_t, std::uint64_t> values;      // by version
    std::unordered_map<std::uint64_t, Written> writes;  // by value
  };
  struct InFlight {
    std::uint64_t floor = 0;  // the newest when it began
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // client, op

  void invoke(const Record& record);
  void returned(const Record& record, Fault if_old);
  void settle(Register& state, const Record& record);
  static void prune(Register& state);

  Verdicts& verdicts_;
  std::map<std::uint64_t, Register> registers_;
  std::map<Key, InFlight> in_flight_;
};

}  // namespace history
