#include "common/config/values.hpp"

#include "tests/support/test.hpp"

using namespace common::config;
using namespace std::chrono_literals;

TEST_CASE("durations: accepted") {
  struct Case {
    const char* text;
    std::chrono::milliseconds value;
    const char* shown;
  };
  for (const Case& c :
       {Case{"0s", 0ms, "0ms"}, Case{"500ms", 500ms, "500ms"}, Case{"30s", 30s, "30s"},
        Case{"90s", 90s, "90s"}, Case{"120s", 2min, "2m"}, Case{"5m", 5min, "5m"},
        Case{"2h", 2h, "2h"}, Case{"7d", 168h, "7d"}, Case{"36h", 36h, "36h"}}) {
    CAPTURE(c.text);
    const auto parsed = parse_duration(c.text);
    REQUIRE_OK(parsed);
    CHECK(*parsed == c.value);
    CHECK(format_duration(*parsed) == c.shown);
  }
}

TEST_CASE("durations: refused") {
  for (const char* text : {"", "30", "s", "30 s", "-5s", "+5s", "1.5s", "30S", "30sec", "30s ",
                           " 30s", "0x10s", "99999999999999999999s", "1000000000000000d"}) {
    CAPTURE(text);
    CHECK_FAILS(parse_duration(text), common::ErrorCode::InvalidArgument);
  }
}

TEST_CASE("sizes: accepted") {
  struct Case {
    const char* text;
    std::uint64_t value;
    const char* shown;
  };
  for (const Case& c :
       {Case{"0B", 0, "0B"}, Case{"512B", 512, "512B"}, Case{"64KiB", 65536, "64KiB"},
        Case{"1024KiB", 1 << 20, "1MiB"}, Case{"10MiB", 10 << 20, "10MiB"},
        Case{"2GiB", 2ULL << 30, "2GiB"}, Case{"1TiB", 1ULL << 40, "1TiB"},
        Case{"1kB", 1000, "1000B"}, Case{"3MB", 3'000'000, "3000000B"},
        Case{"1GB", 1'000'000'000, "1000000000B"}}) {
    CAPTURE(c.text);
    const auto parsed = parse_size(c.text);
    REQUIRE_OK(parsed);
    CHECK(*parsed == c.value);
    CHECK(format_size(*parsed) == c.shown);
  }
}

TEST_CASE("sizes: refused") {
  for (const char* text : {"", "64", "KiB", "64 KiB", "-1B", "1.5GiB", "64K", "64kib", "64KB",
                           "64MIB", "1PiB", "99999999999999999999B", "9000000TiB"}) {
    CAPTURE(text);
    CHECK_FAILS(parse_size(text), common::ErrorCode::InvalidArgument);
  }
}

TEST_CASE("endpoints: accepted") {
  struct Case {
    const char* text;
    const char* host;
    int port;
  };
  for (const Case& c : {Case{"127.0.0.1:7480", "127.0.0.1", 7480}, Case{"[::1]:1", "::1", 1},
                        Case{"kdc.example.org:65535", "kdc.example.org", 65535},
                        Case{"[fe80::1%eth0]:80", nullptr, 0}, Case{"0.0.0.0:80", "0.0.0.0", 80}}) {
    CAPTURE(c.text);
    const auto parsed = parse_endpoint(c.text);
    if (c.host == nullptr) {
      CHECK_FAILS(parsed, common::ErrorCode::InvalidArgument);
      continue;
    }
    REQUIRE_OK(parsed);
    CHECK(parsed->host == c.host);
    CHECK(parsed->port == c.port);
    CHECK(format_endpoint(*parsed) == c.text);
  }
}

TEST_CASE("endpoints: refused") {
  for (const char* text : {"", "127.0.0.1", ":7480", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                           "127.0.0.1:-1", "127.0.0.1:80x", "::1:7480", "[::1]", "[::1:7480",
                           "[]:80", "[kdc]:80", "a b:80", "a/b:80", "host\n:80", "http://x:80"}) {
    CAPTURE(text);
    CHECK_FAILS(parse_endpoint(text), common::ErrorCode::InvalidArgument);
  }
  CHECK_OK(parse_endpoint("127.0.0.1:0", PortZero::Allowed));
  CHECK_FAILS(parse_endpoint("127.0.0.1:", PortZero::Allowed), common::ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_endpoint(std::string(300, 'a') + ":80"), common::ErrorCode::InvalidArgument);
}

TEST_CASE("whole numbers: accepted and refused") {
  CHECK(parse_integer("0").value_or(-1) == 0);
  CHECK(parse_integer("-12").value_or(0) == -12);
  CHECK(parse_integer("1_000").value_or(0) == 1000);
  for (const char* text :
       {"", "1.0", "1e3", "0x1", "_1", "1_", "1__0", "1 ", "9223372036854775808"}) {
    CAPTURE(text);
    CHECK_FAILS(parse_integer(text), common::ErrorCode::InvalidArgument);
  }
}

TEST_CASE("the word that was meant is found, and nothing far-fetched") {
  const std::vector<std::string> words{"listen", "health_listen", "name", "role", "data_dir"};
  CHECK(closest_word("lisetn", words) == "listen");
  CHECK(closest_word("listne", words) == "listen");
  CHECK(closest_word("datadir", words) == "data_dir");
  CHECK(closest_word("rol", words) == "role");
  CHECK(closest_word("healthlisten", words) == "health_listen");
  CHECK(closest_word("port", words).empty());
  CHECK(closest_word("", words).empty());
  CHECK(closest_word(std::string(1'000'000, 'x'), words).empty());
}
