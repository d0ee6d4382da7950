#include "tests/support/temp_dir.hpp"

#include "tests/support/test.hpp"

using test_support::TempDir;

TEST_CASE("a temporary directory is new, empty, and gone afterwards with all it holds") {
  std::filesystem::path path;
  {
    const TempDir directory;
    const TempDir other;
    path = directory.path();
    CHECK(other.path() != path);
    CHECK(std::filesystem::is_empty(path));
    std::filesystem::create_directories(directory / "a/b");
    CHECK_OK(test_support::write_file(directory / "a/b/c", "text"));
    CHECK(test_support::read_file(directory / "a/b/c").value_or("") == "text");
  }
  CHECK(!std::filesystem::exists(path));
}

TEST_CASE("an empty file reads as nothing and a missing one fails") {
  const TempDir directory;
  CHECK_OK(test_support::write_file(directory / "empty", ""));
  const auto empty = test_support::read_file(directory / "empty");
  REQUIRE_OK(empty);
  CHECK(empty->empty());
  CHECK_FAILS(test_support::read_file(directory / "missing"), common::ErrorCode::NotFound);
  CHECK(!test_support::write_file(directory / "no/such/place", "x"));
}
