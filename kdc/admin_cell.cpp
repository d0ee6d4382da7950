// Calls about the cell as a whole: policies, the audit log, the master key.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/io/unique_fd.hpp"
#include "kdc/admin_call.hpp"
#include "kdc/dump.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::rpc::Reply;
using common::wire::JsonWriter;

// ---- policies

Result<Reply> policy_list(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({}));
  TROTH_TRY(const auto policies, call.database().policies().list());
  JsonWriter writer;
  writer.begin_list("policies");
  for (const Policy& policy : policies) {
    writer.begin_object()
        .field("name", policy.name)
        .field("ticket_life_ms", policy.ticket_life.count())
        .field("renewable_life_ms", policy.renewable_life.count())
        .field("min_length", policy.min_length)
        .field("min_classes", policy.min_classes)
        .field("history", policy.history)
        .field("max_age_ms", policy.max_age.count())
        .end();
  }
  return answer(writer);
}

Status take_duration(AdminCall& call, std::string_view field, Millis& into) {
  TROTH_TRY(const auto given, call.args().try_u64(field));
  if (!given)
    return {};
  constexpr Millis kMost = std::chrono::days(36'500);  // so that nothing added to it overflows
  if (*given > static_cast<std::uint64_t>(kMost.count()))
    return fail(ErrorCode::InvalidArgument, "{} is at most 100 years", field);
  into = Millis(*given);
  return {};
}

Status take_number(AdminCall& call, std::string_view field, std::uint32_t& into) {
  TROTH_TRY(const auto given, call.args().try_u64(field));
  if (!given)
    return {};
  into = static_cast<std::uint32_t>(std::min<std::uint64_t>(*given, UINT32_MAX));
  return {};
}

Result<Reply> policy_set(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name", "ticket_life_ms", "renewable_life_ms",
                                            "min_length", "min_classes", "history", "max_age_ms"}));
  TROTH_TRY(const std::string name, call.name());
  TROTH_TRY(const auto policies, call.database().policies().list());
  const auto found = std::find_if(policies.begin(), policies.end(),
                                  [&](const Policy& policy) { return policy.name == name; });
  Policy policy = found == policies.end() ? default_policy(Kind::User) : *found;
  policy.name = name;
  TROTH_TRY_VOID(take_duration(call, "ticket_life_ms", policy.ticket_life));
  TROTH_TRY_VOID(take_duration(call, "renewable_life_ms", policy.renewable_life));
  TROTH_TRY_VOID(take_duration(call, "max_age_ms", policy.max_age));
  TROTH_TRY_VOID(take_number(call, "min_length", policy.min_length));
  TROTH_TRY_VOID(take_number(call, "min_classes", policy.min_classes));
  TROTH_TRY_VOID(take_number(call, "history", policy.history));
  TROTH_TRY_VOID(call.database().policies().set(call.actor(), policy));
  return nothing_to_say();
}

Result<Reply> policy_delete(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const std::string name, call.name());
  TROTH_TRY_VOID(call.database().policies().remove(call.actor(), name));
  return nothing_to_say();
}

// ---- audit

// Without being asked for more, the newest so many.
constexpr std::size_t kNewestShown = 100;

struct AuditSpan {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

Result<AuditSpan> audit_span(Database& database) {
  return database.core().read([](ReadTx& tx) -> Result<AuditSpan> {
    TROTH_TRY(auto row, tx.query("SELECT anchor_seq, head_seq FROM cell"));
    TROTH_TRY(const bool found, row.step());
    if (!found)
      return fail(ErrorCode::Internal, "the database has no contents yet");
    return AuditSpan{row.column_uint64(0) + 1, row.column_uint64(1)};
  });
}

// The newest `limit` that fit: looked for from the end, in ever larger steps.
Result<std::vector<AuditRecord>> newest(Database& database, AuditQuery query,
                                        const AuditSpan& span) {
  const std::size_t wanted = query.limit;
  std::uint64_t back = wanted;
  for (;;) {
    query.after = span.last > back ? span.last - back : 0;
    query.limit = kMostListed;
    std::vector<AuditRecord> records;
    for (bool more = true; more;) {
      TROTH_TRY(auto some, database.audit().list(query));
      more = some.size() == query.limit;
      if (more)
        query.after = some.back().seq;
      std::move(some.begin(), some.end(), std::back_inserter(records));
      if (records.size() > wanted)
        records.erase(records.begin(), records.end() - static_cast<std::ptrdiff_t>(wanted));
    }
    if (records.size() >= wanted || span.last <= back || span.last - back < span.first)
      return records;
    back *= 16;
  }
}

Result<Reply> audit(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"after", "limit", "event", "name"}));
  AuditQuery query;
  TROTH_TRY(const auto after, call.args().try_u64("after"));
  TROTH_TRY(query.limit, call.limit());
  TROTH_TRY(query.event, call.optional_name("event"));
  TROTH_TRY(query.subject, call.optional_name("name"));
  // What has happened so far shows, not only what housekeeping has written.
  TROTH_TRY_VOID(call.database().audit().flush());
  TROTH_TRY(const AuditSpan span, audit_span(call.database()));
  query.after = std::min<std::uint64_t>(after.value_or(0), INT64_MAX);
  if (!after && !call.args().has("limit"))
    query.limit = kNewestShown;
  TROTH_TRY(const auto records,
            after ? call.database().audit().list(query) : newest(call.database(), query, span));
  JsonWriter writer;
  writer.begin_list("records");
  for (const AuditRecord& record : records) {
    writer.begin_object()
        .field("seq", record.seq)
        .field("at_ms", to_number(record.at))
        .field("event", record.event);
    writer.begin_object("actor")
        .field("id", record.actor.value)
        .field("name", record.actor_name)
        .end();
    writer.field("subject", record.subject)
        .field("source", record.source)
        .field("outcome", record.outcome)
        .field("times", record.times)
        .field("details", record.details)
        .end();
  }
  writer.end()
      .field("first", span.first)
      .field("last", span.last)
      .field("more", after.has_value() && records.size() == query.limit);
  return answer(writer);
}

