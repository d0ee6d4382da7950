#include "common/auth/service_keys.hpp"

#include "common/auth/session.hpp"
#include "common/log/log.hpp"
#include "common/ticket/keytab.hpp"

namespace common::auth {
namespace {

Result<ticket::Keytab> read(const std::string& path, const std::string& cell,
                            const std::string& service) {
  auto keytab = ticket::load_keytab(path);
  if (!keytab && keytab.error().code == ErrorCode::NotFound) {
    return fail(ErrorCode::NotFound,
                "there is no keytab {}: without one nobody can be recognised; get it with `troth "
                "service keytab {} --out {}`",
                path, service, path);
  }
  if (!keytab)
    return tl::unexpected(std::move(keytab).error());
  if (keytab->cell() != cell || keytab->principal() != service) {
    return fail(ErrorCode::InvalidArgument,
                "{} holds the keys of {} in cell {}, and this is {} in cell {}: put the right one "
                "there",
                path, keytab->principal(), keytab->cell(), service, cell);
  }
  return keytab;
}

// The number of the key that an AP request's ticket was sealed with; 0 if it has none.
std::uint32_t kvno_of(ByteView bytes) {
  const auto request = ticket::decode_ap_request(bytes);
  if (!request)
    return 0;
  const auto ticket = ticket::decode_ticket(request->ticket);
  return ticket ? ticket->kvno : 0;
}

}  // namespace

Result<std::shared_ptr<ServiceKeys>> ServiceKeys::load(std::string path, std::string cell,
                                                       std::string service, const Clock& clock) {
  auto verifier = std::make_shared<ticket::Verifier>(std::move(cell), std::move(service), clock);
  std::shared_ptr<ServiceKeys> keys(new ServiceKeys(std::move(path), clock, std::move(verifier)));
  TROTH_TRY_VOID(keys->reload());
  return keys;
}

Status ServiceKeys::check(const std::string& path, const std::string& cell,
                          const std::string& service) {
  TROTH_TRY([[maybe_unused]] const auto keytab, read(path, cell, service));
  return {};
}

Status ServiceKeys::reload() {
  const MutexLock reading(reading_);
  TROTH_TRY(const ticket::Keytab keytab,
            read(path_, verifier_->opener().cell(), verifier_->opener().service()));
  const auto* newest = keytab.newest();
  TROTH_TRY_VOID(verifier_->set_keys(keytab));
  const MutexLock lock(mutex_);
  newest_ = newest == nullptr ? 0 : newest->kvno;
  return {};
}

void ServiceKeys::look_again_for(ByteView request) {
  const std::uint32_t kvno = kvno_of(request);
  {
    const MutexLock lock(mutex_);
    const Instant now = clock_.now();
    if (kvno <= newest_ || (looked_ && now - looked_at_ < kLookAgain))
      return;
    looked_ = true;
    looked_at_ = now;
  }
  if (const auto read_again = reload(); !read_again)
    log::warn("the keytab cannot be read again", {{"reason", read_again.error().message}});
}

void ServiceKeys::note_refused(ByteView bytes, const std::string& from) {
  using Fate = ticket::TicketOpener::KeyFate;
  const ticket::TicketOpener& opener = verifier_->opener();
  const auto request = ticket::decode_ap_request(bytes);
  if (!request)
    return;
  const auto shown = ticket::decode_ticket(request->ticket);
  if (!shown || shown->cell != opener.cell() || shown->service != opener.service())
    return;
  const ticket::Time now = ticket::to_time(clock_.wall_now());
  const Fate fate = opener.key_fate(shown->kvno, now);
  if (fate == Fate::Good && opener.open(request->ticket, now))
    return;  // something else was wrong, and is the caller's to mend
  const auto held_back = tells_.admit(clock_.now());
  if (!held_back)
    return;
  const char* why = "the keytab has no key of that number";
  if (fate != Fate::Missing)
    why = fate == Fate::Ended ? "that key has ended"
                              : "it was not sealed with our key of that number";
  std::uint32_t newest = 0;
  {
    const MutexLock lock(mutex_);
    newest = newest_;
  }
  log::warn(fmt::format(
                "a ticket for this service does not open; if that goes on, the keytab is not what "
                "the KDC has: troth service keytab {}",
                opener.service()),
            {{"why", why},
             {"key", shown->kvno},
             {"newest_key", newest},
             {"keytab", path_},
             {"from", from},
             {"others_held_back", *held_back}});
}

rpc::Operation ServiceKeys::operation(std::string role, std::shared_ptr<ServiceKeys> keys) {
  auto verifier = keys->verifier();
  rpc::Operation operation =
      auth_operation(std::move(role), std::move(verifier),
                     [keys](ByteView request) { keys->look_again_for(request); });
  operation.handler = [keys = std::move(keys),
                       verify = std::move(operation.handler)](rpc::Call& call) {
    auto reply = verify(call);
    if (!reply && reply.error().code == ErrorCode::Unauthenticated)
      keys->note_refused(call.body(), call.peer().address());
    return reply;
  };
  return operation;
}

}  // namespace common::auth
