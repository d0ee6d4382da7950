#include "kdc/client_limit.hpp"

namespace kdc {

GuessVerdict ClientLimit::take(Id client, Time now) {
  auto states = states_.lock();
  auto found = states->find(client);
  if (found == states->end()) {
    if (states->size() >= most_) {
      std::erase_if(*states,
                    [&](const auto& entry) { return is_forgettable(entry.second, rules_, now); });
    }
    if (states->size() >= most_)
      return {.allowed = false, .wait = rules_.longest_wait};
    found = states->emplace(client, fresh_guesses(rules_, now)).first;
  }
  return take_attempt(found->second, rules_, now);
}

}  // namespace kdc
