// One bit of one file changes: it is noticed, nothing else is served, and no older state comes
// back.

#include "tests/support/store_flip.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using test_support::FlipOutcome;
using test_support::FlipState;
using test_support::FlipVolume;

namespace {

// A prime, so that over the files every place within a page or record has its turn.
constexpr std::uint64_t kStride = 2003;

void flip_some(FlipState state) {
  const test_support::TempDir directory;
  const FlipVolume volume(directory.path().string(), state);
  std::uint64_t seen = 0;
  std::uint64_t unused = 0;
  // After a power loss the database's own file is judged as after a kill.
  const std::uint64_t first = state == FlipState::PowerLost ? volume.database_bytes() : 0;
  for (std::uint64_t byte = first; byte < volume.bytes(); byte += kStride) {
    const FlipVolume::Flip flip = volume.flip(byte, static_cast<unsigned>(byte % 8), true);
    CAPTURE(flip.file);
    CAPTURE(flip.offset);
    CHECK_MESSAGE(flip.outcome != FlipOutcome::Wrong, flip.why);
    CHECK_MESSAGE(flip.outcome != FlipOutcome::Older, flip.why);
    (flip.outcome == FlipOutcome::Unused ? unused : seen) += 1;
  }
  CHECK(seen > unused);
}

}  // namespace

TEST_CASE("F13: fsck names each damaged byte of a segment, its header's too") {
  const test_support::TempDir directory;
  const FlipVolume volume(directory.path().string(), FlipState::Closed);
  // Segments come last; of this volume there is one.
  for (std::uint64_t byte = volume.bytes() - 1;;) {
    const FlipVolume::Flip flip = volume.flip(byte, static_cast<unsigned>(byte % 8), true);
    CAPTURE(flip.offset);
    REQUIRE(flip.file.ends_with(".seg"));
    CHECK(flip.outcome != FlipOutcome::Unused);
    if (flip.offset == 0)
      break;
    byte -= flip.offset > 70 ? 7 : 1;
  }
}

TEST_CASE("F13, F10: no flipped bit of a closed volume goes unnoticed or gets served") {
  flip_some(FlipState::Closed);
}

TEST_CASE("F13, F10: no flipped bit of a killed volume brings an older state back") {
  flip_some(FlipState::Killed);
}

TEST_CASE("F13, F3: nor does one after a power loss") {
  flip_some(FlipState::PowerLost);
}
