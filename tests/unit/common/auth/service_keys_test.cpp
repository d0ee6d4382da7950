#include "common/auth/service_keys.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/unique_fd.hpp"
#include "common/log/log.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/common/ticket/small_cell.hpp"

using namespace common;
using namespace common::auth;
using namespace std::chrono_literals;
using test_support::TempDir;
using ticket_test::channel_of;
using ticket_test::kCell;
using ticket_test::keytab_of;
using ticket_test::kService;
using ticket_test::ServiceSide;

namespace {

Result<std::shared_ptr<ServiceKeys>> load(const std::string& path, const Clock& clock) {
  return ServiceKeys::load(path, std::string(kCell), std::string(kService), clock);
}

}  // namespace

TEST_CASE("a keytab that is missing, another's or open to others is named, with what to do") {
  const TempDir dir;
  const ManualClock clock;
  const std::string path = dir / "keytab";
  CHECK_FAILS(load(path, clock), ErrorCode::NotFound);
  CHECK(load(path, clock).error().message.find("troth service keytab " + std::string(kService)) !=
        std::string::npos);
  REQUIRE_OK(ticket::save_keytab(keytab_of("fileserver/other", 1), path));
  CHECK_FAILS(load(path, clock), ErrorCode::InvalidArgument);
  REQUIRE_OK(ticket::save_keytab(keytab_of(kService, 1, 1, "another-cell"), path));
  CHECK_FAILS(load(path, clock), ErrorCode::InvalidArgument);
  REQUIRE_OK(ticket::save_keytab(keytab_of(kService, 1), path));
  CHECK_OK(load(path, clock));
  CHECK_OK(ServiceKeys::check(path, std::string(kCell), std::string(kService)));
  REQUIRE(::chmod(path.c_str(), 0640) == 0);
  CHECK_FAILS(load(path, clock), ErrorCode::PermissionDenied);
}

TEST_CASE("a ticket for a newer key makes the file be read again, but not too often") {
  const TempDir dir;
  const std::string path = dir / "keytab";
  REQUIRE_OK(ticket::save_keytab(keytab_of(kService, 1), path));
  ServiceSide old_side;
  ServiceSide new_side(kService, 2, 2);
  ManualClock& clock = old_side.clock;
  const auto keys = load(path, clock);
  REQUIRE_OK(keys);
  const auto accept = [&](const ServiceSide& side) {
    const Bytes request = side.request(side.credential(), channel_of(1));
    (*keys)->look_again_for(request);
    return (*keys)->verifier()->accept(request, channel_of(1));
  };
  CHECK_OK(accept(old_side));
  CHECK_REFUSED(accept(new_side));  // looked, and it was not there
  ticket::Keytab both = keytab_of(kService, 1);
  REQUIRE_OK(both.add(2, ticket_test::key_of(2)));
  REQUIRE_OK(ticket::save_keytab(both, path));
  CHECK_REFUSED(accept(new_side));  // a stranger's kvno does not make us read at his pace
  clock.advance(kLookAgain);
  new_side.clock.advance(kLookAgain);
  CHECK_OK(accept(new_side));
  CHECK_OK(accept(old_side));

  // A file that is damaged later changes nothing.
  REQUIRE_OK(test_support::write_file(path, "damaged"));
  CHECK_FAILS((*keys)->reload(), ErrorCode::Corrupt);
  CHECK_OK(accept(old_side));
  CHECK_OK(accept(new_side));
}

TEST_CASE("no request makes the file be read that is no newer ticket's") {
  const TempDir dir;
  const std::string path = dir / "keytab";
  REQUIRE_OK(ticket::save_keytab(keytab_of(kService, 1), path));
  const ServiceSide side;
  const auto keys = load(path, side.clock);
  REQUIRE_OK(keys);
  REQUIRE_OK(ticket::save_keytab(keytab_of(kService, 3, 3), path));
  const Bytes request = side.request(side.credential(), channel_of(1));
  (*keys)->look_again_for({});
  (*keys)->look_again_for(ByteView(request).first(request.size() / 2));
  (*keys)->look_again_for(request);
  CHECK_OK((*keys)->verifier()->accept(request, channel_of(1)));
  REQUIRE_OK((*keys)->reload());
  CHECK_REFUSED((*keys)->verifier()->accept(request, channel_of(1)));
}

TEST_CASE("a ticket that no key here opens is a line in the log, now and then") {
  const TempDir dir;
  const std::string path = dir / "keytab";
  ServiceSide ours;
  ServiceSide strangers(kService, 2, 1);     // another key under the same number
  ServiceSide newer(kService, 3, 7);         // a number that is not in the keytab
  ServiceSide other("fileserver/other", 4);  // another service's
  ManualClock& clock = ours.clock;
  ticket::Keytab keytab = keytab_of(kService, 1);
  REQUIRE_OK(keytab.add(2, ticket_test::key_of(5)));
  REQUIRE_OK(ticket::save_keytab(keytab, path));
  const auto keys = load(path, clock);
  REQUIRE_OK(keys);
  const common::UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  REQUIRE(file.valid());
  // What was written for this request.
  const auto logged = [&](const ServiceSide& side, bool broken_proof = false) {
    Bytes request = side.request(side.credential(), channel_of(1));
    if (broken_proof)
      request.back() ^= std::byte{1};
    REQUIRE(::ftruncate(file.get(), 0) == 0);
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
    common::log::configure({.fd = file.get()});
    (*keys)->note_refused(request, "192.0.2.7");
    common::log::configure({});
    std::string text(8192, '\0');
    const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  };
  CHECK(logged(other).empty());
  CHECK(logged(ours, true).empty());  // it opens; only the proof is wrong
  const std::string wrong = logged(strangers);
  CHECK(wrong.find("not sealed with our key") != std::string::npos);
  CHECK(wrong.find("192.0.2.7") != std::string::npos);
  CHECK(wrong.find(path) != std::string::npos);
  for (int i = 0; i < 3; ++i)
    CHECK(logged(newer).empty());
  clock.advance(kTellAgain);
  const std::string missing = logged(newer);
  CHECK(missing.find("no key of that number") != std::string::npos);
  CHECK(missing.find("key=7") != std::string::npos);
  CHECK(missing.find("others_held_back=3") != std::string::npos);
}
