#include "common/fileclient/promise_book.hpp"

#include <algorithm>

namespace common::fileclient {
namespace {

// A mount renews so often in each lease: two renewals may be lost.
constexpr int kRenewalsPerLease = 3;
// Renewals whose answers are awaited; a stream that holds more is dead.
constexpr std::size_t kMaxRenewals = 16;

}  // namespace

std::vector<std::string> book_bug_names() {
  std::vector<std::string> names = {
      "lease-from-reply",     "lease-not-checked",       "overtaken-reply-kept",
      "goes-backwards",       "ack-before-withdrawn",    "ack-out-of-order",
      "replay-acknowledged",  "reopen-before-withdrawn", "old-life-grants-taken",
      "own-change-kept",      "seen-too-high",           "update-without-version",
      "everything-forgotten", "invalidation-waits"};
  static_assert(static_cast<std::size_t>(BookBug::InvalidationWaits) + 1 == kBookBugs);
  return names;
}

// --- nodes ---

const PromiseBook::Entry* PromiseBook::find(Fid node) const {
  const auto found = index_.find(node);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

// What it says of an earlier life or trust says nothing now.
void PromiseBook::refresh(Entry& entry) const {
  if (entry.trust != trust_)
    entry.grant = 0;
  if (entry.life != life_)
    entry.voided = 0;
  entry.trust = trust_;
  entry.life = life_;
}

// Should it come back, it is not told from those that were forgotten with it: what was void of any
// of them is void of all.
void PromiseBook::forget(const Entry& entry) {
  index_.erase(entry.node);
  forgotten_ = order_;
  if (entry.life == life_)
    forgotten_voided_ = std::max(forgotten_voided_, entry.voided);
}

PromiseBook::Entry& PromiseBook::entry_of(Fid node) {
  const auto found = index_.find(node);
  if (found != index_.end()) {
    refresh(entries_[found->second]);
    return entries_[found->second];
  }
  std::uint32_t place = 0;
  const bool early = !entries_.empty() && sim::buggify(options_.buggify, "book-forget-node");
  if (entries_.size() < options_.nodes && !early) {
    place = static_cast<std::uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    hand_ = (hand_ + 1) % entries_.size();
    place = static_cast<std::uint32_t>(hand_);
    forget(entries_[place]);
  }
  entries_[place] = Entry{
      .node = node, .version = {}, .voided = forgotten_voided_, .trust = trust_, .life = life_};
  index_.emplace(node, place);
  return entries_[place];
}

void PromiseBook::void_grants(Fid node, std::uint64_t clock) {
  Entry& entry = entry_of(node);
  entry.voided = std::max(entry.voided, clock);
  if (entry.grant <= clock)
    entry.grant = 0;
}

bool PromiseBook::promised(Fid node, Instant now) const {
  const bool trusted = now < lease_end_ || options_.bugs.has(BookBug::LeaseNotChecked);
  if (!trusted)
    return false;
  const Entry* entry = find(node);
  return entry != nullptr && entry->has_version && entry->grant != 0 && entry->trust == trust_;
}

std::optional<NodeVersion> PromiseBook::known(Fid node) const {
  const Entry* entry = find(node);
  if (entry == nullptr || !entry->has_version)
    return std::nullopt;
  return entry->version;
}

std::vector<std::pair<Fid, NodeVersion>> PromiseBook::to_revalidate(std::size_t limit) const {
  std::vector<std::pair<Fid, NodeVersion>> result;
  for (const Entry& entry : entries_) {
    if (result.size() == limit)
      break;
    if (entry.has_version && (entry.grant == 0 || entry.trust != trust_))
      result.emplace_back(entry.node, entry.version);
  }
  return result;
}

// --- calls ---

PromiseBook::Taken PromiseBook::take(const CallInFlight& call, std::uint64_t clock, Fid node,
                                     NodeVersion version, bool granted) {
  const bool this_life = call.life == life_ || options_.bugs.has(BookBug::OldLifeGrantsTaken);
  const Entry* known = find(node);
  if ((known == nullptr || !known->has_version) && call.order <= forgotten_)
    return Taken::Older;
  Entry& entry = entry_of(node);
  if (entry.has_version && version < entry.version && !options_.bugs.has(BookBug::GoesBackwards))
    return Taken::Older;
  if (entry.has_version && version > entry.version)
    entry.grant = 0;  // that was of what is no more
  entry.version = version;
  entry.has_version = true;
  if (this_life)
    seen_ = std::max(seen_, clock);
  const bool overtaken =
      clock <= std::max(entry.voided, voided_) && !options_.bugs.has(BookBug::OvertakenReplyKept);
  if (!granted || clock == 0 || !this_life || overtaken || state_ != State::Open)
    return Taken::Known;
  entry.grant = std::max(entry.grant, clock);
  return Taken::Promised;
}

PromiseBook::Taken PromiseBook::take_update(std::uint64_t clock, Fid node, NodeVersion version,
                                            bool granted) {
  if (options_.bugs.has(BookBug::UpdateWithoutVersion)) {
    if (Entry& entry = entry_of(node); granted && entry.has_version) {
      entry.grant = clock;
      return Taken::Promised;
    }
  }
  return take(begin_call(), clock, node, version, granted);
}

std::uint64_t PromiseBook::begin_change(std::span<const Fid> nodes) {
  for (const Fid node : nodes) {
    if (!options_.bugs.has(BookBug::OwnChangeKept))
      void_grants(node, seen_);
  }
  return options_.bugs.has(BookBug::SeenTooHigh) ? ~std::uint64_t{0} : seen_;
}

void PromiseBook::change_answered(const CallInFlight& call, std::uint64_t clock,
                                  std::span<const Fid> nodes) {
  if (call.life != life_ || clock == 0)
    return;
  for (const Fid node : nodes)
    void_grants(node, clock - 1);
}

// --- session ---

void PromiseBook::opened() {
  state_ = State::Open;
  ++life_;
  ++trust_;
  seen_ = 0;
  voided_ = 0;
  forgotten_voided_ = 0;
  last_break_ = 0;
  pending_.clear();
  lease_end_ = {};
  lapsed_ = true;  // not begun: there is nothing to withdraw
}

void PromiseBook::drop_everything(BookEffects& effects) {
  ++trust_;
  effects.emplace_back(WithdrawAll{++last_withdrawal_});
}

void PromiseBook::session_lost(Instant, BookEffects& effects) {
  stream_down();
  if (state_ == State::Withdrawing || state_ == State::Clean)
    return;
  pending_.clear();
  last_break_ = 0;
  if (options_.bugs.has(BookBug::ReopenBeforeWithdrawn)) {
    state_ = State::Clean;
    effects.emplace_back(MayOpen{});
    return;
  }
  state_ = State::Withdrawing;
  ++life_;  // what was sent before, and is sent until the next is open, grants nothing
  lease_end_ = {};
  drop_everything(effects);
  withdrawing_all_ = last_withdrawal_;
}

// --- stream ---

void PromiseBook::hello_sent(Instant now) {
  hello_at_ = now;
}

void PromiseBook::on_welcome(std::chrono::milliseconds lease, Instant now, BookEffects& effects) {
  if (state_ != State::Open)
    return;
  stream_ = true;
  renewals_.clear();
  lease_ = lease;
  extend_lease(hello_at_, now);
  next_renewal_ = hello_at_ + lease_ / kRenewalsPerLease;
  acknowledge(effects);
}

void PromiseBook::extend_lease(Instant from, Instant now) {
  if (options_.bugs.has(BookBug::LeaseFromReply))
    from = now;
  lease_end_ = std::max(lease_end_, from + lease_);
  if (now < lease_end_)
    lapsed_ = false;
}

void PromiseBook::stream_down() {
  stream_ = false;
  renewals_.clear();
}

void PromiseBook::renew(Instant now, BookEffects& effects) {
  next_renewal_ = now + lease_ / kRenewalsPerLease;
  if (renewals_.size() == kMaxRenewals)
    renewals_.pop_front();
  renewals_.push_back({++renewal_, now});
  effects.emplace_back(SendRenewal{renewal_});
}

void PromiseBook::on_renewed(std::uint64_t number, Instant now) {
  while (!renewals_.empty() && renewals_.front().number < number)
    renewals_.pop_front();
  if (renewals_.empty() || renewals_.front().number != number)
    return;
  const Instant from = renewals_.front().at;
  renewals_.pop_front();
  extend_lease(from, now);
}

void PromiseBook::on_break(std::uint64_t number, std::uint64_t clock,
                           std::span<const BrokenNode> nodes, BookEffects& effects) {
  if (state_ != State::Open)
    return;
  if (number <= last_break_)
    return acknowledge_again(number, effects);
  last_break_ = number;
  seen_ = std::max(seen_, clock);
  const bool everything = nodes.empty() && !options_.bugs.has(BookBug::EverythingForgotten);
  if (everything) {
    ++trust_;
    voided_ = std::max(voided_, clock);
  }
  for (const BrokenNode& broken : nodes)
    void_grants(broken.node, clock);
  pending_.push_back({.number = number, .id = ++last_withdrawal_});
  if (options_.bugs.has(BookBug::AckBeforeWithdrawn))
    effects.emplace_back(SendAcknowledge{number});
  if (everything) {
    effects.emplace_back(WithdrawAll{last_withdrawal_});
  } else {
    effects.emplace_back(Withdraw{last_withdrawal_, {nodes.begin(), nodes.end()}});
  }
}

// It has come again, on another stream.
void PromiseBook::acknowledge_again(std::uint64_t number, BookEffects& effects) {
  const auto found = std::find_if(pending_.begin(), pending_.end(),
                                  [&](const Pending& p) { return p.number == number; });
  if (found == pending_.end() || options_.bugs.has(BookBug::ReplayAcknowledged)) {
    effects.emplace_back(SendAcknowledge{number});
  } else if (found->stage == Pending::Stage::Flushing) {
    effects.emplace_back(SendFlushing{number, found->more});
  }
}

PromiseBook::Pending* PromiseBook::find_pending(Withdrawal id) {
  const auto found =
      std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) { return p.id == id; });
  return found == pending_.end() ? nullptr : &*found;  // null: of a session that is over
}

