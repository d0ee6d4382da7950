#pragma once

// Checks a volume that nobody has open, and repairs what can be derived (STORE.md 8).

#include <functional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

struct FsckOptions {
  bool repair = false;
  bool blocks = true;  // read and verify every block; else metadata only
  const common::crypto::Secret* key = nullptr;
  std::function<void(const std::string&)> progress;  // none: silent
};

// One thing that is not as it must be.
struct Finding {
  std::string invariant;  // "I5"
  std::string what;       // one sentence, with ids
  bool repaired = false;
  bool harmless = false;  // garbage, or what the next opening does by itself
};

struct FsckReport {
  std::vector<Finding> findings;  // the first kMaxFindings
  std::uint64_t total_findings = 0;
  std::uint64_t unsound = 0;  // of those, neither repaired nor harmless
  std::uint64_t nodes = 0;
  std::uint64_t commits = 0;
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;              // of blocks verified
  [[nodiscard]] bool is_sound() const;  // nothing left but what is repaired or harmless
};
inline constexpr std::size_t kMaxFindings = 1000;

// Opens the volume itself (Busy if somebody has it). A failure is what kept it from checking, not
// what it found.
[[nodiscard]] Result<FsckReport> check_volume(const std::string& directory,
                                              const FsckOptions& options,
                                              const common::Clock& clock);

}  // namespace fileserver::store
