#include "cli/status_report.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "cli/output.hpp"
#include "common/crypto/certificates.hpp"

namespace cli {
namespace {

// A certificate that ends sooner is coloured and named: one week leaves time to act.
constexpr std::int64_t kSoonDays = 7;
// As long as Linux has them.
constexpr std::size_t kMaxPath = 4096;

std::string state_of(const PartStatus& part) {
  if (!part.up)
    return coloured("down ", Colour::Bad);
  return part.ready ? coloured("up   ", Colour::Good) : coloured("wait ", Colour::Warning);
}

std::string certificate_text(const PartStatus& part, common::WallTime now) {
  if (!part.certificate_not_after)
    return {};
  const std::int64_t days = common::crypto::days_left(*part.certificate_not_after, now);
  const std::string text = fmt::format(", certificate {} days", days);
  return days < kSoonDays ? coloured(text + " (renew it)", Colour::Warning) : text;
}

std::string line_of(const PartStatus& part, common::WallTime now) {
  std::string line =
      fmt::format("{}  {:<10}  {}", state_of(part), said(part.kind), said(part.name, kMaxPath));
  if (!part.where.empty() && part.where != part.name)
    line += "  " + said(part.where, kMaxPath);
  if (part.up) {
    line += "  " + said(part.version);
    if (part.uptime_s)
      line += ", up " + duration_text(*part.uptime_s);
    line += certificate_text(part, now);
  }
  if (!part.message.empty())
    line += (part.up ? "\n         " : "\n         why: ") + said(part.message, kMaxReason);
  return line + "\n";
}

}  // namespace

bool StatusReport::all_well() const {
  return std::all_of(parts.begin(), parts.end(),
                     [](const PartStatus& part) { return part.up && part.ready; });
}

std::string to_text(const StatusReport& report, common::WallTime now) {
  std::string text = report.cell.empty() ? "" : fmt::format("cell {}\n", said(report.cell));
  for (const PartStatus& part : report.parts)
    text += line_of(part, now);
  if (report.parts.empty())
    text += "nothing to show: no servers in the cell, no mounts on this machine\n";
  return text;
}

std::string to_json(const StatusReport& report, common::WallTime now) {
  nlohmann::json parts = nlohmann::json::array();
  for (const PartStatus& part : report.parts) {
    nlohmann::json value = {
        {"kind", part.kind},   {"name", part.name},       {"where", part.where},    {"up", part.up},
        {"ready", part.ready}, {"message", part.message}, {"version", part.version}};
    if (part.uptime_s)
      value["uptime_s"] = *part.uptime_s;
    if (part.certificate_not_after) {
      value["certificate_not_after"] = common::crypto::format_time(*part.certificate_not_after);
      value["certificate_days_left"] = common::crypto::days_left(*part.certificate_not_after, now);
    }
    parts.push_back(std::move(value));
  }
  // What servers and mounts say is theirs: it need not be UTF-8, nor fit for a terminal.
  return nlohmann::json{{"cell", report.cell}, {"parts", parts}, {"well", report.all_well()}}.dump(
             -1, ' ', true, nlohmann::json::error_handler_t::replace) +
         "\n";
}

}  // namespace cli
