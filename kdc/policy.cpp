#include "kdc/policy.hpp"

#include "kdc/names.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::Statement;
using common::db::WriteTx;

Policy policy_from_row(const Statement& row) {
  return {.name = std::string(row.column_text(0)),
          .ticket_life = Millis(row.column_int64(1)),
          .renewable_life = Millis(row.column_int64(2)),
          .min_length = static_cast<std::uint32_t>(row.column_uint64(3)),
          .min_classes = static_cast<std::uint32_t>(row.column_uint64(4)),
          .history = static_cast<std::uint32_t>(row.column_uint64(5)),
          .max_age = Millis(row.column_int64(6))};
}

bool is_default(std::string_view name) {
  return name == default_policy_name(Kind::User) || name == default_policy_name(Kind::Service) ||
         name == default_policy_name(Kind::Host);
}

}  // namespace

std::string_view default_policy_name(Kind kind) {
  switch (kind) {
    case Kind::User:
      return "user";
    case Kind::Service:
      return "service";
    case Kind::Host:
      return "host";
  }
  return "user";
}

Policy default_policy(Kind kind) {
  Policy policy{.name = std::string(default_policy_name(kind))};
  if (kind != Kind::User)
    policy.renewable_life = Millis(0);
  return policy;
}

Status check_policy(const Policy& policy) {
  TROTH_TRY_VOID(check_policy_name(policy.name));
  const auto within = [](auto value, auto least, auto most) {
    return value >= least && value <= most;
  };
  if (!within(policy.ticket_life, kShortestTicket, kLongestTicket))
    return fail(ErrorCode::InvalidArgument, "a ticket's life is 1 minute to 24 hours");
  if (!within(policy.renewable_life, Millis(0), kLongestRenewable))
    return fail(ErrorCode::InvalidArgument, "tickets are renewable for at most 30 days");
  if (!within(policy.min_length, 1U, 128U))
    return fail(ErrorCode::InvalidArgument, "the least length of a password is 1 to 128");
  if (!within(policy.min_classes, 1U, 4U))
    return fail(ErrorCode::InvalidArgument, "there are 1 to 4 classes of characters");
  if (!within(policy.history, 0U, kMostHistory))
    return fail(ErrorCode::InvalidArgument, "at most {} passwords are remembered", kMostHistory);
  if (policy.max_age != Millis(0) &&
      !within(policy.max_age, Millis(std::chrono::days(1)), Millis(std::chrono::days(3650)))) {
    return fail(ErrorCode::InvalidArgument, "a password's age is 1 to 3650 days, or 0 for no end");
  }
  return {};
}

Result<Policy> policy_of(ReadTx& tx, Kind kind, std::string_view name) {
  const std::string_view wanted = name.empty() ? default_policy_name(kind) : name;
  TROTH_TRY(auto row, tx.query("SELECT name, ticket_life, renewable_life, min_length, min_classes, "
                               "history, max_age FROM policy WHERE name = ?1",
                               wanted));
  TROTH_TRY(const bool exists, row.step());
  if (!exists)
    return fail(ErrorCode::NotFound, "there is no policy {}", wanted);
  Policy policy = policy_from_row(row);
  if (kind != Kind::User)
    policy.renewable_life = Millis(0);
  return policy;
}

Status put_policy(WriteTx& tx, const Policy& policy) {
  return tx.run("INSERT OR REPLACE INTO policy VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", policy.name,
                policy.ticket_life.count(), policy.renewable_life.count(), policy.min_length,
                policy.min_classes, policy.history, policy.max_age.count());
}

Result<Policy> Policies::of(Kind kind, const std::string& name) {
  return core_.read([&](ReadTx& tx) { return policy_of(tx, kind, name); });
}

Result<std::vector<Policy>> Policies::list() {
  return core_.read([](ReadTx& tx) -> Result<std::vector<Policy>> {
    TROTH_TRY(auto rows, tx.query("SELECT name, ticket_life, renewable_life, min_length, "
                                  "min_classes, history, max_age FROM policy ORDER BY name"));
    std::vector<Policy> all;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return all;
      all.push_back(policy_from_row(rows));
    }
  });
}

Status Policies::set(const Actor& actor, const Policy& policy) {
  TROTH_TRY_VOID(check_policy(policy));
  const Change change{
      .event = "policy.set",
      .subject = policy.name,
      .details =
          fmt::format("ticket_ms={} renewable_ms={} length={} classes={} history={} "
                      "max_age_ms={}",
                      policy.ticket_life.count(), policy.renewable_life.count(), policy.min_length,
                      policy.min_classes, policy.history, policy.max_age.count())};
  const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
    TROTH_TRY(auto row, tx.query("SELECT count(*) FROM policy WHERE name <> ?1", policy.name));
    TROTH_TRY(const bool counted, row.step());
    if (counted && row.column_uint64(0) >= kMostPolicies)
      return fail(ErrorCode::ResourceExhausted, "there are {} policies already", kMostPolicies);
    TROTH_TRY_VOID(put_policy(tx, policy));
    return std::uint64_t{0};
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

Status Policies::remove(const Actor& actor, const std::string& name) {
  const Change change{.event = "policy.remove", .subject = name};
  const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
    if (is_default(name))
      return fail(ErrorCode::Conflict, "{} is what applies to all others; set it instead", name);
    TROTH_TRY_VOID(policy_of(tx, Kind::User, name));
    TROTH_TRY(auto row, tx.query("SELECT name FROM principal WHERE policy = ?1 AND policy <> '' "
                                 "LIMIT 1",
                                 name));
    TROTH_TRY(const bool used, row.step());
    if (used)
      return fail(ErrorCode::Conflict, "{} still has the policy {}", row.column_text(0), name);
    TROTH_TRY_VOID(tx.run("DELETE FROM policy WHERE name = ?1", name));
    return std::uint64_t{0};
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

}  // namespace kdc
