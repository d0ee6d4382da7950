#pragma once

// A volume's insides in words, for curious people. Changes nothing.

#include <iosfwd>
#include <string>

#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

struct InspectOptions {
  enum class What : std::uint8_t { Summary, Commits, Node, Segments, Segment };
  What what = What::Summary;
  std::uint64_t number = 0;  // first seq, node id or segment number
  std::size_t limit = 50;
  const common::crypto::Secret* key = nullptr;
};

[[nodiscard]] Status inspect_volume(const std::string& directory, const InspectOptions& options,
                                    const common::Clock& clock, std::ostream& out);

}  // namespace fileserver::store
