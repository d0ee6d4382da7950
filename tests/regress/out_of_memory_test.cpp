// F35: memory that cannot be had, at each allocation in turn. The operation fails or succeeds, what
// was there before is unchanged, nothing leaks (the leak sanitizer looks at the end). Where a
// library ends the process instead (toml++ and nlohmann::json allocate in noexcept functions), a
// restart must find everything as it was: that is what the tests of killed processes prove.

#include "common/bytes.hpp"
#include "common/io/memory_file_io.hpp"
#include "common/wire/base64.hpp"
#include "tests/support/allocation_failure.hpp"
#include "tests/support/test.hpp"

using test_support::fail_each_allocation;

TEST_CASE("F35: the counting allocator fails exactly the chosen allocation") {
  int made = 0;
  const auto failures = fail_each_allocation(
      [&] {
        made = 0;
        for (int i = 0; i < 3; ++i) {
          // Called by name, because the compiler may leave out a new-expression.
          ::operator delete(::operator new(8));
          ++made;
        }
      },
      [&] { CHECK(made < 3); });
  CHECK(failures == 3);
  CHECK(made == 3);
}

TEST_CASE("F35: a name that cannot be decoded is refused") {
  const std::string bytes =
      "bytes \xff\xfe that are no UTF-8 and too many to be kept inside a string";
  const std::string text = common::wire::to_base64(common::as_bytes(bytes));
  std::string decoded;
  const auto failures = fail_each_allocation(
      [&] {
        const auto value = common::wire::from_base64(text);
        if (value)
          decoded = common::as_text(*value);
      },
      [&] { CHECK((decoded.empty() || decoded == bytes)); });
  CHECK(failures > 0);
  CHECK(decoded == bytes);
}

TEST_CASE("F35: a file in memory keeps its old or its new bytes") {
  common::io::MemoryFileIo files;
  auto file = files.open("name", common::io::OpenMode::ReadWriteCreate);
  REQUIRE_OK(file);
  const std::vector<std::byte> bytes(10'000, std::byte{'x'});
  std::uint64_t known = 0;
  const auto failures = fail_each_allocation(
      [&] {
        const auto at = (*file)->append(bytes);
        if (at)
          known = *at + bytes.size();
      },
      [&] {
        const auto size = (*file)->size();
        CHECK_OK(size);
        CHECK(size.value_or(1) % bytes.size() == 0);
      });
  CHECK(failures > 0);
  CHECK((*file)->size().value_or(0) == known);
}
