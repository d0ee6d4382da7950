#include "common/sim/example/lease_store.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/sim/trace.hpp"

namespace common::sim::example {

using Kind = LeaseMessage::Kind;

void LeaseStore::on(const Event& event, Instant, Effects& effects) {
  if (const auto* started = std::get_if<Started>(&event)) {
    for (const Record& record : started->log)
      apply(record);
    if (options_.bugs.has(LeaseBug::FloorNotStored))
      state_.floor = 0;
    if (options_.bugs.has(LeaseBug::OpsNotStored))
      last_ops_.clear();
    return;
  }
  const auto& received = std::get<Received>(event);
  if (received.message.kind == Kind::Fence)
    fence(received, effects);
  if (received.message.kind == Kind::Write)
    write(received, effects);
}

void LeaseStore::apply(const Record& record) {
  state_ = record;
  if (record.client != 0)
    last_ops_[record.client] = record.op;
}

LeaseOp LeaseStore::last_op(PeerId client) const {
  const auto found = last_ops_.find(client);
  return found == last_ops_.end() ? 0 : found->second;
}

// Reading under the lock. Raising the floor here, and not at the first write, is what makes it safe
// to look: whatever an earlier holder still has on its way will be refused.
void LeaseStore::fence(const Received& event, Effects& effects) {
  const Token token = event.message.token;
  if (token < state_.floor) {
    return effects.push_back(Send{event.from, {.kind = Kind::Stale, .token = token}});
  }
  if (token > state_.floor && !options_.bugs.has(LeaseBug::FloorNotRaised)) {
    Record record = state_;
    record.floor = token;
    record.client = 0;
    record.op = 0;
    apply(record);
    effects.push_back(Append{record});
  }
  effects.push_back(Send{event.from,
                         {.kind = Kind::Value,
                          .token = token,
                          .op = last_op(event.from),
                          .version = state_.version,
                          .value = state_.value}});
}

void LeaseStore::write(const Received& event, Effects& effects) {
  const LeaseMessage& m = event.message;
  if (last_op(event.from) == m.op) {  // a retry of what has been done
    return effects.push_back(
        Send{event.from, {.kind = Kind::Written, .op = m.op, .version = state_.version}});
  }
  if (is_older(m.op, last_op(event.from)))
    return;  // a copy that was long under way
  if (m.token < state_.floor && !options_.bugs.has(LeaseBug::StaleTokenAccepted)) {
    return effects.push_back(Send{event.from, {.kind = Kind::Stale, .token = m.token}});
  }
  const Record record{.floor = std::max(state_.floor, m.token),
                      .version = state_.version + 1,
                      .value = m.value,
                      .client = event.from,
                      .op = m.op};
  apply(record);
  effects.push_back(Applied{m, record.version});
  effects.push_back(Append{record, options_.bugs.has(LeaseBug::AckBeforeStable)});
  effects.push_back(
      Send{event.from, {.kind = Kind::Written, .op = m.op, .version = record.version}});
}

std::uint64_t checksum(std::span<const std::byte> bytes) {
  TraceHash hash;
  hash.add(bytes);
  return hash.value();
}

std::vector<std::byte> encode(const LeaseStore::Record& record) {
  const std::array<std::uint64_t, 5> fields = {record.floor, record.version, record.value,
                                               record.client, record.op};
  std::vector<std::byte> bytes(kRecordBytes);
  std::memcpy(bytes.data() + 8, fields.data(), sizeof(fields));
  const std::uint64_t sum = checksum(std::span(bytes).subspan(8));
  std::memcpy(bytes.data(), &sum, sizeof(sum));
  return bytes;
}

std::optional<LeaseStore::Record> decode_record(std::span<const std::byte> bytes, bool check) {
  if (bytes.size() < kRecordBytes)
    return std::nullopt;
  std::uint64_t sum = 0;
  std::array<std::uint64_t, 5> fields{};
  std::memcpy(&sum, bytes.data(), sizeof(sum));
  std::memcpy(fields.data(), bytes.data() + 8, sizeof(fields));
  if (check && sum != checksum(bytes.subspan(8, kRecordBytes - 8)))
    return std::nullopt;
  return LeaseStore::Record{.floor = fields[0],
                            .version = fields[1],
                            .value = fields[2],
                            .client = static_cast<PeerId>(fields[3]),
                            .op = fields[4]};
}

}  // namespace common::sim::example
