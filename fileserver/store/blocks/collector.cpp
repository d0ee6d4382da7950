// One file although long: one round, phase after phase.

#include "fileserver/store/blocks/collector.hpp"

#include <algorithm>
#include <map>

#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/blocks/mark_filter.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// Lists looked through already, so that versions which share most of their tree cost what differs.
// Two generations of them: about 10 MiB. A list that is forgotten is looked through again.
constexpr std::size_t kRememberedLists = 65'536;
// Rows condemned in one round: the block store keeps their names until its end, 30 MiB of them.
// The next round goes on.
constexpr std::size_t kMaxCondemned = 250'000;
// Rows of segments that are compacted in one round: 12 MiB.
constexpr std::uint64_t kMaxMoved = 250'000;
// Fewer small segments are not worth the copying.
constexpr std::size_t kMergeAtOnce = 4;
// Index rows looked at in one step.
constexpr std::size_t kRowsPerLook = 2'000;

// Lists seen lately. Forgets, and never claims one that was not seen.
class SeenLists {
 public:
  // False: it was seen.
  bool insert(const BlockName& name) {
    if (recent_.contains(name) || older_.contains(name))
      return false;
    if (recent_.size() >= kRememberedLists) {
      older_ = std::move(recent_);
      recent_.clear();
    }
    recent_.insert(name);
    return true;
  }

 private:
  std::unordered_set<BlockName> recent_;
  std::unordered_set<BlockName> older_;
};

// Segments without any row go first: they need no room elsewhere, which a full disk has not.
enum class Pass : std::uint8_t { Empty, Sparse, Done };

enum class Phase : std::uint8_t {
  Marking,
  Condemning,  // and deleting
  Choosing,
  Gathering,  // the rows of the chosen segments
  Moving,
  Settling,  // what was moved and deleted is made stable
  Checking,  // that no row names a chosen segment any more
  Removing,
};

struct Live {
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;
};

// A segment that is to go, as it was when it was chosen.
struct Chosen {
  std::uint64_t bytes = 0;
  std::uint64_t moved = 0;  // bytes
  bool named = false;       // a row was found that still names it
};

}  // namespace

struct Collector::State {
  // What one round knows.
  struct Round {
    explicit Round(std::uint64_t number) : marks(number * 0x9E3779B97F4A7C15U) {}

    Phase phase = Phase::Marking;
    MarkFilter marks;
    SeenLists seen;
    std::string cursor;  // of the host's roots
    std::vector<Root> roots;
    struct List {
      BlockName name;
      unsigned level = 0;
    };
    std::vector<List> lists;  // to look through

    BlockName after;             // where a look at the index goes on
    std::vector<IndexRow> dead;  // condemned, to be deleted
    std::size_t condemned = 0;
    std::map<std::uint32_t, Live> live;  // by segment

    Pass pass = Pass::Empty;
    std::map<std::uint32_t, Chosen> chosen;
    std::vector<IndexRow> rows;  // in them, to be moved
    std::size_t next_row = 0;
  };

  State(Segments& segments_, BlockStore& blocks_, CollectorHost& host_, CollectorOptions options_)
      : segments(segments_), blocks(blocks_), host(host_), options(options_) {}

  void begin();
  [[nodiscard]] Result<bool> step();
  [[nodiscard]] Status mark();
  void mark_block(const BlockName& name, unsigned level);
  [[nodiscard]] Status look_through(const Round::List& list);
  [[nodiscard]] Status condemn();
  [[nodiscard]] Status delete_dead();
  [[nodiscard]] std::vector<SegmentInfo> closed_segments();
  [[nodiscard]] bool choose();
  void choose_sparse(const std::vector<SegmentInfo>& closed);
  [[nodiscard]] Status gather();
  [[nodiscard]] Status move();
  struct Record {
    BlockKind kind = BlockKind::Data;
    Bytes bytes;
  };
  [[nodiscard]] std::optional<Record> read_record(const IndexRow& row);
  [[nodiscard]] Status move_page(std::vector<CollectorHost::Move> moves,
                                 std::span<const Record> records);
  [[nodiscard]] Status check();
  [[nodiscard]] Status remove();
  // The next page of the index; at its end, empty, and the following look begins anew.
  [[nodiscard]] Result<std::vector<IndexRow>> look_at_index();

