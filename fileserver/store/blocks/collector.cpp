#include "fileserver/store/blocks/collector.hpp"

namespace fileserver::store {

struct Collector::State {
  CollectorCounters counters;
};

Collector::Collector(Segments& /*segments*/, BlockStore& /*blocks*/, CollectorHost& /*host*/,
                     CollectorOptions /*options*/)
    : state_(std::make_unique<State>()) {}

Collector::~Collector() = default;

Result<bool> Collector::step() {
  return false;
}

bool Collector::in_round() const {
  return false;
}

CollectorCounters Collector::counters() const {
  return state_->counters;
}

}  // namespace fileserver::store
