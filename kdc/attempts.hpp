#pragma once

// Counts guesses of passwords per name and per source (PROTOCOL.md, "Guessing"), in memory and,
// before a failure is answered, in the database.

#include <array>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kdc/core.hpp"
#include "kdc/guess_limit.hpp"

namespace kdc {

// Counters and pairs kept; the one that changed longest ago makes room. Filling the table within
// the two minutes in which a counter matters takes more sources than there are attempts for.
inline constexpr std::size_t kMostCounters = 65'536;
inline constexpr std::size_t kMostKnownSources = 65'536;
// Of one name. Who has a password and many addresses takes his own others' places, not everybody's.
inline constexpr std::size_t kMostKnownOfOne = 64;
// How long an address that logged a name in is known for it.
inline constexpr Millis kKnownFor = std::chrono::days(30);

// Names are counted whether or not they exist, under a keyed hash: the database does not tell what
// was tried. Safe from any thread.
class Attempts {
 public:
  explicit Attempts(Core& core) : core_(core) {}
  // Reads what the last process left; once, before anything else.
  [[nodiscard]] common::Status load();

  // Before any cryptography: whether this name may be tried from this source. If so, one of
  // failed(), succeeded() or withdrawn() must follow.
  [[nodiscard]] GuessVerdict begin(const std::string& name, const std::string& source);
  // Returns when the count is in the database: only then the caller may be told. A failure to write
  // is an error of the login, too.
  [[nodiscard]] common::Status failed(const std::string& name, const std::string& source);
  // Clears the name's count, remembers the source for it.
  [[nodiscard]] common::Status succeeded(const std::string& name, const std::string& source);
  // The attempt ended without an answer to whether the password was right.
  void withdrawn(const std::string& name, const std::string& source);
  // Deletes rows that say nothing any more. Called from housekeeping.
  [[nodiscard]] common::Status prune();

 private:
  using Key = std::array<std::byte, 16>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  enum class Counts : std::uint8_t { Name = 1, Source = 2 };
  struct Counter {
    Key key;
    Counts counts;
    GuessState state;
  };
  // A pair's key begins with some of its name's: so those of one name are known by it.
  using NameTag = std::uint64_t;
  struct Known {
    Key key;
    Time succeeded;
  };
  // Newest change first.
  struct Tables {
    std::list<Counter> counters;
    std::unordered_map<Key, std::list<Counter>::iterator, KeyHash> counter_of;
    std::list<Known> known;
    std::unordered_map<Key, std::list<Known>::iterator, KeyHash> known_of;
    std::unordered_map<NameTag, std::vector<Key>> pairs_of;  // newest last
  };
  struct Place {
    Key name;  // of the name, or of name and source if that is known for it
    Key pair;
    Key source;
  };

  [[nodiscard]] common::Result<Key> hash(std::string_view what, std::string_view name,
                                         std::string_view source) const;
  [[nodiscard]] common::Result<Place> place_of(Tables& tables, const std::string& name,
                                               const std::string& source) const;
  Counter& counter(Tables& tables, const Key& key, Counts counts, Time now);
  void forget(Tables& tables, const Key& key);
  static NameTag tag_of(const Key& pair);
  static void add_known(Tables& tables, const Key& pair, Time succeeded);
  static void remove_known(Tables& tables, const Key& pair);
  static std::optional<Key> who_makes_room(const Tables& tables, const Key& pair);
  [[nodiscard]] common::Status store(const std::array<Key, 2>& keys);

  Core& core_;
  common::Locked<Tables> tables_;
};

// What counts as one source: an IPv4 address as it is, the /64 of an IPv6 address, since whoever
// has one address there has them all. Anything else stays as it is.
std::string source_of_address(const std::string& address);

}  // namespace kdc
