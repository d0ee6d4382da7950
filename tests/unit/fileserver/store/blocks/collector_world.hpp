#pragma once

// A volume in small, for the tests of the collector: files, their history and the index as rows in
// memory that are committed one transaction after the other, over a real block store on a disk in
// memory. It can be killed, and lose its power, at every call that the collector makes.

#include <set>

#include "fileserver/store/blocks/collector.hpp"
#include "tests/unit/fileserver/store/blocks/tree_fixture.hpp"

namespace block_test {

using common::sim::Random;

struct Rows {
  std::map<BlockName, Placement> index;
  std::map<std::uint64_t, Content> present;
  std::vector<Content> history;

  [[nodiscard]] std::vector<Content> retained() const {
    std::vector<Content> all = history;
    for (const auto& [id, content] : present)
      all.push_back(content);
    return all;
  }
  [[nodiscard]] bool retains(const Content& content) const {
    return content == Content{} || std::ranges::count(retained(), content) > 0;
  }
};

// The rows, and what the block store and the collector ask of them.
class Ledger final : public BlockIndex, public CollectorHost {
 public:
  Rows now;
  std::vector<Rows> since_stable;  // after each transaction that is not stable yet
  Rows stable;
  Segments* segments = nullptr;
  std::function<void()> disturb;       // around every call of the collector
  std::function<void()> disturb_find;  // around every look of the block store
  std::uint64_t calls = 0;
  std::uint64_t fail_before = 0;  // number of the call that fails and changes nothing
  std::uint64_t fail_after = 0;   // and of the one that fails after all

  Result<std::vector<std::optional<Placement>>> find(std::span<const BlockName> names) override {
    if (disturb_find)
      disturb_find();
    std::vector<std::optional<Placement>> found;
    for (const BlockName& name : names) {
      const auto row = now.index.find(name);
      found.push_back(row == now.index.end() ? std::nullopt : std::optional(row->second));
    }
    if (disturb_find)
      disturb_find();
    return found;
  }
  void found_bad(const BlockName& name, const Placement& /*placement*/,
                 const common::Error& /*why*/) override {
    bad.push_back(name);
  }

  Result<std::vector<Root>> next_roots(std::string& cursor) override {
    std::vector<Root> roots;
    TROTH_TRY_VOID(call([&] {
      std::uint64_t at = cursor.empty() ? 0 : std::stoull(cursor.substr(1));
      if (cursor.empty() || cursor[0] == 'p') {
        const auto row = now.present.lower_bound(at);
        if (row != now.present.end()) {
          roots.push_back({row->second.root, row->second.tree_size()});
          cursor = "p" + std::to_string(row->first + 1);
          return;
        }
        at = 0;
      }
      if (at < now.history.size())
        roots.push_back({now.history[at].root, now.history[at].tree_size()});
      cursor = "h" + std::to_string(at + 1);
    }));
    return roots;
  }
  Result<std::vector<IndexRow>> index_after(const BlockName& after, std::size_t limit) override {
    std::vector<IndexRow> rows;
    TROTH_TRY_VOID(call([&] {
      for (auto row = now.index.upper_bound(after);
           row != now.index.end() && rows.size() < std::min(limit, most_rows); ++row)
        rows.push_back({row->first, row->second});
    }));
    return rows;
  }
  Status delete_rows(std::span<const IndexRow> rows) override {
    return call([&] {
      for (const IndexRow& row : rows)
        if (const auto found = now.index.find(row.name);
            found != now.index.end() && found->second == row.placement)
          now.index.erase(found);
      committed();
    });
  }
  Status move_rows(std::span<const Move> moves) override {
    return call([&] {
      for (const Move& move : moves)
        if (const auto found = now.index.find(move.name);
            found != now.index.end() && found->second == move.from)
          found->second = move.to;
      committed();
    });
  }
  Status make_stable() override {
    Status synced;
    TROTH_TRY_VOID(call([&] { synced = sync(); }));
    return synced;
  }

  Status sync() {
    TROTH_TRY_VOID(segments->sync());
    stable = now;
    since_stable.clear();
    return {};
  }
  void committed() { since_stable.push_back(now); }

  std::vector<BlockName> bad;
  std::size_t most_rows = 7;  // in one page: small, so that much happens between pages

 private:
  Status call(const std::function<void()>& apply) {
    ++calls;
    if (disturb)
      disturb();
    if (calls == fail_before)
      return common::fail(ErrorCode::IoError, "planted");
    apply();
    const bool fails = calls == fail_after;
    if (disturb)
      disturb();
    if (fails)
      return common::fail(ErrorCode::OutcomeUnknown, "planted");
    return {};
  }
};

struct World {
  static constexpr std::uint32_t kSegmentBytes = 256 << 10;

