// Keys of services and hosts: new ones, old ones, and their end.

#include "kdc/key_rows.hpp"
#include "kdc/keys.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::WriteTx;

// How far the clock may be set back without a new key of our own.
constexpr Millis kOwnClockSlack = std::chrono::hours(1);

// Ended keys that are destroyed in one transaction.
constexpr std::size_t kDestroyedAtOnce = 256;

Result<std::optional<Kvno>> pending_key(ReadTx& tx, Id principal) {
  std::optional<Kvno> kvno;
  TROTH_TRY(auto row, tx.query("SELECT kvno FROM key WHERE principal = ?1 AND state = 2 "
                               "ORDER BY kvno DESC LIMIT 1",
                               principal.value));
  TROTH_TRY(const bool exists, row.step());
  if (exists)
    kvno = static_cast<Kvno>(row.column_uint64(0));
  return kvno;
}

Status activate_in(WriteTx& tx, const Principal& service, Kvno kvno, Overlap overlap, Time now) {
  if (overlap == Overlap::None) {
    TROTH_TRY(const auto older, kvnos(tx, "SELECT kvno FROM key WHERE principal = ?1 AND kvno < ?2",
                                      service.id, kvno));
    TROTH_TRY_VOID(destroy_keys(tx, service.id, older));
  } else {
    // Those that were retired before keep the end they have.
    TROTH_TRY_VOID(
        tx.run("UPDATE key SET state = 3, not_after = ?2 WHERE principal = ?1 AND "
               "state = 1",
               service.id.value, to_number(now + kLongestTicket)));
  }
  return make_active(tx, service, kvno, now);
}

}  // namespace

Result<Kvno> Keys::rotate(const Actor& actor, Id service) {
  TROTH_TRY(const Principal named,
            core_.read([&](ReadTx& tx) { return need_service(tx, service); }));
  const Change change{.event = "service.rotate",
                      .subject = named.name,
                      .right = Right::SelfOrAdministrator,
                      .object = service};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY(const Principal principal, need_service(tx, service));
    TROTH_TRY(const auto pending, pending_key(tx, service));
    if (pending)
      return *pending;
    TROTH_TRY(const Kvno kvno,
              add_random_key(tx, *core_.master_keys(), principal, KeyState::Pending, now));
    return kvno;
  };
  TROTH_TRY(const std::uint64_t kvno, core_.change(actor, change, work));
  return static_cast<Kvno>(kvno);
}

Status Keys::activate(const Actor& actor, Id service, Kvno kvno, Overlap overlap) {
  TROTH_TRY(const Principal named,
            core_.read([&](ReadTx& tx) { return need_service(tx, service); }));
  const Change change{
      .event = "service.activate",
      .subject = named.name,
      .details = fmt::format("kvno={}{}", kvno, overlap == Overlap::None ? " now" : ""),
      .right = Right::SelfOrAdministrator,
      .object = service};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY(const Principal principal, need_service(tx, service));
    if (principal.kvno == kvno && overlap == Overlap::LongestTicket)
      return kvno;
    TROTH_TRY(const auto pending, pending_key(tx, service));
    if (principal.kvno != kvno && pending != kvno)
      return fail(ErrorCode::NotFound, "{} has no key {} to activate; rotate first", principal.name,
                  kvno);
    TROTH_TRY_VOID(activate_in(tx, principal, kvno, overlap, now));
    return kvno;
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

Result<bool> Keys::rotate_own_keys() {
  for (const std::string_view name : {kTgsService, kAdminService}) {
    const auto due = [&](ReadTx& tx) -> Result<std::optional<Principal>> {
      std::optional<Principal> service;
      TROTH_TRY(Principal principal, need_principal(tx, name));
      TROTH_TRY(auto row, tx.query("SELECT created FROM key WHERE principal = ?1 AND kvno = ?2",
                                   principal.id.value, principal.kvno));
      TROTH_TRY(const bool exists, row.step());
      if (!exists) {
        service = std::move(principal);
        return service;
      }
      // One made in what is now the future is due too: the clock was wrong, and would have it live
      // for as long as it was ahead.
      const Time made = time_from(row.column_int64(0));
      if (made + kOwnKeyLife <= core_.now() || made > core_.now() + kOwnClockSlack)
        service = std::move(principal);
      return service;
    };
    TROTH_TRY(const auto service, core_.read(due));
    if (!service)
      continue;
    const Change change{
        .event = "service.rotate", .subject = std::string(name), .details = "by age"};
    const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
      TROTH_TRY(const auto still, due(tx));
      if (!still)
        return std::uint64_t{0};
      TROTH_TRY(const Kvno kvno,
                add_random_key(tx, *core_.master_keys(), *still, KeyState::Pending, now));
      TROTH_TRY_VOID(activate_in(tx, *still, kvno, Overlap::LongestTicket, now));
      return kvno;
    };
    TROTH_TRY_VOID(core_.change(Actor::kdc_itself(), change, work));
  }
  return false;
}

// No ticket lasts longer than kLongestTicket, so no retired key has to: an end beyond that was set
// by a clock that was ahead.
Status Keys::bound_ends() {
  const auto latest = [&] { return to_number(core_.now() + kLongestTicket); };
  TROTH_TRY(const bool any, core_.read([&](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row,
              tx.query("SELECT 1 FROM key WHERE state = 3 AND not_after > ?1 LIMIT 1", latest()));
    return row.step();
  }));
  if (!any)
    return {};
  const Change change{.event = "keys.bound", .subject = "retired keys"};
  const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
    TROTH_TRY_VOID(
        tx.run("UPDATE key SET not_after = ?1 WHERE state = 3 AND not_after > ?1", latest()));
    return std::uint64_t{0};
  };
  return core_.change(Actor::kdc_itself(), change, work).map([](std::uint64_t) {});
}

Result<bool> Keys::destroy_ended() {
  TROTH_TRY_VOID(bound_ends());
  struct Ended {
    Id principal;
    Kvno kvno = 0;
  };
  const auto look = [&](ReadTx& tx) -> Result<std::vector<Ended>> {
    TROTH_TRY(auto rows, tx.query("SELECT principal, kvno FROM key WHERE not_after > 0 AND "
                                  "not_after <= ?1 LIMIT ?2",
                                  to_number(core_.now()), kDestroyedAtOnce));
    std::vector<Ended> ended;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return ended;
      ended.push_back({Id(static_cast<std::uint32_t>(rows.column_uint64(0))),
                       static_cast<Kvno>(rows.column_uint64(1))});
    }
  };
  TROTH_TRY(const auto ended, core_.read(look));
  if (ended.empty())
    return false;
  const Change change{.event = "keys.destroy",
                      .subject = "ended keys",
                      .details = fmt::format("count={}", ended.size())};
  const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
    for (const Ended& key : ended)
      TROTH_TRY_VOID(destroy_key(tx, key.principal, key.kvno));
    return ended.size();
  };
  TROTH_TRY_VOID(core_.change(Actor::kdc_itself(), change, work));
  return ended.size() == kDestroyedAtOnce;
}

}  // namespace kdc