  Segments& segments;
  BlockStore& blocks;
  CollectorHost& host;
  const CollectorOptions options;
  std::optional<Round> round;
  std::uint64_t begun = 0;
  CollectorCounters counters;
  Bytes scratch;
};

// --- marking ---

void Collector::State::begin() {
  round.emplace(++begun);
  // In this order: what is pinned from here on the block store protects itself.
  blocks.begin_round();
  for (const BlockName& name : blocks.pinned())
    round->marks.add(name);
}

void Collector::State::mark_block(const BlockName& name, unsigned level) {
  if (name.is_hole())
    return;
  round->marks.add(name);
  if (level > 0 && round->seen.insert(name))
    round->lists.push_back({name, level});
}

Status Collector::State::look_through(const Round::List& list) {
  auto names = blocks.read_list(list.name);
  if (!names) {
    common::Error why = std::move(names).error();
    if (why.code == ErrorCode::NotFound)
      why.code = ErrorCode::Corrupt;
    return tl::unexpected(why.in("a list of a retained file cannot be read"));
  }
  for (const BlockName& name : **names)
    mark_block(name, list.level - 1);
  return {};
}

Status Collector::State::mark() {
  const std::uint64_t most_lists = options.bytes_per_step / (kFanOut * sizeof(BlockName)) + 1;
  for (std::uint64_t done = 0; done < most_lists && !round->lists.empty(); ++done) {
    const Round::List list = round->lists.back();
    round->lists.pop_back();
    TROTH_TRY_VOID(look_through(list));
  }
  if (!round->lists.empty())
    return {};
  TROTH_TRY(const auto roots, host.next_roots(round->cursor));
  for (const Root& root : roots)
    mark_block(root.name, tree_height(root.tree_size));
  if (roots.empty()) {
    counters.marked = round->marks.added();
    round->phase = Phase::Condemning;
  }
  return {};
}

// --- condemning ---

Result<std::vector<IndexRow>> Collector::State::look_at_index() {
  TROTH_TRY(auto rows, host.index_after(round->after, kRowsPerLook));
  round->after = rows.empty() ? BlockName{} : rows.back().name;
  return rows;
}

Status Collector::State::delete_dead() {
  const std::size_t count = std::min(round->dead.size(), options.rows_per_step);
  const auto first = round->dead.end() - static_cast<std::ptrdiff_t>(count);
  TROTH_TRY_VOID(host.delete_rows({first, round->dead.end()}));
  round->dead.erase(first, round->dead.end());
  counters.deleted_rows += count;
  return {};
}

Status Collector::State::condemn() {
  if (!round->dead.empty())
    return delete_dead();
  TROTH_TRY(const auto rows, look_at_index());
  if (rows.empty()) {
    round->phase = Phase::Choosing;
    return {};
  }
  std::vector<BlockName> unmarked;
  for (const IndexRow& row : rows)
    if (!round->marks.may_contain(row.name) && round->condemned + unmarked.size() < kMaxCondemned)
      unmarked.push_back(row.name);
  const std::vector<BlockName> condemned = blocks.condemn(unmarked);
  round->condemned += condemned.size();
  const std::unordered_set<BlockName> gone(condemned.begin(), condemned.end());
  for (const IndexRow& row : rows) {
    if (gone.contains(row.name)) {
      round->dead.push_back(row);
      continue;
    }
    Live& live = round->live[row.placement.segment];
    live.bytes += record_size(row.placement.length, false);
    ++live.rows;
  }
  return {};
}

