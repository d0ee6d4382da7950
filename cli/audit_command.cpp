// troth audit

#include <nlohmann/json.hpp>

#include "cli/admin_commands.hpp"
#include "cli/output.hpp"
#include "common/config/values.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

struct AuditArguments : AdminArguments {
  std::string since;
  std::optional<std::uint64_t> after;
  std::string event;
  std::string name;
  bool verify = false;
};

Status verify(const AuditArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer, admin.call("audit-verify", nlohmann::json::object(), Needs::Ticket));
  const nlohmann::json& found = answer.result();
  const bool ok = found.value("ok", false);
  if (arguments.json) {
    print_json(found);
  } else if (ok) {
    print(fmt::format("The chain of records {} to {} is whole.\n", found.value("first", 0ULL),
                      found.value("last", 0ULL)));
  }
  if (ok)
    return {};
  return fail(ErrorCode::Corrupt, "the audit log is broken at record {}: {}",
              said(found.value("broken", nlohmann::json()).dump()), text_field(found, "why"));
}

std::string line_of(const nlohmann::json& record) {
  const auto actor = record.find("actor");
  std::string line = fmt::format("{:>8}  {}  {:<20} {:<24} {:<32} {}", record.value("seq", 0ULL),
                                 time_field(record, "at_ms"), text_field(record, "event"),
                                 actor == record.end() ? "-" : text_field(*actor, "name"),
                                 text_field(record, "subject"), text_field(record, "outcome"));
  if (const std::string source = text_field(record, "source"); !source.empty())
    line += "  from " + source;
  if (const auto times = record.value("times", 1ULL); times > 1)
    line += fmt::format("  {} times", times);
  if (const std::string details = text_field(record, "details"); !details.empty())
    line += "  " + details;
  return line + "\n";
}

nlohmann::json filters(const AuditArguments& arguments) {
  nlohmann::json args = nlohmann::json::object();
  if (!arguments.event.empty())
    args["event"] = arguments.event;
  if (!arguments.name.empty())
    args["name"] = arguments.name;
  return args;
}

// The first record after this number: its time, or nothing.
Result<std::optional<std::int64_t>> time_after(Admin& admin, std::uint64_t seq) {
  TROTH_TRY(const auto answer, admin.call("audit", {{"after", seq}, {"limit", 1}}, Needs::Ticket));
  const auto records = answer.result().find("records");
  if (records == answer.result().end() || !records->is_array() || records->empty())
    return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(records->front().value("at_ms", std::int64_t{0}));
}

// The number of the last record before `since`: records are in the order of their times.
Result<std::uint64_t> seq_before(Admin& admin, std::int64_t since) {
  TROTH_TRY(const auto answer, admin.call("audit", {{"limit", 1}}, Needs::Ticket));
  std::uint64_t low = answer.result().value("first", std::uint64_t{1});
  low -= low > 0 ? 1 : 0;
  std::uint64_t high = std::max(low, answer.result().value("last", std::uint64_t{0}));
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    TROTH_TRY(const auto time, time_after(admin, middle));
    if (time && *time < since) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// A duration back from now ("2h"), as this machine's clock has it.
Result<std::int64_t> since_time(const std::string& text, common::WallTime now) {
  const auto back = common::config::parse_duration(text);
  if (!back) {
    return fail(ErrorCode::InvalidArgument, "--since is \"{}\"; {}", text, back.error().message);
  }
  return std::chrono::floor<std::chrono::milliseconds>(now - *back).time_since_epoch().count();
}

Status audit(const AuditArguments& arguments) {
  if (arguments.verify)
    return verify(arguments);
  TROTH_TRY(Admin admin, Admin::open(arguments));
  nlohmann::json records;
  if (arguments.since.empty() && !arguments.after) {
    TROTH_TRY(const auto answer, admin.call("audit", filters(arguments), Needs::Ticket));
    records = answer.result().value("records", nlohmann::json::array());
  } else {
    std::uint64_t after = arguments.after.value_or(0);
    if (!arguments.since.empty()) {
      TROTH_TRY(const std::int64_t since,
                since_time(arguments.since, common::SystemClock().wall_now()));
      TROTH_TRY(after, seq_before(admin, since));
    }
    nlohmann::json args = filters(arguments);
    args["after"] = after;
    TROTH_TRY(
        records,
        collect(admin, {.operation = "audit", .args = args, .list = "records", .after = "seq"}));
  }
  if (arguments.json) {
    print_json({{"records", records}});
    return {};
  }
  std::string text;
  for (const nlohmann::json& record : records)
    text += line_of(record);
  print(text.empty() ? "none\n" : text);
  return {};
}

}  // namespace

void add_audit_command(Command app, Session& session) {
  CommandGroup<AuditArguments> group(app, session);
  auto added =
      group.add("audit", "Show who did what: the newest records, or those since.", &audit, true);
  const auto since = added.command
                         .add_option("--since", added.arguments->since,
                                     "All records of the last DURATION, such as 2h.")
                         .type_name("DURATION");
  added.command.add_option("--after", added.arguments->after, "All records after that number.")
      .type_name("SEQ")
      .excludes(since);
  added.command.add_option("--event", added.arguments->event, "Only records of this event.")
      .type_name("EVENT");
  added.command
      .add_option("--name", added.arguments->name, "Only records of or about this principal.")
      .type_name("NAME");
  added.command.add_flag("--verify", added.arguments->verify,
                         "Check that no record was changed, added or taken out.");
}

}  // namespace cli
