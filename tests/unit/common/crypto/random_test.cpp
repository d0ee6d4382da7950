#include "common/crypto/random.hpp"

#include <set>

#include "common/bytes.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::crypto;

TEST_CASE("random bytes fill the whole range, however long") {
  // getrandom gives at most 256 bytes at once when interrupted; 1 MiB goes through the loop.
  Bytes a(std::size_t{1} << 20);
  REQUIRE_OK(random_bytes(a));
  int zero = 0;
  for (std::size_t i = a.size() - 4096; i < a.size(); ++i)
    zero += a[i] == std::byte{0};
  CHECK(zero < 100);
  CHECK_OK(random_bytes({}));
}

TEST_CASE("operation ids are distinct and never zero") {
  std::set<OperationId> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto id = new_operation_id();
    REQUIRE_OK(id);
    CHECK(*id != OperationId{});
    seen.insert(*id);
  }
  CHECK(seen.size() == 1000);
  CHECK(random_u64().value() != random_u64().value());
}
