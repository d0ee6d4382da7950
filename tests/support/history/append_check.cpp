#include "tests/support/history/append_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "tests/support/history/content.hpp"

namespace history {

void AppendCheck::take(const Record& record) {
  Log& log = logs_[record.object];
  if (record.phase == Phase::Return)
    return returned(log, record);
  in_flight_[{record.client, record.op}] = {log.newest, log.least};
  if (record.kind == Kind::Append) {
    const Token token{.state = State::Open, .length = static_cast<std::uint32_t>(record.length)};
    if (!log.tokens.try_emplace(record.value, token).second)
      verdicts_.add(Fault::Disordered,
                    fmt::format("{}: its record is another's", describe(record)));
  }
}

void AppendCheck::client_gone(std::uint64_t client) {
  in_flight_.erase(in_flight_.lower_bound({client, 0}), in_flight_.lower_bound({client + 1, 0}));
}

void AppendCheck::returned(Log& log, const Record& record) {
  InFlight began{log.newest, log.least};
  if (const auto found = in_flight_.extract({record.client, record.op}); !found.empty())
    began = found.mapped();
  if (record.outcome == Outcome::Refused && record.kind == Kind::Append)
    log.tokens[record.value].state = State::Refused;
  if (record.outcome != Outcome::Done)
    return;
  if (record.kind == Kind::Append) {
    if (record.version <= began.floor && began.floor != 0)
      verdicts_.add(Fault::Disordered,
                    fmt::format("{} to {} made version {}, and {} was there before it began",
                                describe(record), record.object, record.version, began.floor));
    appended(log, record);
  } else {
    if (record.version < began.floor || record.length < began.least)
      verdicts_.add(Fault::Stale,
                    fmt::format("{} of {}: version {} with {} bytes, and {} with {} had been "
                                "answered before it began",
                                describe(record), record.object, record.version, record.length,
                                began.floor, began.least));
    was_read(log, record);
  }
  log.newest = std::max(log.newest, record.version);
}

void AppendCheck::appended(Log& log, const Record& record) {
  Token& token = log.tokens[record.value];
  token.state = State::Acknowledged;
  token.offset = record.offset;
  token.length = static_cast<std::uint32_t>(record.length);
  log.least = std::max(log.least, record.offset + record.length);
}

void AppendCheck::was_read(Log& log, const Record& record) {
  const auto [there, is_new] =
      log.seen.try_emplace(record.length, Seen{record.digest, describe(record)});
  if (!is_new && there->second.digest != record.digest)
    verdicts_.add(Fault::Torn,
                  fmt::format("{} and {} read {} bytes of {} that differ", describe(record),
                              there->second.who, record.length, record.object));
  log.least = std::max(log.least, record.length);
}

void AppendCheck::compare_prefixes(const Log& log, std::string_view content, std::uint64_t object) {
  std::uint64_t digest = kEmptyDigest;
  std::size_t at = 0;
  for (const auto& [length, seen] : log.seen) {
    if (length > content.size())
      return verdicts_.add(Fault::Lost, fmt::format("{} read {} bytes of {}, which has {}",
                                                    seen.who, length, object, content.size()));
    digest = digest_of(content.substr(at, length - at), digest);
    at = length;
    if (digest != seen.digest)
      verdicts_.add(Fault::Torn, fmt::format("{} read {} bytes of {} that are not its beginning",
                                             seen.who, length, object));
  }
}

void AppendCheck::take_content(std::uint64_t object, std::string_view content) {
  const Log& log = logs_[object];
  std::unordered_set<std::uint64_t> there;
  std::size_t at = 0;
  while (at < content.size()) {
    const auto record = parse_record(content.substr(at));
    if (!record) {
      verdicts_.add(Fault::Torn, fmt::format("log {} is torn at {}", object, at));
      break;
    }
    const auto token = log.tokens.find(record->value);
    const bool ours = token != log.tokens.end() && token->second.state != State::Refused;
    if (!there.insert(record->value).second)
      verdicts_.add(Fault::Duplicated,
                    fmt::format("record {} of log {} is there twice, again at {}", record->value,
                                object, at));
    else if (!ours)
      verdicts_.add(Fault::Invented,
                    fmt::format("record {} of log {} at {} is nobody's or was refused",
                                record->value, object, at));
    else if (token->second.state == State::Acknowledged && token->second.offset != at)
      verdicts_.add(Fault::Disordered,
                    fmt::format("record {} of log {} is at {}, not at {}", record->value, object,
                                at, token->second.offset));
    at += record->length;
  }
  for (const auto& [value, token] : log.tokens) {
    if (token.state == State::Acknowledged && !there.contains(value))
      verdicts_.add(Fault::Lost, fmt::format("record {} of log {} was acknowledged at {}", value,
                                             object, token.offset));
  }
  compare_prefixes(log, content, object);
}

std::vector<std::uint64_t> AppendCheck::objects() const {
  std::vector<std::uint64_t> all;
  for (const auto& [object, log] : logs_)
    all.push_back(object);
  return all;
}

}  // namespace history
