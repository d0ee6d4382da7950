#include "tests/support/store_round.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace test_support;

namespace {

common::Status round_of(std::uint64_t seed, int sequences, bool crowd) {
  const TempDir directory;
  RoundOptions options;
  options.seed = seed;
  options.sequences = sequences;
  options.directory = directory.path();
  options.crowd = crowd;
  RoundCounts counts;
  return run_store_round(options, counts);
}

}  // namespace

TEST_CASE("a volume does what the model does, now and at earlier seqs, and so does a copy") {
  for (const std::uint64_t seed : {1U, 2U})
    CHECK_OK(round_of(seed, 6, false));
}

TEST_CASE("threads on one volume get in each other's way nowhere") {
  CHECK_OK(round_of(4, 30, true));
}

TEST_CASE("the model of bytes: holes, what counts as allocated, copies") {
  ModelBytes bytes;
  bytes.resize(store::kBlockBytes * 3);
  CHECK(bytes.allocated(0) == 0);
  const Bytes one(1, std::byte{1});
  bytes.write(store::kBlockBytes + 5, one);
  CHECK(bytes.allocated(0) == store::kBlockBytes);
  const ModelBytes copy = bytes;
  bytes.zero(store::kBlockBytes, 10);
  CHECK(bytes.allocated(0) == 0);
  CHECK(copy.read(store::kBlockBytes + 5, 1) == one);
  bytes.write(10, one);
  bytes.resize(11);
  bytes.resize(200);
  CHECK(bytes.read(9, 3) == Bytes{std::byte{0}, std::byte{1}, std::byte{0}});
  CHECK(bytes.allocated(0) == 200);
  CHECK(bytes.allocated(200) == 200);
}