// --- compaction ---

// Those that need copying: the emptiest first, as many as fit.
void Collector::State::choose_sparse(const std::vector<SegmentInfo>& closed) {
  const auto is_small = [&](const SegmentInfo& info) { return info.bytes < options.small_segment; };
  const bool merge =
      std::ranges::count_if(closed, is_small) >= static_cast<std::ptrdiff_t>(kMergeAtOnce);
  std::vector<std::pair<std::uint64_t, SegmentInfo>> by_bytes;
  for (const SegmentInfo& info : closed) {
    const std::uint64_t live = round->live[info.number].bytes;
    const double part = static_cast<double>(live) / static_cast<double>(info.bytes);
    if (part < options.compact_below || (merge && is_small(info)))
      by_bytes.emplace_back(live, info);
  }
  std::ranges::sort(by_bytes, {}, [](const auto& one) { return one.first; });
  std::uint64_t rows = 0;
  for (const auto& [live, info] : by_bytes) {
    rows += round->live[info.number].rows;
    if (rows > kMaxMoved && !round->chosen.empty())
      break;
    round->chosen.emplace(info.number, Chosen{info.bytes, 0, false});
  }
}

// Closed segments that nobody writes to.
std::vector<SegmentInfo> Collector::State::closed_segments() {
  std::vector<SegmentInfo> closed = segments.list();
  // Only after the list: one that was closed then gets no records any more, and if it is not in use
  // after that it never will be.
  const std::vector<std::uint32_t> in_use = blocks.segments_in_use();
  if (!closed.empty())
    closed.pop_back();  // the newest keeps its number from being given again
  std::erase_if(closed, [&](const SegmentInfo& info) {
    return !info.closed || info.bytes == 0 ||
           std::ranges::find(in_use, info.number) != in_use.end();
  });
  return closed;
}

// True: something was chosen, and what is to be done with it comes next.
bool Collector::State::choose() {
  round->chosen.clear();
  round->rows.clear();
  round->next_row = 0;
  const std::vector<SegmentInfo> closed = closed_segments();
  if (round->pass == Pass::Empty) {
    round->pass = Pass::Sparse;
    for (const SegmentInfo& info : closed)
      if (!round->live.contains(info.number))
        round->chosen.emplace(info.number, Chosen{info.bytes, 0, false});
    round->phase = Phase::Settling;
  }
  if (round->pass == Pass::Sparse && round->chosen.empty()) {
    round->pass = Pass::Done;
    choose_sparse(closed);
    round->phase = Phase::Gathering;
  }
  return !round->chosen.empty();
}

Status Collector::State::gather() {
  TROTH_TRY(const auto rows, look_at_index());
  for (const IndexRow& row : rows)
    if (round->chosen.contains(row.placement.segment))
      round->rows.push_back(row);
  if (!rows.empty())
    return {};
  std::ranges::sort(round->rows, {}, [](const IndexRow& row) {
    return std::pair(row.placement.segment, row.placement.offset);
  });
  round->phase = Phase::Moving;
  return {};
}

// A verified record and its bytes, to be written elsewhere; nothing if it cannot be read.
std::optional<Collector::State::Record> Collector::State::read_record(const IndexRow& row) {
  scratch.resize(kBlockBytes);
  // The index does not say of which kind it is. One in 256 is a list.
  for (const BlockKind kind : {BlockKind::Data, BlockKind::List}) {
    const auto length = segments.read(row.name, kind, row.placement, scratch);
    if (length)
      return Record{kind,
                    Bytes(scratch.begin(), scratch.begin() + static_cast<std::ptrdiff_t>(*length))};
    if (length.error().code != ErrorCode::InvalidArgument)
      break;
  }
  ++counters.unreadable;
  return std::nullopt;
}

