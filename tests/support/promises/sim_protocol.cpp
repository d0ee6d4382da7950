#include "tests/support/promises/sim_protocol.hpp"

#include <fmt/format.h>

#include "common/sim/trace.hpp"

namespace promise_sim {

std::uint64_t digest(const SimMessage& m) {
  common::sim::TraceHash hash;
  hash.add(static_cast<std::uint64_t>(m.kind) << 16 | static_cast<std::uint64_t>(m.answer) << 8 |
           static_cast<std::uint64_t>(m.op_kind));
  hash.add(std::uint64_t{m.node} << 32 | m.nodes);
  for (const std::uint64_t field : {m.life, m.call, m.session, m.op, m.number, m.clock,
                                    static_cast<std::uint64_t>(m.milliseconds)})
    hash.add(field);
  for (const Told& told : m.told) {
    if (!told.there)
      continue;
    hash.add(told.version);
    hash.add(told.value);
    hash.add(told.granted ? told.epoch : ~told.epoch);
  }
  return hash.value();
}

std::string describe(const SimMessage& m) {
  static constexpr std::array<std::string_view, 19> kNames = {
      "Open",     "Resume",    "Opened", "Fetch",   "Fetched",      "Change", "Changed",
      "Refused",  "Elsewhere", "Hello",  "Welcome", "HelloRefused", "Break",  "Acknowledge",
      "Flushing", "Update",    "Renew",  "Renewed", "Ended"};
  std::string text(kNames[static_cast<std::size_t>(m.kind)]);
  const auto add = [&](std::string_view name, std::uint64_t value) {
    if (value != 0)
      text += fmt::format(" {} {}", name, value);
  };
  if (m.kind == SimMessage::Kind::Fetch || m.kind == SimMessage::Kind::Change)
    text += fmt::format(" f{}", m.node);
  if (m.kind == SimMessage::Kind::Change && m.op_kind == OpKind::Replace)
    text += " replace";
  if (m.kind == SimMessage::Kind::Break)
    text += fmt::format(" nodes {:#x}", m.nodes);
  if (m.kind == SimMessage::Kind::Refused)
    text += m.answer == Answer::Later ? " later" : " stale";
  add("life", m.life);
  add("call", m.call);
  add("session", m.session);
  add("op", m.op);
  add("number", m.number);
  add("clock", m.clock);
  add("ms", static_cast<std::uint64_t>(m.milliseconds));
  for (const Told& told : m.told) {
    if (told.there)
      text += fmt::format(" f{}={}@{}.{}{}", told.node, told.value, told.epoch, told.version,
                          told.granted ? " granted" : "");
  }
  return text;
}

}  // namespace promise_sim
