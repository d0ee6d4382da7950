#include "common/version.hpp"

namespace common {

std::string_view version() {
  return TROTH_VERSION;
}

}  // namespace common
