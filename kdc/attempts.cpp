#include "kdc/attempts.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::WriteTx;

// A counter that nobody touched for so long is full again.
constexpr Millis kForgotten = std::chrono::minutes(10);

// A login that succeeds again and again from one place is written once in this time.
constexpr Millis kKnownRefresh = std::chrono::days(1);

// Of a pair's 16 bytes as many say whose it is. Two names that share them, one in 2^48, share the
// places for their addresses; the other ten bytes tell these apart.
constexpr std::size_t kTagBytes = 6;

}  // namespace

std::string source_of_address(const std::string& address) {
  in6_addr parsed{};
  if (::inet_pton(AF_INET6, address.c_str(), &parsed) != 1)
    return address;
  if (IN6_IS_ADDR_V4MAPPED(&parsed)) {
    std::array<char, INET_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET, &parsed.s6_addr[12], text.data(), text.size());
    return text.data();
  }
  std::fill(std::begin(parsed.s6_addr) + 8, std::end(parsed.s6_addr), std::uint8_t{0});
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, &parsed, text.data(), text.size());
  return std::string(text.data()) + "/64";
}

std::size_t Attempts::KeyHash::operator()(const Key& key) const {
  // Keys are pseudo-random already, by a key that nobody outside has, so nobody can look for
  // collisions; and one would cost time only, since keys are compared whole. The beginning is no
  // good: pairs of one name share it.
  std::size_t value = 0;
  std::memcpy(&value, key.data() + key.size() - sizeof value, sizeof value);
  return value;
}

Result<Attempts::Key> Attempts::hash(std::string_view what, std::string_view name,
                                     std::string_view source) const {
  const Bytes text = common::wire::BinaryWriter().text(what).text(name).text(source).take();
  TROTH_TRY(const auto digest, common::crypto::hmac_sha256(core_.secrets().attempts.bytes(), text));
  Key key{};
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}

Result<Attempts::Place> Attempts::place_of(Tables& tables, const std::string& name,
                                           const std::string& source) const {
  Place place{};
  TROTH_TRY(place.pair, hash("pair", name, source));
  TROTH_TRY(place.source, hash("source", {}, source));
  TROTH_TRY(place.name, hash("name", name, {}));
  std::copy_n(place.name.begin(), kTagBytes, place.pair.begin());
  const auto known = tables.known_of.find(place.pair);
  if (known != tables.known_of.end() && core_.now() - known->second->succeeded < kKnownFor)
    place.name = place.pair;
  return place;
}

Attempts::Counter& Attempts::counter(Tables& tables, const Key& key, Counts counts, Time now) {
  const auto found = tables.counter_of.find(key);
  if (found != tables.counter_of.end()) {
    tables.counters.splice(tables.counters.begin(), tables.counters, found->second);
    return tables.counters.front();
  }
  if (tables.counters.size() >= kMostCounters)
    forget(tables, tables.counters.back().key);
  const GuessRules& rules = counts == Counts::Name ? kNameRules : kSourceRules;
  tables.counters.push_front({key, counts, fresh_guesses(rules, now)});
  tables.counter_of[key] = tables.counters.begin();
  return tables.counters.front();
}

void Attempts::forget(Tables& tables, const Key& key) {
  const auto found = tables.counter_of.find(key);
  if (found == tables.counter_of.end())
    return;
  tables.counters.erase(found->second);
  tables.counter_of.erase(found);
}

Attempts::NameTag Attempts::tag_of(const Key& pair) {
  NameTag tag = 0;
  std::memcpy(&tag, pair.data(), kTagBytes);
  return tag;
}

void Attempts::add_known(Tables& tables, const Key& pair, Time succeeded) {
  tables.known.push_front({pair, succeeded});
  tables.known_of[pair] = tables.known.begin();
  tables.pairs_of[tag_of(pair)].push_back(pair);
}

void Attempts::remove_known(Tables& tables, const Key& pair) {
  const auto found = tables.known_of.find(pair);
  tables.known.erase(found->second);
  tables.known_of.erase(found);
  const auto of_name = tables.pairs_of.find(tag_of(pair));
  std::erase(of_name->second, pair);
  if (of_name->second.empty())
    tables.pairs_of.erase(of_name);
}

