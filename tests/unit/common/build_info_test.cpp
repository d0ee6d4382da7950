#include "common/build_info.hpp"

#include <algorithm>

#include "tests/support/test.hpp"

TEST_CASE("every library has a version and says where it came from") {
  const auto all = common::libraries();
  CHECK(all.size() >= 10);
  for (const auto& library : all) {
    CAPTURE(library.name);
    CHECK_FALSE(library.name.empty());
    CHECK_FALSE(library.built_with.empty());
    CHECK(library.built_with != "undefined");
    CHECK((library.origin == "system package" || library.origin.starts_with("subproject: ")));
  }
}

TEST_CASE("libraries come sorted and once each") {
  const auto all = common::libraries();
  CHECK(std::is_sorted(all.begin(), all.end(),
                       [](const auto& a, const auto& b) { return a.name < b.name; }));
  CHECK(std::adjacent_find(all.begin(), all.end(), [](const auto& a, const auto& b) {
          return a.name == b.name;
        }) == all.end());
}

TEST_CASE("the libraries that we build ourselves are listed") {
  const auto all = common::libraries();
  for (const char* name : {"cpp-httplib", "libfuse", "openssl", "sqlite3"}) {
    CAPTURE(name);
    CHECK(std::any_of(all.begin(), all.end(),
                      [&](const auto& library) { return library.name == name; }));
  }
}

TEST_CASE("compiler and kind of build are known") {
  CHECK(common::compiler().find(' ') != std::string::npos);
  CHECK_FALSE(common::build_kind().empty());
}
