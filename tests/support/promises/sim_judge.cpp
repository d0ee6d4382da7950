#include "tests/support/promises/sim_judge.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace promise_sim {

void Judge::begin(Observer observer, std::uint32_t mounts, WouldAnswer would_answer) {
  observer_.emplace(observer);
  mounts_ = mounts;
  would_answer_ = std::move(would_answer);
}

// G7, and the truth for everything below. A register's version is its count of writes.
void Judge::committed(std::uint64_t op, const std::array<Told, 2>& written) {
  if (!ops_.insert(op).second)
    return violate(fmt::format("G7: operation {} took effect twice", op));
  for (const Told& told : written) {
    if (!told.there)
      continue;
    auto& versions = registers_[told.node].versions;
    versions.push_back(op);
    if (told.version != versions.size())
      return violate(fmt::format("f{} went from version {} to {}", told.node, versions.size() - 1,
                                 told.version));
    newest_[told.node] = told.version;
    for (NodeIndex mount = kFirstMount; mount < kFirstMount + mounts_; ++mount)
      trusts(mount, 1U << told.node);
  }
}

void Judge::trusts(NodeIndex mount, std::uint32_t nodes) {
  if (const auto old = would_answer_(mount, nodes, newest_)) {
    violate(fmt::format("G1: n{} would answer f{} with version {}, and version {} is committed",
                        mount, old->node, old->version, newest_[old->node]));
  }
}

std::uint64_t Judge::floor(std::uint32_t node, TrueTime began) const {
  const auto& completed = registers_[node].completed;
  const auto after = std::partition_point(completed.begin(), completed.end(),
                                          [&](const Completed& c) { return c.at < began; });
  return after == completed.begin() ? 0 : std::prev(after)->version;
}

void Judge::complete(std::uint32_t node, std::uint64_t version) {
  auto& completed = registers_[node].completed;
  if (completed.empty() || completed.back().version < version)
    completed.push_back({now(), version});
}

// G1 as users see it: a register that can be put into one order of its versions.
void Judge::read_done(NodeIndex mount, const Told& read, TrueTime began) {
  const auto& versions = registers_[read.node].versions;
  const std::uint64_t least = floor(read.node, began);
  if (read.version < least)
    return violate(fmt::format(
        "G1: n{} opened f{} and saw version {}; version {} had been seen before it began", mount,
        read.node, read.version, least));
  if (read.version > versions.size() ||
      (read.version > 0 ? versions[read.version - 1] : 0) != read.value)
    return violate(fmt::format("n{} read {} of f{}, which is not its version {}", mount, read.value,
                               read.node, read.version));
  complete(read.node, read.version);
}

void Judge::change_done(NodeIndex mount, std::uint64_t op, const std::array<Told, 2>& written,
                        TrueTime began) {
  if (!ops_.contains(op))
    return violate(fmt::format("n{} was told that operation {} is done, and it is not", mount, op));
  for (const Told& told : written) {
    if (!told.there)
      continue;
    if (told.version <= floor(told.node, began))
      return violate(fmt::format("n{} changed f{} to version {} after {} had been seen", mount,
                                 told.node, told.version, floor(told.node, began)));
    complete(told.node, told.version);
  }
}

}  // namespace promise_sim