// Which pair goes when this one comes.
std::optional<Attempts::Key> Attempts::who_makes_room(const Tables& tables, const Key& pair) {
  const auto of_name = tables.pairs_of.find(tag_of(pair));
  if (of_name != tables.pairs_of.end() && of_name->second.size() >= kMostKnownOfOne)
    return of_name->second.front();
  if (tables.known.size() >= kMostKnownSources)
    return tables.known.back().key;
  return std::nullopt;
}

Status Attempts::load() {
  auto tables = tables_.lock();
  const Time now = core_.now();
  return core_.read([&](ReadTx& tx) -> Status {
    *tables = {};
    TROTH_TRY(auto rows, tx.query("SELECT key, kind, credit, updated, streak, wait_until FROM "
                                  "attempt ORDER BY updated DESC LIMIT ?1",
                                  kMostCounters));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      const ByteView blob = rows.column_blob(0);
      Key key{};
      if (blob.size() != key.size())
        return fail(ErrorCode::Corrupt, "a counter of attempts has a key of {} bytes", blob.size());
      std::copy(blob.begin(), blob.end(), key.begin());
      const Counts counts = rows.column_int64(1) == 1 ? Counts::Name : Counts::Source;
      tables->counters.push_back({key,
                                  counts,
                                  {.credit = Millis(rows.column_int64(2)),
                                   .updated = time_from(rows.column_int64(3)),
                                   .streak = static_cast<std::uint32_t>(rows.column_uint64(4)),
                                   .wait_until = time_from(rows.column_int64(5))}});
      tables->counter_of[key] = std::prev(tables->counters.end());
    }
    // The newest kMostKnownSources, and of these the oldest first, so that each comes before it.
    TROTH_TRY(auto known,
              tx.query("SELECT key, succeeded FROM (SELECT key, succeeded FROM known_source WHERE "
                       "succeeded > ?1 ORDER BY succeeded DESC LIMIT ?2) ORDER BY succeeded",
                       to_number(now - kKnownFor), kMostKnownSources));
    for (;;) {
      TROTH_TRY(const bool more, known.step());
      if (!more)
        return {};
      const ByteView blob = known.column_blob(0);
      Key key{};
      if (blob.size() != key.size())
        return fail(ErrorCode::Corrupt, "a known source has a key of {} bytes", blob.size());
      std::copy(blob.begin(), blob.end(), key.begin());
      add_known(*tables, key, time_from(known.column_int64(1)));
    }
  });
}

GuessVerdict Attempts::begin(const std::string& name, const std::string& source) {
  auto tables = tables_.lock();
  const Time now = core_.now();
  const auto place = place_of(*tables, name, source);
  if (!place)
    return {.allowed = false, .wait = kNameRules.longest_wait};
  GuessState& by_source = counter(*tables, place->source, Counts::Source, now).state;
  const GuessVerdict source_verdict = take_attempt(by_source, kSourceRules, now);
  if (!source_verdict.allowed)
    return source_verdict;
  GuessState& by_name = counter(*tables, place->name, Counts::Name, now).state;
  const GuessVerdict name_verdict = take_attempt(by_name, kNameRules, now);
  if (!name_verdict.allowed)
    return_attempt(counter(*tables, place->source, Counts::Source, now).state, kSourceRules, now);
  return name_verdict;
}

Status Attempts::failed(const std::string& name, const std::string& source) {
  std::array<Key, 2> keys{};
  {
    auto tables = tables_.lock();
    const Time now = core_.now();
    TROTH_TRY(const Place place, place_of(*tables, name, source));
    note_failure(counter(*tables, place.name, Counts::Name, now).state, kNameRules, now);
    note_failure(counter(*tables, place.source, Counts::Source, now).state, kSourceRules, now);
    keys = {place.name, place.source};
  }
  return store(keys);
}

