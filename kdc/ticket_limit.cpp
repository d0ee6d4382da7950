#include "kdc/ticket_limit.hpp"

namespace kdc {

GuessVerdict TicketLimit::take(Id client, Time now) {
  auto states = states_.lock();
  auto found = states->find(client);
  if (found == states->end()) {
    if (states->size() >= most_) {
      std::erase_if(*states, [&](const auto& entry) {
        return is_forgettable(entry.second, kTicketRules, now);
      });
    }
    if (states->size() >= most_)
      return {.allowed = false, .wait = kTicketRules.longest_wait};
    found = states->emplace(client, fresh_guesses(kTicketRules, now)).first;
  }
  return take_attempt(found->second, kTicketRules, now);
}

}  // namespace kdc