Result<Reply> audit_verify(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({}));
  TROTH_TRY(const AuditVerdict verdict, call.database().audit().verify());
  std::optional<std::uint64_t> broken;
  if (!verdict.ok)
    broken = verdict.broken;
  JsonWriter writer;
  writer.field("ok", verdict.ok)
      .field("first", verdict.first)
      .field("last", verdict.last)
      .field("broken", broken)
      .field("why", verdict.why);
  return answer(writer);
}

// ---- master key

Result<Reply> master_rotate(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({}));
  TROTH_TRY(const std::uint32_t version, call.database().master_rollover().begin(call.actor()));
  JsonWriter writer;
  writer.field("version", version);
  return answer(writer);
}

Result<Reply> master_status(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({}));
  TROTH_TRY(const auto progress, call.database().master_rollover().progress());
  JsonWriter writer;
  writer.field("version", progress.version)
      .field("rows_left", progress.rows_left)
      .field("under_way", progress.under_way);
  return answer(writer);
}

// ---- dump

constexpr std::size_t kDumpBuffer = 256 * 1024;

// The lines go into a file without a name, because the database does not wait for a slow caller.
Result<Reply> dump_database(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({}));
  const std::string& directory = call.tools().directory;
  const auto file = std::make_shared<common::UniqueFd>(
      ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file->valid())
    return common::fail_errno(errno, "make a file for the dump in {}", directory);
  std::string waiting;
  std::uint64_t size = 0;
  const auto write_out = [&]() -> Status {
    for (std::string_view rest = waiting; !rest.empty();) {
      const ssize_t n = ::write(file->get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return common::fail_errno(errno, "write the dump");
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    size += waiting.size();
    waiting.clear();
    return {};
  };
  TROTH_TRY_VOID(dump(call.database().core(), [&](std::string_view line) -> Status {
    waiting += line;
    return waiting.size() < kDumpBuffer ? Status{} : write_out();
  }));
  TROTH_TRY_VOID(write_out());
  const Actor actor = call.actor();
  TROTH_TRY_VOID(call.database().audit().record({.event = "dump",
                                                 .actor = actor.id,
                                                 .actor_name = actor.name,
                                                 .source = actor.source,
                                                 .outcome = std::string(kAuditOk)}));
  Reply reply = nothing_to_say();
  reply.source_size = size;
  reply.source = [file, at = off_t{0}](
                     std::span<std::byte> scratch) mutable -> Result<std::span<const std::byte>> {
    const ssize_t n = ::pread(file->get(), scratch.data(), scratch.size(), at);
    if (n < 0)
      return common::fail_errno(errno, "read the dump");
    at += n;
    return scratch.first(static_cast<std::size_t>(n));
  };
  return reply;
}

constexpr AdminOperation kCellOperations[] = {
    {"policy-list", AdminRight::Anybody, Fresh::NotNeeded, kLook, policy_list},
    {"policy-set", AdminRight::Administrator, kFresh, kChange, policy_set},
    {"policy-delete", AdminRight::Administrator, kFresh, kChange, policy_delete},
    {"audit", AdminRight::Auditor, Fresh::NotNeeded, kLook, audit},
    {"audit-verify", AdminRight::Auditor, Fresh::NotNeeded, kLook, audit_verify},
    {"master-rotate", AdminRight::Administrator, kFresh, kChange, master_rotate},
    {"master-status", AdminRight::Administrator, Fresh::NotNeeded, kLook, master_status},
    {"dump", AdminRight::Administrator, kFresh, kLook, dump_database},
};

}  // namespace

std::span<const AdminOperation> cell_operations() {
  return kCellOperations;
}

}  // namespace kdc
