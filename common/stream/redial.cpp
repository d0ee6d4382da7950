#include "common/stream/redial.hpp"

#include <algorithm>

namespace common::stream {

Duration Redial::failed(std::uint64_t random, std::chrono::milliseconds at_least) {
  // Doubling six times reaches the ceiling from the default spread; more would overflow one day.
  const unsigned doublings = std::min(failures_, 6U);
  failures_ = std::min(failures_ + 1, 1000U);
  const Duration ceiling =
      std::min<Duration>(options_.spread * (std::int64_t{1} << doublings), options_.longest);
  // From the second attempt on the lower half is left out: pauses must grow even for the lucky.
  const Duration floor = doublings == 0 ? Duration(options_.shortest) : ceiling / 2;
  const auto width =
      static_cast<std::uint64_t>(std::max<std::int64_t>((ceiling - floor).count(), 0));
  const Duration pause = floor + Duration(static_cast<std::int64_t>(random % (width + 1)));
  // What the server asks for is honoured, but a lying one cannot send a mount away for weeks; the
  // dice are added so that those it sent away together do not come back together.
  const Duration asked = std::min<Duration>(at_least, 10 * options_.longest);
  return std::max<Duration>(asked + (asked.count() > 0 ? pause : Duration(0)),
                            std::max<Duration>(pause, options_.shortest));
}

}  // namespace common::stream