void PromiseBook::withdrawn(Withdrawal id, BookEffects& effects) {
  if (id == withdrawing_all_) {
    withdrawing_all_ = 0;
    state_ = State::Clean;
    effects.emplace_back(MayOpen{});
    return;
  }
  Pending* pending = find_pending(id);
  if (pending == nullptr)
    return;
  pending->stage = Pending::Stage::Done;
  if (options_.bugs.has(BookBug::AckOutOfOrder) && stream_)
    effects.emplace_back(SendAcknowledge{pending->number});
  acknowledge(effects);
}

void PromiseBook::withdrawn_flushing(Withdrawal id, std::chrono::milliseconds more,
                                     BookEffects& effects) {
  Pending* pending = find_pending(id);
  if (pending == nullptr)
    return withdrawn(id, effects);
  pending->stage = Pending::Stage::Flushing;
  pending->more = more;
  if (stream_)
    effects.emplace_back(SendFlushing{pending->number, more});
  acknowledge(effects);
}

void PromiseBook::flushed(Withdrawal id, BookEffects& effects) {
  if (find_pending(id) != nullptr)
    withdrawn(id, effects);
}

// An acknowledgement covers all before it but those that flush. So it may name what is done only up
// to the first that is still being withdrawn. What is done while there is no stream comes again.
void PromiseBook::acknowledge(BookEffects& effects) {
  if (!stream_)
    return;
  using Stage = Pending::Stage;
  const auto stop = std::find_if(pending_.begin(), pending_.end(),
                                 [](const Pending& p) { return p.stage == Stage::Withdrawing; });
  // One that has flushed needs a word of its own; the newest speaks for the rest.
  std::uint64_t newest = 0;
  for (auto it = pending_.begin(); it != stop; ++it) {
    if (it->stage != Stage::Done)
      continue;
    if (it->more.count() > 0)
      effects.emplace_back(SendAcknowledge{it->number});
    else
      newest = it->number;
  }
  if (newest != 0)
    effects.emplace_back(SendAcknowledge{newest});
  pending_.erase(std::remove_if(pending_.begin(), stop,
                                [](const Pending& p) { return p.stage == Stage::Done; }),
                 stop);
}

// --- time ---

void PromiseBook::on_time(Instant now, BookEffects& effects) {
  if (state_ != State::Open)
    return;
  if (now >= lease_end_ && !lapsed_) {
    lapsed_ = true;
    drop_everything(effects);
  }
  if (!stream_)
    return;
  if (now >= next_renewal_ && sim::buggify(options_.buggify, "book-renew-late")) {
    next_renewal_ = now + lease_ / kRenewalsPerLease;
  } else if (now >= next_renewal_ || sim::buggify(options_.buggify, "book-renew-early")) {
    renew(now, effects);
  }
}

Instant PromiseBook::next_deadline() const {
  Instant next = Instant::max();
  if (state_ != State::Open)
    return next;
  if (!lapsed_)
    next = lease_end_;
  return stream_ ? std::min(next, next_renewal_) : next;
}

}  // namespace common::fileclient
