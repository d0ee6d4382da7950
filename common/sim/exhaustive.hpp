#pragma once

// Small worlds, all of them: visits every state that a small model can reach, nearest first, so the
// first violation found has a shortest story. Random runs find what is deep, this finds what is
// rare. A core is a value, so two or three of them and a bag of messages make a model; keep it to a
// few million states by bounding time, retries and the bag.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace common::sim {

template <typename Model>
concept SmallModel = std::copyable<Model> &&
    requires(Model model, const Model& seen, std::size_t choice) {
  // How many things can happen next; each is tried.
  { seen.choices() } -> std::convertible_to<std::size_t>;
  model.take(choice);
  // For the story, before it is taken.
  { seen.describe(choice) } -> std::convertible_to<std::string>;
  // Equal for states that need not be told apart. Of all that matters: 64 bits of it are compared.
  { seen.digest() } -> std::convertible_to<std::uint64_t>;
  // Empty if this state is fine.
  { seen.violation() } -> std::convertible_to<std::string>;
};

struct ExhaustiveLimits {
  std::size_t max_states = 2'000'000;  // each costs a copy of the model while it waits its turn
  std::size_t max_depth = 10'000;
};

struct ExhaustiveReport {
  bool complete = false;  // every reachable state was seen
  std::size_t states = 0;
  std::size_t steps = 0;
  std::size_t depth = 0;
  std::string violation;
  std::vector<std::string> story;  // the steps that lead to it
};

namespace detail {

struct Origin {
  std::size_t parent = 0;
  std::size_t choice = 0;
};

template <SmallModel Model>
std::vector<std::string> tell(Model model, const std::vector<Origin>& origins, std::size_t state) {
  std::vector<std::size_t> choices;
  for (; state != 0; state = origins[state].parent)
    choices.push_back(origins[state].choice);
  std::vector<std::string> story;
  for (auto choice = choices.rbegin(); choice != choices.rend(); ++choice) {
    story.push_back(model.describe(*choice));
    model.take(*choice);
  }
  return story;
}

}  // namespace detail

template <SmallModel Model>
ExhaustiveReport check_all(const Model& start, const ExhaustiveLimits& limits = {}) {
  ExhaustiveReport report{.complete = true, .states = 1};
  std::vector<detail::Origin> origins(1);
  std::unordered_set<std::uint64_t> seen{start.digest()};
  std::vector<std::pair<std::size_t, Model>> layer{{0, start}};
  report.violation = start.violation();
  while (!layer.empty() && report.violation.empty()) {
    if (report.depth++ >= limits.max_depth) {
      report.complete = false;
      return report;
    }
    std::vector<std::pair<std::size_t, Model>> next;
    for (const auto& [state, model] : layer) {
      for (std::size_t choice = 0; choice < model.choices(); ++choice) {
        Model after = model;
        after.take(choice);
        ++report.steps;
        if (!seen.insert(after.digest()).second)
          continue;
        if (origins.size() >= limits.max_states) {
          report.complete = false;
          return report;
        }
        origins.push_back({state, choice});
        ++report.states;
        report.violation = after.violation();
        if (!report.violation.empty()) {
          report.story = detail::tell(start, origins, origins.size() - 1);
          return report;
        }
        next.emplace_back(origins.size() - 1, std::move(after));
      }
    }
    layer = std::move(next);
  }
  return report;
}

}  // namespace common::sim
