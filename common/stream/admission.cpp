#include "common/stream/admission.hpp"

#include <string_view>

namespace common::stream {

std::size_t AddressKeyHash::operator()(const AddressKey& key) const noexcept {
  // An attacker chooses addresses only within what he can connect from, and the table never holds
  // more entries than there are connections.
  return std::hash<std::string_view>{}(
      std::string_view(reinterpret_cast<const char*>(key.data()), key.size()));
}

bool Admission::must_wait(Instant now) const {
  return handshakes_.size() >= options_.handshakes && !evict(now);
}

Instant Admission::patience_ends() const {
  if (handshakes_.size() < options_.handshakes || handshakes_.empty())
    return Instant::max();
  return handshakes_.front().since + options_.patience;
}

std::optional<std::uint64_t> Admission::evict(Instant now) const {
  if (handshakes_.size() < options_.handshakes || handshakes_.empty())
    return std::nullopt;
  if (now < handshakes_.front().since + options_.patience)
    return std::nullopt;
  return handshakes_.front().id;
}

Verdict Admission::judge(const AddressKey& address, Instant now) const {
  if (connections_.size() >= options_.streams)
    return Verdict::RefuseFull;
  const auto found = addresses_.find(address);
  if (found != addresses_.end() && (found->second.connections >= options_.streams_per_address ||
                                    found->second.handshakes >= options_.handshakes_per_address)) {
    return Verdict::RefuseAddress;
  }
  return must_wait(now) ? Verdict::Wait : Verdict::Admit;
}

void Admission::handshake_begins(std::uint64_t id, const AddressKey& address, Instant now) {
  // Counted last, when nothing can run out of memory any more; an address without connections may
  // stay behind then, which its next connection takes away.
  auto& counts = addresses_[address];
  const auto handshake = handshakes_.insert(handshakes_.end(), {id, now});
  try {
    connections_.emplace(id, Connection{address, handshake});
  } catch (...) {
    handshakes_.erase(handshake);
    throw;
  }
  ++counts.connections;
  ++counts.handshakes;
}

void Admission::handshake_ended(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || !found->second.handshake)
    return;
  handshakes_.erase(*found->second.handshake);
  found->second.handshake.reset();
  --addresses_[found->second.address].handshakes;
}

void Admission::left(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end())
    return;
  handshake_ended(id);
  const auto counts = addresses_.find(found->second.address);
  if (--counts->second.connections == 0)
    addresses_.erase(counts);
  connections_.erase(found);
}

}  // namespace common::stream