  explicit World(CollectorOptions how = {.small_segment = 32 << 10,
                                         .rows_per_step = 5,
                                         .bytes_per_step = 20'000})
      : faulty(memory), pool(0), options(how) {
    start();
  }
  ~World() { stop(); }

  void start() {
    verified_.clear();
    segments = *Segments::open(faulty, "segments", {.segment_bytes = kSegmentBytes}, clock);
    ledger.segments = segments.get();
    store = std::make_unique<BlockStore>(*segments, ledger, pool, BlockStoreOptions{});
    collector = std::make_unique<Collector>(*segments, *store, ledger, options);
  }
  void stop() {
    pending.clear();
    collector.reset();
    store.reset();
    segments.reset();
  }
  // Nothing that was written is lost by this; before anything else, recovery makes it stable.
  void kill_and_restart() {
    stop();
    start();
    if (ledger.since_stable.empty())
      return;
    for (const SegmentInfo& info : segments->list())
      REQUIRE_OK(segments->cut_tail(info.number));  // which marks it as written
    REQUIRE_OK(memory.sync_directory("segments"));
    REQUIRE_OK(ledger.sync());
  }
  // Any part of what is not stable has reached the disk. As recovery does: back to the last commit
  // whose blocks are all there; what is stable must always be.
  void lose_power_and_restart(std::uint64_t kept) {
    stop();
    memory.crash();
    start();
    std::vector<Rows> states{ledger.stable};
    states.insert(states.end(), ledger.since_stable.begin(), ledger.since_stable.end());
    states.resize(std::min<std::size_t>(kept + 1, states.size()));
    while (states.size() > 1 && !whole(states.back()))
      states.pop_back();
    ledger.now = ledger.stable = states.back();
    ledger.since_stable.clear();
    REQUIRE(whole(ledger.now));
  }

  // --- a file's life ---

  struct Change {
    Upload upload;
    std::uint64_t file = 0;
    Content base;
    Content source;
    Content result;
  };

  [[nodiscard]] Content file(std::uint64_t id) const {
    const auto found = ledger.now.present.find(id);
    return found == ledger.now.present.end() ? Content{} : found->second;
  }
  // Nothing if the disk said no.
  std::optional<Change> write(std::uint64_t id, std::uint64_t offset, ByteView bytes) {
    Change change{store->begin_upload(), id, file(id), {}, {}};
    const Edit edit = data_edit(offset, bytes);
    return finish(std::move(change), [&](Change& made) {
      return edit_content(*store, made.upload, made.base, std::span(&edit, 1),
                          std::max(made.base.size, offset + bytes.size()));
    });
  }
  std::optional<Change> resize(std::uint64_t id, std::uint64_t size) {
    Change change{store->begin_upload(), id, file(id), {}, {}};
    return finish(std::move(change), [&](Change& made) {
      return edit_content(*store, made.upload, made.base, {}, size);
    });
  }
  std::optional<Change> copy(const Content& from, std::uint64_t id, std::uint64_t to) {
    Change change{store->begin_upload(), id, file(id), from, {}};
    return finish(std::move(change), [&](Change& made) {
      return copy_range(*store, made.upload, from, 0, from.size, made.base, to);
    });
  }
  // As a volume's commit: false if its base or its source has gone, or reused blocks have.
  bool commit(const Change& change) {
    if (file(change.file) != change.base || !ledger.now.retains(change.source))
      return false;
    for (const BlockName& name : change.upload.reused())
      if (!ledger.now.index.contains(name))
        return false;
    for (const NewBlock& block : change.upload.written()) {
      const auto [row, is_new] = ledger.now.index.emplace(block.name, block.placement);
      if (!is_new && store->is_condemned(block.name))
        row->second = block.placement;
    }
    if (ledger.now.present.contains(change.file))
      ledger.now.history.push_back(change.base);
    ledger.now.present[change.file] = change.result;
    ledger.committed();
    return true;
  }
  void forget_history(std::size_t count) {
    REQUIRE(!collector->in_round());
    auto& history = ledger.now.history;
    history.erase(history.begin(),
                  history.begin() + static_cast<std::ptrdiff_t>(std::min(count, history.size())));
    ledger.committed();
  }

  common::Result<bool> step() {
    stepping = true;
    auto more = collector->step();
    stepping = false;
    return more;
  }
  // True if it ended; the error is kept.
  bool run_round() {
    for (int steps = 0; steps < 100'000; ++steps) {
      const auto more = step();
      if (!more)
        return false;
      if (!*more)
        return true;
    }
    FAIL("a round without end");
    return false;
  }

  // --- what must hold ---

  // All blocks below the retained contents, read at the places that the index gives; nothing if
  // one is not there.
  std::optional<std::set<BlockName>> reachable(const Rows& rows) {
    std::set<BlockName> seen;
    for (const Content& content : rows.retained())
      if (!reach(rows, content.root, tree_height(content.tree_size()), seen))
        return std::nullopt;
    return seen;
  }
  bool whole(const Rows& rows) { return reachable(rows).has_value(); }

  void check() {
    REQUIRE(whole(ledger.now));
    for (const Change& change : pending) {
      for (const NewBlock& block : change.upload.written())
        REQUIRE(entries(block.name, block.placement, block.kind) != nullptr);
      for (const BlockName& name : change.upload.reused())
        REQUIRE((ledger.now.index.contains(name) || store->is_condemned(name)));
    }
  }
  // After two rounds in which nothing else happened: all that is needed, and hardly anything else.
  void check_tidy() {
    pending.clear();
    ledger.disturb = nullptr;
    ledger.disturb_find = nullptr;
    for (int round = 0; round < 3; ++round)
      REQUIRE(run_round());
    const auto needed = reachable(ledger.now);
    REQUIRE(needed);
    REQUIRE(ledger.now.index.size() == needed->size());
    std::map<std::uint32_t, std::uint64_t> live;
    for (const auto& [name, place] : ledger.now.index)
      live[place.segment] += record_size(place.length, false);
    const auto list = segments->list();
    for (const SegmentInfo& info : list)
      if (info.closed && info.number != list.back().number)
        CHECK(live[info.number] * 2 + 64 >= info.bytes);
  }

  MemoryFileIo memory;
  FaultyFileIo faulty;
  common::ManualClock clock;
  WorkPool pool;
  CollectorOptions options;
  Ledger ledger;
  std::unique_ptr<Segments> segments;
  std::unique_ptr<BlockStore> store;
  std::unique_ptr<Collector> collector;
  std::vector<Change> pending;
  bool stepping = false;
  bool disturbing = false;
  bool disk_may_fail = false;

 private:
  template <typename Make>
  std::optional<Change> finish(Change change, Make make) {
    auto made = make(change);
    if (!made && disk_may_fail)
      return std::nullopt;
    REQUIRE_OK(made);
    change.result = *std::move(made);
    return change;
  }
  std::optional<Bytes> readable(const BlockName& name, const Placement& place, BlockKind kind) {
    auto bytes = read_block(*segments, name, place, kind);
    if (!bytes)
      return std::nullopt;
    return *std::move(bytes);
  }
  // The entries of a block (none: of a data block) that is read and verified at its place. What was
  // verified stays so while no segment goes.
  const std::vector<BlockName>* entries(const BlockName& name, const Placement& place,
                                        BlockKind kind) {
    const std::uint64_t removed = collector->counters().removed_segments;
    if (std::exchange(verified_at_, removed) != removed)
      verified_.clear();
    const std::tuple key{name, place.segment, place.offset};
    if (const auto known = verified_.find(key); known != verified_.end())
      return &known->second;
    const auto bytes = readable(name, place, kind);
    if (!bytes)
      return nullptr;
    std::vector<BlockName> names;
    for (std::size_t at = 0; kind == BlockKind::List && at < bytes->size(); at += sizeof(BlockName))
      std::memcpy(names.emplace_back().bytes.data(), bytes->data() + at, sizeof(BlockName));
    return &verified_.emplace(key, std::move(names)).first->second;
  }
  bool reach(const Rows& rows, const BlockName& name, unsigned level, std::set<BlockName>& seen) {
    if (name.is_hole() || !seen.insert(name).second)
      return true;
    const auto row = rows.index.find(name);
    if (row == rows.index.end())
      return false;
    const auto* below = entries(name, row->second, level == 0 ? BlockKind::Data : BlockKind::List);
    return below != nullptr && std::ranges::all_of(*below, [&](const BlockName& entry) {
             return reach(rows, entry, level - 1, seen);
           });
  }

  std::uint64_t verified_at_ = 0;
  std::map<std::tuple<BlockName, std::uint32_t, std::uint32_t>, std::vector<BlockName>> verified_;
};

}  // namespace block_test
