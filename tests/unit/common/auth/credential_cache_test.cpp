// The file that holds a user's credentials: what is kept, and whom it does not trust.

#include "common/auth/credential_cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "common/auth/credential_codec.hpp"
#include "common/rpc/socket.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/common/ticket/small_cell.hpp"

using namespace common;
using namespace common::auth;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using test_support::TempDir;
using ticket_test::body_at;
using ticket_test::kCell;
using ticket_test::ServiceSide;

namespace {

const Instant kLong = Instant::max();

std::vector<ticket::Credential> credentials(std::size_t count = 1) {
  std::vector<ticket::Credential> made;
  const ServiceSide side(ticket::kTgsService);
  for (std::size_t i = 0; i < count; ++i)
    made.push_back(side.credential());
  made.front().validity.renew_till = made.front().validity.end + 24h;
  made.front().validity.initial = true;
  made.front().kdc_now_at = Instant(5s);
  return made;
}

struct Places {
  TempDir dir;
  StorePlaces places;
  Places() {
    places.runtime_root = dir / "run";
    places.fallback_root = dir.path();
    fs::permissions(dir.path(), fs::perms(0755));
  }
  [[nodiscard]] std::shared_ptr<CredentialCache> open(std::string_view cell = kCell) const {
    auto cache = CredentialCache::open(cell, places);
    REQUIRE_OK(cache);
    return *cache;
  }
  [[nodiscard]] fs::path fallback() const { return dir / ("troth-" + std::to_string(::geteuid())); }
  [[nodiscard]] fs::path file() const { return fallback() / (std::string(kCell) + ".cred"); }
  // A cache with something in it.
  [[nodiscard]] std::shared_ptr<CredentialCache> filled() const {
    auto cache = open();
    REQUIRE_OK(cache->replace(credentials(), kLong));
    return cache;
  }
};

unsigned mode_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

// One line that names the place and says what to do.
template <typename T>
void check_refused(const Result<T>& result, ErrorCode code, std::string_view part) {
  CHECK_FAILS(result, code);
  if (result)
    return;
  INFO(result.error().message);
  CHECK(result.error().message.find(part) != std::string::npos);
  CHECK(result.error().message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("a ticket that stands for a password typed a moment ago is never stored") {
  const Places places;
  const auto cache = places.open();
  auto held = credentials(2);
  held.push_back(ServiceSide(ticket::kAdminService).credential());  // by the TGT: for looking
  held.push_back(ServiceSide(ticket::kAdminService).credential());
  held.back().validity.initial = true;
  REQUIRE(held.size() == 4);
  REQUIRE_OK(cache->replace(held, kLong));
  const auto loaded = places.open()->load();
  REQUIRE_OK(loaded);
  CHECK(loaded->size() == 3);
  for (const ticket::Credential& credential : *loaded)
    CHECK(credential.validity.initial == (&credential == &loaded->front()));
}

TEST_CASE("credentials come back as they were, from a private file in a private directory") {
  const Places places;
  ::umask(0);
  const auto cache = places.filled();
  ::umask(022);
  CHECK(cache->where() == places.file().string());
  CHECK(mode_of(places.file()) == 0600);
  CHECK(mode_of(places.fallback()) == 0700);
  const auto loaded = places.open()->load();
  REQUIRE_OK(loaded);
  REQUIRE(loaded->size() == 1);
  const ticket::Credential& found = loaded->front();
  const ticket::Credential expected = std::move(credentials().front());
  CHECK(found.client == expected.client);
  CHECK(found.service == expected.service);
  CHECK(found.cell == kCell);
  CHECK(found.kvno == expected.kvno);
  CHECK(found.validity == expected.validity);
  CHECK(found.kdc_now == expected.kdc_now);
  CHECK(found.kdc_now_at == expected.kdc_now_at);
  CHECK(crypto::constant_time_equal(found.session_key.bytes(), expected.session_key.bytes()));
}

TEST_CASE("the user's runtime directory is used if it is his own") {
  const Places places;
  const fs::path runtime = places.dir / "run" / std::to_string(::geteuid());
  fs::create_directories(runtime);
  fs::permissions(runtime, fs::perms(0700));
  CHECK(places.open()->where() == (runtime / "troth" / (std::string(kCell) + ".cred")).string());
  fs::permissions(runtime, fs::perms(0777));
  CHECK(places.open()->where() == places.file().string());
}

TEST_CASE("nobody logged in is not a failure of the cache") {
  const Places places;
  check_refused(places.open()->load(), ErrorCode::NotFound, "troth login");
  CHECK_OK(places.open()->wipe(common::rpc::now() + test_support::kPatience));
  CHECK(fs::is_empty(places.dir.path()));
}

TEST_CASE("logging out destroys the file, its content first") {
  const Places places;
  const auto cache = places.filled();
  // A second name shows what becomes of the bytes.
  const fs::path kept = places.dir / "kept";
  fs::create_hard_link(places.file(), kept);
  fs::remove(kept);
  const UniqueFd fd(::open(places.file().c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE_OK(cache->wipe(common::rpc::now() + test_support::kPatience));
  CHECK_FALSE(fs::exists(places.file()));
  std::array<char, 4096> left{};
  const ssize_t got = ::read(fd.get(), left.data(), left.size());
  CHECK(got > 0);
  CHECK(std::all_of(left.begin(), left.end(), [](char c) { return c == 0; }));
  CHECK_FAILS(cache->load(), ErrorCode::NotFound);
}

TEST_CASE("a file that others could have read, written or planted is refused") {
  const Places places;
  const auto cache = places.filled();
  SUBCASE("readable by the group") {
    fs::permissions(places.file(), fs::perms(0640));
    check_refused(cache->load(), ErrorCode::PermissionDenied, "troth logout");
  }
  SUBCASE("a symbolic link, even to a good one") {
    fs::rename(places.file(), places.dir / "good");
    fs::create_symlink(places.dir / "good", places.file());
    check_refused(cache->load(), ErrorCode::PermissionDenied, "symbolic link");
  }
  SUBCASE("a second name") {
    fs::create_hard_link(places.file(), places.dir / "other");
    check_refused(cache->load(), ErrorCode::PermissionDenied, "second name");
  }
  SUBCASE("a FIFO, without hanging") {
    fs::remove(places.file());
    REQUIRE(::mkfifo(places.file().c_str(), 0600) == 0);
    check_refused(cache->load(), ErrorCode::PermissionDenied, "not a regular file");
  }
  SUBCASE("somebody else's") {
    if (::geteuid() != 0)
      SKIP_TEST("needs root, to give a file away");
    REQUIRE(::chown(places.file().c_str(), 65534, 65534) == 0);
    check_refused(cache->load(), ErrorCode::PermissionDenied, "belongs to uid 65534");
  }
  SUBCASE("a directory open to others") {
    fs::permissions(places.fallback(), fs::perms(0755));
    check_refused(cache->load(), ErrorCode::PermissionDenied, "chmod 700");
    check_refused(cache->lock(kLong), ErrorCode::PermissionDenied, "chmod 700");
  }
  SUBCASE("a directory of somebody else, who came first") {
    if (::geteuid() != 0)
      SKIP_TEST("needs root, to give a directory away");
    REQUIRE(::chown(places.fallback().c_str(), 65534, 65534) == 0);
    check_refused(cache->load(), ErrorCode::PermissionDenied, "TROTH_CREDENTIALS");
    check_refused(cache->lock(kLong), ErrorCode::PermissionDenied, "TROTH_CREDENTIALS");
  }
  SUBCASE("a directory that is a link to a good one") {
    fs::rename(places.fallback(), places.dir / "real");
    fs::create_directory_symlink(places.dir / "real", places.fallback());
    check_refused(cache->load(), ErrorCode::PermissionDenied, "not a directory");
  }
  SUBCASE("a directory that is a file") {
    fs::remove_all(places.fallback());
    REQUIRE_OK(test_support::write_file(places.fallback(), ""));
    check_refused(cache->load(), ErrorCode::PermissionDenied, "not a directory");
  }
}

TEST_CASE("logging in again replaces whatever lies in the file's place, and follows no link") {
  const Places places;
  const auto cache = places.filled();
  const fs::path victim = places.dir / "victim";
  REQUIRE_OK(test_support::write_file(victim, "mine"));
  fs::remove(places.file());
  fs::create_symlink(victim, places.file());
  fs::create_symlink(victim, places.file().string() + ".new");
  REQUIRE_OK(cache->replace(credentials(), kLong));
  CHECK_OK(cache->load());
  CHECK(mode_of(places.file()) == 0600);
  CHECK(test_support::read_file(victim).value() == "mine");
  CHECK_OK(cache->wipe(common::rpc::now() + test_support::kPatience));
  CHECK(test_support::read_file(victim).value() == "mine");
}

TEST_CASE("every truncation and every changed bit is noticed") {
  const Places places;
  const auto cache = places.filled();
  const std::string good = test_support::read_file(places.file()).value();
  const auto load_as = [&](const std::string& bytes) {
    REQUIRE_OK(test_support::write_file(places.file(), bytes));
    return cache->load();
  };
  for (std::size_t size = 0; size < good.size(); ++size)
    check_refused(load_as(good.substr(0, size)), ErrorCode::Corrupt, "troth login");
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    check_refused(load_as(bad), ErrorCode::Corrupt, "troth login");
  }
  check_refused(load_as(good + '\0'), ErrorCode::Corrupt, "troth login");
  check_refused(load_as(std::string(kMaxCacheBytes + 1, 'x')), ErrorCode::Corrupt, "too long");
  CHECK_OK(load_as(good));
}

TEST_CASE("credentials of another cell, or from before a restart, are told apart from damage") {
  Places places;
  places.places.variable = places.dir / "named";
  REQUIRE_OK(places.open()->replace(credentials(), kLong));
  CHECK(places.open()->where() == places.places.variable);
  check_refused(places.open("another-cell")->load(), ErrorCode::InvalidArgument,
                "for the cell " + std::string(kCell) + ", not for another-cell");
  const auto other_boot = encode_credentials(kCell, BootId{}, credentials());
  REQUIRE_OK(other_boot);
  REQUIRE_OK(test_support::write_file(places.places.variable, as_text(other_boot->bytes())));
  check_refused(places.open()->load(), ErrorCode::Expired, "started anew");
}

TEST_CASE("what cannot be kept is refused before anything is written") {
  const Places places;
  const auto cache = places.filled();
  auto many = credentials(kMaxCachedCredentials + 1);
  CHECK_FAILS(cache->replace(many, kLong), ErrorCode::InvalidArgument);
  auto foreign = credentials();
  foreign.front().cell = "another-cell";
  CHECK_FAILS(cache->replace(foreign, kLong), ErrorCode::InvalidArgument);
  auto large = credentials(kMaxCachedCredentials);
  for (auto& credential : large)
    credential.ticket.resize(ticket::kMaxTicketBytes);
  CHECK_FAILS(cache->replace(large, kLong), ErrorCode::TooLarge);
  CHECK(cache->load().value().size() == 1);
}

TEST_CASE("a name that is no place is refused") {
  Places places;
  for (const char* name : {"relative", "/ends/in/", "KEYRING"}) {
    places.places.variable = name;
    CHECK_FAILS(CredentialCache::open(kCell, places.places), ErrorCode::InvalidArgument);
  }
  CHECK_FAILS(CredentialCache::open("../x", places.places), ErrorCode::InvalidArgument);
  places.places.variable = places.dir / "open" / "file";
  fs::create_directory(places.dir / "open");
  fs::permissions(places.dir / "open", fs::perms(0777));
  check_refused(places.open()->lock(kLong), ErrorCode::PermissionDenied, "chmod 700");
}

TEST_CASE("one process at a time changes the file, and who waits gives up in time") {
  const Places places;
  const auto cache = places.open();
  auto held = cache->lock(kLong);
  REQUIRE_OK(held);
  CHECK_FAILS(places.open()->lock(rpc::now() + 30ms), ErrorCode::DeadlineExceeded);
  {
    std::thread other([&] { CHECK_OK(places.open()->lock(rpc::now() + 30s)); });
    *held = StoreLock();
    other.join();
  }
}

TEST_CASE("logging out waits for a renewal under way, whose ticket would else come after it") {
  const Places places;
  const auto cache = places.filled();
  auto held = cache->lock(kLong);
  REQUIRE_OK(held);
  std::thread leaving([&] { CHECK_OK(places.open()->wipe(rpc::now() + 30s)); });
  // Whether it waits already or begins later, it ends after this.
  CHECK_OK(cache->save(*held, credentials()));
  CHECK(fs::exists(places.file()));
  *held = StoreLock();
  leaving.join();
  CHECK_FALSE(fs::exists(places.file()));
}

TEST_CASE("a renewal that never ends does not keep the credentials from being destroyed") {
  const Places places;
  const auto cache = places.filled();
  const auto held = cache->lock(kLong);
  REQUIRE_OK(held);
  CHECK_FAILS(places.open()->wipe(rpc::now() + 30ms), ErrorCode::DeadlineExceeded);
  CHECK_FALSE(fs::exists(places.file()));
}
