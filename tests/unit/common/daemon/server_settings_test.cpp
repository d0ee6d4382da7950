#include "common/daemon/server_settings.hpp"

#include "tests/support/test.hpp"

using common::ErrorCode;
using namespace common::daemon;

namespace {

constexpr const char* kGood = R"(
[server]
name = "kdc1"
role = "kdc"
listen = "127.0.0.1:7480"
health_listen = "127.0.0.1:7490"
data_dir = "data"
[tls]
certificate = "server.crt"
key = "server.key"
ca = "../ca/ca.crt"
[limits]
connections = 100
)";

struct Loaded {
  ServerSettings settings;
  common::config::Schema schema;
  common::Status status;

  explicit Loaded(const std::string& text) {
    settings.listen = {"127.0.0.1", 7480};
    settings.health_listen = {"127.0.0.1", 7490};
    settings.declare(schema, "kdc");
    status = schema.load_text("/cell/kdc/troth-kdc.toml", text, {});
    if (status)
      status = settings.check(schema);
  }
};

std::string with(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("a server's configuration is read, paths from the file's directory") {
  const Loaded loaded(kGood);
  REQUIRE_OK(loaded.status);
  CHECK(loaded.settings.name == "kdc1");
  CHECK(loaded.settings.data_dir == "/cell/kdc/data");
  CHECK(loaded.settings.certificate == "/cell/kdc/server.crt");
  CHECK(loaded.settings.ca == "/cell/ca/ca.crt");
  CHECK(loaded.settings.connections == 100);
  CHECK(loaded.settings.threads == 256);
}

TEST_CASE("a file of another role is refused") {
  const Loaded loaded(with(kGood, "role = \"kdc\"", "role = \"lockserver\""));
  CHECK_FAILS(loaded.status, ErrorCode::InvalidArgument);
  CHECK(loaded.status.error().message ==
        "/cell/kdc/troth-kdc.toml:4:8: [server] role is \"lockserver\"; expected \"kdc\"");
}

TEST_CASE("names to listen on and one port for two listeners are refused") {
  CHECK(Loaded(with(kGood, "127.0.0.1:7480", "localhost:7480"))
            .status.error()
            .message.find("expected a numeric address") != std::string::npos);
  CHECK_FAILS(Loaded(with(kGood, "127.0.0.1:7490", "127.0.0.1:7480")).status,
              ErrorCode::InvalidArgument);
  CHECK_OK(Loaded(with(kGood, "127.0.0.1:7480", "[::1]:0")).status);
}

TEST_CASE("loopback addresses are known as such") {
  for (const char* address : {"127.0.0.1", "127.9.9.9", "::1"})
    CHECK(is_loopback_address(address));
  for (const char* address : {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost", ""}) {
    CHECK_FALSE(is_loopback_address(address));
  }
}