Status Collector::State::move_page(std::vector<CollectorHost::Move> moves,
                                   std::span<const Record> records) {
  std::vector<PreparedBlock> prepared;
  for (std::size_t i = 0; i < moves.size(); ++i) {
    TROTH_TRY(auto block, prepare_block(records[i].kind, records[i].bytes, options.compress));
    if (block.name != moves[i].name)
      return fail(ErrorCode::Internal, "a verified block has another name when it is moved");
    prepared.push_back(std::move(block));
  }
  TROTH_TRY(const auto places, segments.append(prepared, UseOfRoom::MakingRoom));
  TROTH_TRY_VOID(segments.sync());
  for (std::size_t i = 0; i < moves.size(); ++i) {
    moves[i].to = places[i];
    round->chosen[moves[i].from.segment].moved += record_size(places[i].length, false);
  }
  TROTH_TRY_VOID(host.move_rows(moves));
  counters.moved += moves.size();
  return {};
}

Status Collector::State::move() {
  std::vector<CollectorHost::Move> moves;
  std::vector<Record> records;
  std::uint64_t bytes = 0;
  while (round->next_row < round->rows.size() && bytes < options.bytes_per_step &&
         records.size() < options.rows_per_step) {
    const IndexRow& row = round->rows[round->next_row++];
    auto record = read_record(row);
    if (!record)
      continue;
    bytes += record->bytes.size();
    moves.push_back({row.name, row.placement, {}});
    records.push_back(*std::move(record));
  }
  if (!records.empty())
    TROTH_TRY_VOID(move_page(std::move(moves), records));
  if (round->next_row == round->rows.size())
    round->phase = Phase::Settling;
  return {};
}

Status Collector::State::check() {
  TROTH_TRY(const auto rows, look_at_index());
  for (const IndexRow& row : rows)
    if (const auto chosen = round->chosen.find(row.placement.segment);
        chosen != round->chosen.end())
      chosen->second.named = true;
  if (rows.empty())
    round->phase = Phase::Removing;
  return {};
}

Status Collector::State::remove() {
  for (const auto& [number, chosen] : round->chosen) {
    if (chosen.named)
      continue;
    TROTH_TRY_VOID(segments.remove(number));
    ++counters.removed_segments;
    counters.freed_bytes += chosen.bytes - std::min(chosen.bytes, chosen.moved);
  }
  round->phase = Phase::Choosing;
  return {};
}

// --- steps ---

Result<bool> Collector::State::step() {
  if (!round)
    begin();
  switch (round->phase) {
    case Phase::Marking:
      TROTH_TRY_VOID(mark());
      return true;
    case Phase::Condemning:
      TROTH_TRY_VOID(condemn());
      return true;
    case Phase::Choosing:
      if (choose())
        return true;
      ++counters.rounds;
      return false;
    case Phase::Gathering:
      TROTH_TRY_VOID(gather());
      return true;
    case Phase::Moving:
      TROTH_TRY_VOID(move());
      return true;
    case Phase::Settling:
      TROTH_TRY_VOID(host.make_stable());
      round->phase = Phase::Checking;
      return true;
    case Phase::Checking:
      TROTH_TRY_VOID(check());
      return true;
    case Phase::Removing:
      TROTH_TRY_VOID(remove());
      return true;
  }
  return false;
}

Collector::Collector(Segments& segments, BlockStore& blocks, CollectorHost& host,
                     CollectorOptions options)
    : state_(std::make_unique<State>(segments, blocks, host, options)) {}

Collector::~Collector() {
  abandon();
}

Result<bool> Collector::step() {
  auto more = state_->step();
  if (!more || !*more)
    abandon();
  return more;
}

void Collector::abandon() {
  if (!state_->round)
    return;
  state_->round.reset();
  state_->blocks.end_round();
}

bool Collector::in_round() const {
  return state_->round.has_value();
}

CollectorCounters Collector::counters() const {
  return state_->counters;
}

}  // namespace fileserver::store