void Attempts::withdrawn(const std::string& name, const std::string& source) {
  auto tables = tables_.lock();
  const Time now = core_.now();
  const auto place = place_of(*tables, name, source);
  if (!place)
    return;
  return_attempt(counter(*tables, place->name, Counts::Name, now).state, kNameRules, now);
  return_attempt(counter(*tables, place->source, Counts::Source, now).state, kSourceRules, now);
}

Status Attempts::succeeded(const std::string& name, const std::string& source) {
  Place place{};
  bool clear = false;
  bool remember = false;
  std::optional<Key> evicted;
  const Time now = core_.now();
  {
    auto tables = tables_.lock();
    TROTH_TRY(place, place_of(*tables, name, source));
    GuessState& mine = counter(*tables, place.name, Counts::Name, now).state;
    return_attempt(mine, kNameRules, now);
    // Only what failures have written has to be cleared on the disk.
    clear = !is_forgettable(mine, kNameRules, now);
    forget(*tables, place.name);
    GuessState& theirs = counter(*tables, place.source, Counts::Source, now).state;
    return_attempt(theirs, kSourceRules, now);
    const auto known = tables->known_of.find(place.pair);
    remember = known == tables->known_of.end() || now - known->second->succeeded >= kKnownRefresh;
    if (remember) {
      if (known != tables->known_of.end())
        remove_known(*tables, place.pair);
      else
        evicted = who_makes_room(*tables, place.pair);
      if (evicted)
        remove_known(*tables, *evicted);
      add_known(*tables, place.pair, now);
    }
  }
  if (!clear && !remember)
    return {};
  return core_.db()
      .commit([&](WriteTx& tx) -> Status {
        TROTH_TRY_VOID(tx.run("DELETE FROM attempt WHERE key = ?1", ByteView(place.name)));
        if (!remember)
          return {};
        if (evicted) {
          TROTH_TRY_VOID(tx.run("DELETE FROM known_source WHERE key = ?1", ByteView(*evicted)));
        }
        TROTH_TRY_VOID(tx.run("INSERT OR REPLACE INTO known_source VALUES (?1, ?2)",
                              ByteView(place.pair), to_number(now)));
        return tx.run("DELETE FROM known_source WHERE succeeded <= ?1",
                      to_number(core_.certain_now() - kKnownFor));
      })
      .map([](std::uint64_t) {});
}

Status Attempts::prune() {
  const Time now = core_.now();
  // Rows of a clock that was far ahead would stay for ever.
  constexpr std::string_view kStale = "updated < ?1 OR updated > ?2";
  static const std::string look = "SELECT 1 FROM attempt WHERE " + std::string(kStale) + " LIMIT 1";
  static const std::string remove = "DELETE FROM attempt WHERE " + std::string(kStale);
  const std::int64_t least = to_number(now - kForgotten);
  const std::int64_t most = to_number(now + kForgotten);
  TROTH_TRY(const bool any, core_.read([&](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row, tx.query(look, least, most));
    return row.step();
  }));
  if (!any)
    return {};
  return core_.db()
      .commit([&](WriteTx& tx) { return tx.run(remove, least, most); })
      .map([](std::uint64_t) {});
}

Status Attempts::store(const std::array<Key, 2>& keys) {
  return core_.db()
      .commit([&](WriteTx& tx) -> Status {
        for (const Key& key : keys) {
          // As it is now: of two that run at once, the later one writes the sum of both.
          std::optional<Counter> now_is;
          {
            auto tables = tables_.lock();
            const auto found = tables->counter_of.find(key);
            if (found != tables->counter_of.end())
              now_is = *found->second;
          }
          if (!now_is)
            continue;
          const GuessState& state = now_is->state;
          TROTH_TRY_VOID(tx.run("INSERT OR REPLACE INTO attempt VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                                ByteView(key), static_cast<std::uint8_t>(now_is->counts),
                                state.credit.count(), to_number(state.updated), state.streak,
                                to_number(state.wait_until)));
        }
        return {};
      })
      .map([](std::uint64_t) {});
}

}  // namespace kdc
