#include "tests/support/history/register_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace history {

void RegisterCheck::begins_with(std::uint64_t object, std::uint64_t value) {
  registers_[object].writes[value] = {};
}

void RegisterCheck::take(const Record& record) {
  if (record.phase == Phase::Invoke)
    invoke(record);
  else
    returned(record, Fault::Stale);
}

void RegisterCheck::take_last(const Record& record) {
  returned(record, Fault::Lost);
}

void RegisterCheck::client_gone(std::uint64_t client) {
  in_flight_.erase(in_flight_.lower_bound({client, 0}), in_flight_.lower_bound({client + 1, 0}));
}

void RegisterCheck::invoke(const Record& record) {
  Register& state = registers_[record.object];
  state.writes.try_emplace(0);  // empty, before the first write
  in_flight_[{record.client, record.op}] = {state.newest};
  if (record.kind == Kind::Write && !state.writes.try_emplace(record.value).second)
    verdicts_.add(Fault::Disordered,
                  fmt::format("{}: value {} is not its own", describe(record), record.value));
}

void RegisterCheck::returned(const Record& record, Fault if_old) {
  Register& state = registers_[record.object];
  state.writes.try_emplace(0);  // of what nobody asked for until now
  std::uint64_t floor = state.newest;
  if (const auto found = in_flight_.extract({record.client, record.op}); !found.empty())
    floor = found.mapped().floor;
  if (record.outcome == Outcome::Refused && record.kind == Kind::Write) {
    Written& written = state.writes[record.value];
    written.refused = true;
    if (written.version != 0)
      verdicts_.add(Fault::Invented, fmt::format("{} was refused, and is version {} of {}",
                                                 describe(record), written.version, record.object));
  }
  if (record.outcome != Outcome::Done)
    return;
  if (record.version < floor)
    return verdicts_.add(
        if_old, fmt::format("{} of {}: version {}, and {} had been answered before it began",
                            describe(record), record.object, record.version, floor));
  if (record.kind == Kind::Write && record.version == floor && floor != 0)
    verdicts_.add(Fault::Disordered,
                  fmt::format("{} of {} made version {}, which was there before it began",
                              describe(record), record.object, floor));
  settle(state, record);
  state.newest = std::max(state.newest, record.version);
  prune(state);
}

// That version is this value, and that value this version.
void RegisterCheck::settle(Register& state, const Record& record) {
  const auto written = state.writes.find(record.value);
  if (written == state.writes.end())
    return verdicts_.add(Fault::Invented,
                         fmt::format("{} of {}: value {} was written by nobody", describe(record),
                                     record.object, record.value));
  if (written->second.refused)
    return verdicts_.add(Fault::Invented,
                         fmt::format("{} of {}: value {} was refused", describe(record),
                                     record.object, record.value));
  const auto [there, is_new] = state.values.try_emplace(record.version, record.value);
  if (!is_new && there->second != record.value)
    return verdicts_.add(Fault::Torn,
                         fmt::format("{} of {}: version {} is {}, and was {}", describe(record),
                                     record.object, record.version, record.value, there->second));
  std::uint64_t& version = written->second.version;
  if (version != 0 && version != record.version)
    return verdicts_.add(
        Fault::Duplicated,
        fmt::format("{} of {}: value {} is version {}, and was {}", describe(record), record.object,
                    record.value, record.version, version));
  version = record.version;
}

void RegisterCheck::prune(Register& state) {
  while (state.values.size() > kVersions) {
    state.writes.erase(state.values.begin()->second);
    state.values.erase(state.values.begin());
  }
}

}  // namespace history
