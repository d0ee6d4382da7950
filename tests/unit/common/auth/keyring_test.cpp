#include "common/auth/credential_cache.hpp"
#include "common/crypto/random.hpp"
#include "common/rpc/socket.hpp"
#include "tests/support/patience.hpp"
#include "tests/unit/common/ticket/small_cell.hpp"

using namespace common;
using namespace common::auth;
using namespace std::chrono_literals;
using ticket_test::ServiceSide;

TEST_CASE("the kernel's keyring keeps credentials and forgets them") {
  StorePlaces places;
  places.variable = "keyring";
  // A name of its own: the keyring is the whole machine's.
  const std::string cell = fmt::format("test-{:016x}", crypto::random_u64().value());
  const auto cache = CredentialCache::open(cell, places);
  if (!cache && cache.error().code == ErrorCode::Unsupported)
    SKIP_TEST("the kernel's keyring is not permitted here");
  REQUIRE_OK(cache);
  CHECK_FAILS((*cache)->load(), ErrorCode::NotFound);
  std::vector<ticket::Credential> credentials;
  credentials.push_back(ServiceSide(ticket::kTgsService).credential());
  credentials.front().cell = cell;
  const Status saved = (*cache)->replace(credentials, Instant::max());
  if (!saved && saved.error().code == ErrorCode::Unsupported)
    SKIP_TEST("the kernel's keyring may not be written here");
  REQUIRE_OK(saved);
  const auto loaded = (*cache)->load();
  REQUIRE_OK(loaded);
  CHECK(loaded->front().client.name == "alice");
  CHECK((*cache)->where() == "the kernel's keyring");
  REQUIRE_OK((*cache)->wipe(common::rpc::now() + test_support::kPatience));
  CHECK_FAILS((*cache)->load(), ErrorCode::NotFound);
  CHECK_OK((*cache)->wipe(common::rpc::now() + test_support::kPatience));
}
