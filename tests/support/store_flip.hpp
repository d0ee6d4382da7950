#pragma once

// A small volume with something of everything, and what becomes of it when one bit of one of its
// files has changed: shared by the test and the soak program.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {
class Volume;
}

namespace test_support {

enum class FlipState : std::uint8_t {
  Closed,     // in order: all of it is in the database and the segments
  Killed,     // with commits that are stable in the WAL only
  PowerLost,  // the same, and the machine was started anew
};

enum class FlipOutcome : std::uint8_t {
  Refused,     // opening says that something is wrong
  Unreadable,  // what was damaged is refused, all else is as it was
  Found,       // all is as it was, and fsck names the damage
  Unused,      // no part of the volume: free pages, padding
  Wrong,       // a violation: other bytes were served
  Older,       // a violation: stable commits are gone, and nobody said so
};

// What can be asked of the volume, each with its answer.
using FlipAnswers = std::vector<std::pair<std::string, common::Result<std::string>>>;

// A prepared volume below `scratch`, whose files can be flipped one bit at a time.
class FlipVolume {
 public:
  FlipVolume(const std::string& scratch, FlipState state);

  // Every byte of database, WAL, mark and segments, as one row of offsets; the database's own file
  // comes first.
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::uint64_t database_bytes() const;
  struct Flip {
    std::string file;
    std::uint64_t offset = 0;
    FlipOutcome outcome = FlipOutcome::Unused;
    std::string why;
  };
  // Flips one bit of that byte in a copy and looks. `fsck`: where nothing is seen otherwise.
  // Threads that do so at once have numbers.
  [[nodiscard]] Flip flip(std::uint64_t byte, unsigned bit, bool fsck, unsigned thread = 0) const;

 private:
  void prepare();
  void fill(fileserver::store::Volume& volume);
  void say_last_words();
  [[nodiscard]] FlipAnswers ask(fileserver::store::Volume& volume) const;
  [[nodiscard]] FlipOutcome compare(const FlipAnswers& now, std::string& why) const;
  void restore(const std::string& copy) const;
  [[nodiscard]] FlipOutcome look(const std::string& copy, bool fsck, std::string& why) const;
  common::NodeId make(fileserver::store::Volume& volume, const std::string& name,
                      fileserver::store::NodeKind kind = fileserver::store::NodeKind::File);

  const common::SystemClock clock_;
  const std::string scratch_;
  const std::string original_;
  const FlipState state_;
  std::map<std::string, std::string> files_;  // by name, what each holds
  std::map<std::string, common::NodeId> nodes_;
  common::Seq before_;  // a snapshot shows it
  common::Seq last_;
  FlipAnswers answers_;
};

}  // namespace test_support
