#include "tests/support/history/names_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace history {

namespace {

std::uint64_t digest_of_name(std::uint64_t directory, const std::string& name) {
  return digest_of(name, kEmptyDigest ^ (directory * 0x9E3779B97F4A7C15ULL));
}

}  // namespace

void NamesCheck::take(const Record& record) {
  if (record.phase == Phase::Invoke)
    invoke(record);
  else
    returned(record);
}

void NamesCheck::client_gone(std::uint64_t client) {
  in_flight_.erase(in_flight_.lower_bound({client, 0}), in_flight_.lower_bound({client + 1, 0}));
}

void NamesCheck::invoke(const Record& record) {
  in_flight_[{record.client, record.op}] = {record.at};
  switch (record.kind) {
    case Kind::Create:
      return begin_step(record, record.name, kAnyNode);
    case Kind::Remove:
      return begin_step(record, record.name, 0);
    case Kind::Rename:
      begin_step(record, record.name, 0);
      return begin_step(record, record.to, record.node);
    default:
      return;
  }
}

void NamesCheck::returned(const Record& record) {
  std::int64_t began = record.at;
  if (const auto found = in_flight_.extract({record.client, record.op}); !found.empty())
    began = found.mapped().began;
  switch (record.kind) {
    case Kind::Rename:
      end_step(record, record.to);
      [[fallthrough]];
    case Kind::Create:
    case Kind::Remove:
      end_step(record, record.name);
      break;
    case Kind::Look:
      if (record.outcome == Outcome::Done)
        seen(record, {record.object, record.name}, record.node, began, Fault::Stale);
      break;
    case Kind::List:
      if (record.outcome == Outcome::Done)
        seen_all(record, began, Fault::Stale);
      break;
    default:
      break;
  }
  prune(record.at);
}

void NamesCheck::begin_step(const Record& record, const std::string& name, std::uint64_t node) {
  names_[{record.object, name}].steps.push_back(
      {.client = record.client, .op = record.op, .node = node, .began = record.at});
}

void NamesCheck::end_step(const Record& record, const std::string& name) {
  if (record.outcome == Outcome::Unknown)
    return;
  auto& steps = names_[{record.object, name}].steps;
  const auto step = std::find_if(steps.begin(), steps.end(), [&](const Step& s) {
    return s.client == record.client && s.op == record.op;
  });
  if (step == steps.end())
    return;
  if (record.outcome == Outcome::Done) {
    if (step->ended == 0)
      step->ended = record.at;
    if (step->node == kAnyNode)
      step->node = record.node;
    return;
  }
  if (step->only_explanation)
    verdicts_.add(Fault::Invented, fmt::format("{} was refused, and its effect on {} has been seen",
                                               describe(record), name));
  steps.erase(step);
}

void NamesCheck::seen(const Record& record, const NameKey& key, std::uint64_t node,
                      std::int64_t began, Fault if_missing) {
  const auto found = names_.find(key);
  if (found == names_.end()) {
    if (node == 0)
      return;
    const bool back = retired_.contains(digest_of_name(key.first, key.second));
    return verdicts_.add(back ? Fault::Stale : Fault::Invented,
                         fmt::format("{} saw {} in {}, which {}", describe(record), key.second,
                                     key.first, back ? "was removed long ago" : "nobody has made"));
  }
  auto& steps = found->second.steps;
  // The last that had ended when the look began, or anything that began afterwards or had not
  // ended.
  std::size_t first = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].ended != 0 && steps[i].ended < began)
      first = i + 1;
  }
  const std::uint64_t before = first == 0 ? 0 : steps[first - 1].node;
  const auto fits = [&](std::uint64_t was) {
    return was == node || (was == kAnyNode && node != 0);
  };
  std::size_t explanations = fits(before) ? 1 : 0;
  Step* last = nullptr;
  for (std::size_t i = first; i < steps.size(); ++i) {
    if (!fits(steps[i].node))
      continue;
    ++explanations;
    last = &steps[i];
  }
  if (explanations == 1 && last != nullptr) {
    last->only_explanation = true;
    if (last->ended == 0)
      last->ended = record.at;  // it has been done, whatever its client will be told
    if (last->node == kAnyNode)
      last->node = node;  // now it is known what was made
  }
  if (explanations == 0)
    verdicts_.add(node == 0 ? if_missing : Fault::Stale,
                  fmt::format("{} saw {} of {} as node {}, and it was {}", describe(record),
                              key.second, key.first, node,
                              before == kAnyNode ? "some node" : fmt::format("node {}", before)));
}

void NamesCheck::seen_all(const Record& record, std::int64_t began, Fault if_missing) {
  std::map<std::string_view, std::uint64_t> listed;
  std::unordered_set<std::uint64_t> nodes;
  for (const Entry& entry : record.entries) {
    if (!listed.emplace(entry.name, entry.node).second || !nodes.insert(entry.node).second)
      verdicts_.add(Fault::Duplicated,
                    fmt::format("{} of {}: {} (node {}) is listed twice", describe(record),
                                record.object, entry.name, entry.node));
    seen(record, {record.object, entry.name}, entry.node, began, if_missing);
  }
  const auto end = names_.lower_bound({record.object + 1, ""});
  for (auto it = names_.lower_bound({record.object, ""}); it != end; ++it) {
    if (!listed.contains(it->first.second))
      seen(record, it->first, 0, began, if_missing);
  }
}

void NamesCheck::take_last(std::uint64_t directory, const std::vector<Entry>& entries) {
  Record record;
  record.phase = Phase::Return;
  record.kind = Kind::List;
  record.object = directory;
  record.at = INT64_MAX;
  record.entries = entries;
  seen_all(record, INT64_MAX, Fault::Lost);
}

void NamesCheck::prune(std::int64_t now) {
  if (now < next_prune_)
    return;
  next_prune_ = now + kRememberedNs / 8;
  for (auto it = names_.begin(); it != names_.end();) {
    const auto& steps = it->second.steps;
    const bool gone = steps.empty() || (steps.back().node == 0 && steps.back().ended != 0 &&
                                        steps.back().ended + kRememberedNs < now);
    if (!gone) {
      ++it;
      continue;
    }
    if (!steps.empty())
      retired_.insert(digest_of_name(it->first.first, it->first.second));
    it = names_.erase(it);
  }
}

}  // namespace history
