// A load that is killed: at each place where it has just told the kernel something.

#include <sys/wait.h>
#include <unistd.h>

#include "common/failpoint/failpoint.hpp"
#include "dump_fixture.hpp"

namespace {

using namespace test_support;  // every name of it is a word of this test
using dump::What;

// Runs `work` in a process of its own, which the failpoint kills; false if it came to its end.
template <typename Work>
bool is_killed(const std::string& failpoint, Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto armed = common::failpoint::arm(failpoint);
    ::_exit(armed && work() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status))
    return true;
  CHECK(WEXITSTATUS(status) == 0);
  return false;
}

// Loads `bytes` as far as `keep` says of what was there.
bool load_once(Source& source, const Bytes& bytes, bool keep) {
  dump::LoadOptions into = source.into();
  into.keep_partial = keep;
  auto loader = dump::Loader::into_new(source.path("copy"), into, source.clock);
  if (!loader)
    return false;
  if (!(*loader)->position().empty()) {
    // Whoever has the dump as a file begins anew; a volume would go on from there.
    return feed_all(**loader, bytes).has_value();
  }
  return feed_all(**loader, bytes).has_value();
}

TEST_CASE("a load that is killed at any write leaves no half volume, and can be begun again") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("no failpoints in this build");
  Source source(7);
  source.steps(40);
  dump::DumpOptions how = source.how();
  how.position_every = 60'000;
  const auto bytes = dump_all(*source.volume, how, source.clock);
  REQUIRE_OK(bytes);
  const Seq at = source.volume->visible_seq();
  REQUIRE_OK(source.volume->close());
  source.driver.reset();
  source.volume.reset();
  int kills = 0;
  for (const std::string place :
       {"store.load.before_rows", "store.load.after_rows", "store.load.before_blocks",
        "store.load.after_blocks", "segments.append.before_write", "segments.append.after_write",
        "store.sync.before_segments", "dump.load.before_position", "dump.load.before_rename"}) {
    for (int hit = 1; hit < 200; hit += hit < 3 ? 1 : 5) {
      CAPTURE(place);
      CAPTURE(hit);
      const std::string failpoint = place + "=kill@" + std::to_string(hit);
      if (!is_killed(failpoint, [&] { return load_once(source, *bytes, hit % 2 == 0); })) {
        std::filesystem::remove_all(source.path("copy"));
        break;
      }
      ++kills;
      CHECK(!std::filesystem::exists(source.path("copy")));
      CHECK(load_once(source, *bytes, hit % 2 == 0));
      auto opened = store::Volume::open(source.path("copy"), source.into().volume, source.clock);
      REQUIRE_OK(opened);
      CHECK((*opened)->last_seq() == at);
      opened->reset();
      std::filesystem::remove_all(source.path("copy"));
    }
  }
  CHECK(kills > 12);
}

TEST_CASE("a load of commits that is killed leaves a copy that stands at one of them") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("no failpoints in this build");
  Source source(8);
  source.steps(20);
  const auto whole = dump_all(*source.volume, source.how(), source.clock);
  REQUIRE_OK(whole);
  REQUIRE_OK(load_new(source.path("copy"), *whole, source.into(), source.clock));
  const Seq from = source.volume->visible_seq();
  source.steps(25);
  dump::DumpOptions how = source.how(What::Commits);
  how.from = from;
  const auto bytes = dump_all(*source.volume, how, source.clock);
  REQUIRE_OK(bytes);
  const auto expected =
      dump::image_digest(*source.volume, source.volume->visible_seq(), store::ImageScope::History);
  REQUIRE_OK(source.volume->close());
  source.driver.reset();
  source.volume.reset();
  const auto load = [&]() -> bool {
    auto copy = store::Volume::open(source.path("copy"), source.into().volume, source.clock);
    if (!copy)
      return false;
    const auto loader = dump::Loader::onto(**copy, source.into(), source.clock);
    return loader && feed_all(**loader, *bytes) && (*copy)->close();
  };
  int kills = 0;
  while (is_killed("store.redo.before_commit=kill@4", load))
    REQUIRE(++kills < 200);
  CHECK(kills > 3);
  auto copy = store::Volume::open(source.path("copy"), source.into().volume, source.clock);
  REQUIRE_OK(copy);
  const auto digest = dump::image_digest(**copy, (*copy)->last_seq(), store::ImageScope::History);
  REQUIRE_OK(digest);
  CHECK((*digest == *expected));
}

}  // namespace
