// Making and deleting volumes, killed at every step: in a child of ours, whose directory is then
// opened here.

#include <sys/wait.h>
#include <unistd.h>

#include "common/failpoint/failpoint.hpp"
#include "tests/unit/fileserver/volumes/volume_set_fixture.hpp"

using test_support::VolumeSetFixture;

namespace {

// Runs `what` in a child with this plan; true if the plan killed it.
template <typename F>
bool killed(const std::string& plan, F&& what) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (!common::failpoint::arm(plan))
      ::_exit(2);
    what();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) {
    CHECK(WEXITSTATUS(status) == 0);
    return false;
  }
  CHECK(WTERMSIG(status) == SIGKILL);
  return true;
}

constexpr std::string_view kCreatePlaces[] = {
    "registry.change.before_stable",  "volumes.create.after_row",
    "volumes.create.after_directory", "volumes.create.after_volume",
    "volumes.create.before_there",    "store.commit.before_commit",
    "store.commit.before_reply",      "store.reserve.before_stable"};
constexpr std::string_view kRemovePlaces[] = {
    "registry.change.before_stable", "volumes.remove.after_row", "volumes.remove.after_files"};
// Each place is met a few times.
constexpr int kMostHits = 8;

}  // namespace

TEST_CASE("a volume whose making is killed is there whole, or not at all") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  int kills = 0;
  for (const std::string_view place : kCreatePlaces) {
    for (int hit = 1; hit <= kMostHits; ++hit) {
      VolumeSetFixture fixture;
      fileserver::VolumeSet::Creation wanted;
      wanted.name = "made";
      wanted.sealed = hit % 2 == 0;
      const bool dead = killed(fmt::format("{}=kill@{}", place, hit), [&] {
        auto set = fileserver::VolumeSet::open(fixture.options, fixture.clock);
        if (!set || !(*set)->create(wanted))
          ::_exit(3);
      });
      if (!dead)
        break;
      ++kills;
      INFO(place << " " << hit);
      fixture.start();
      const auto entry = fixture.set->find("made");
      if (entry) {
        CHECK_OK(fixture.use(entry->id)->attributes(fileserver::store::kRootNode));
      } else {
        CHECK(test_support::entries_of(fixture.directory / "volumes") == 0);
        CHECK(test_support::entries_of(fixture.directory / "volume-keys") == 0);
        fixture.make("made", wanted.sealed);
      }
    }
  }
  CHECK(kills >= 8);
}

TEST_CASE("a volume whose deleting is killed is there whole, or not at all") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  int kills = 0;
  for (const std::string_view place : kRemovePlaces) {
    for (int hit = 1; hit <= kMostHits; ++hit) {
      VolumeSetFixture fixture;
      fixture.start();
      const auto id = fixture.make("goes")->id;
      fixture.make_file(fixture.use(id), "kept");
      fixture.stop();
      const bool dead = killed(fmt::format("{}=kill@{}", place, hit), [&] {
        auto set = fileserver::VolumeSet::open(fixture.options, fixture.clock);
        if (!set || !(*set)->remove(id, fixture.soon()))
          ::_exit(3);
      });
      if (!dead)
        break;
      ++kills;
      INFO(place << " " << hit);
      fixture.start();
      if (fixture.set->entry(id)) {
        CHECK_OK(fixture.use(id)->lookup(fileserver::store::kRootNode, "kept"));
      } else {
        CHECK(test_support::entries_of(fixture.directory / "volumes") == 0);
        fixture.make("goes");
      }
    }
  }
  CHECK(kills >= 4);
}
