#include "common/config/schema.hpp"

#include "tests/support/test.hpp"

using namespace common::config;
using namespace std::chrono_literals;
using common::ErrorCode;

namespace {

enum class Color : std::uint8_t { Red, Green };

// One setting of every type, as a program would declare them.
struct Example {
  std::string name;
  std::string key_file = "key.pem";
  Endpoint listen{"127.0.0.1", 7480};
  std::uint32_t connections = 100;
  std::chrono::milliseconds idle = 30s;
  std::uint64_t cache = 64 << 20;
  bool sync = true;
  Color color = Color::Red;
  Schema schema;

  Example() {
    schema.section("server", "What this server is.")
        .text("name", &name, "Its name.", Presence::Required)
        .endpoint("listen", &listen, "Where it listens.")
        .path("key_file", &key_file, "Its key.");
    schema.section("limits", "What it takes on.")
        .integer("connections", &connections, {1, 1000}, "Connections in all.")
        .duration("idle", &idle, {1s, 1h}, "How long a quiet connection is kept.")
        .size("cache", &cache, {1 << 20, 1ULL << 30}, "Memory for the cache.")
        .boolean("sync", &sync, "Whether writes are synced.")
        .choice("color", &color, {{"red", Color::Red}, {"green", Color::Green}}, "A colour.");
  }
  common::Status load(std::string_view text, const Environment& environment = {}) {
    return schema.load_text("/etc/troth/x.toml", text, environment);
  }
  std::string error(std::string_view text, const Environment& environment = {}) {
    const auto status = load(text, environment);
    REQUIRE_FALSE(status.has_value());
    CHECK(status.error().code == ErrorCode::InvalidArgument);
    CHECK(status.error().message.find('\n') == std::string::npos);
    return status.error().message;
  }
};

}  // namespace

TEST_CASE("a whole file is read, each value in its type") {
  Example x;
  REQUIRE_OK(x.load(R"(
[server]
name = "kdc1"
listen = "[::1]:7000"
key_file = "keys/../server.key"
[limits]
connections = 1_000
idle = "2m"
cache = "512MiB"
sync = false
color = "green"
)"));
  CHECK(x.name == "kdc1");
  CHECK(x.listen == Endpoint{"::1", 7000});
  CHECK(x.key_file == "/etc/troth/server.key");
  CHECK(x.connections == 1000);
  CHECK(x.idle == 2min);
  CHECK(x.cache == 512ULL << 20);
  CHECK_FALSE(x.sync);
  CHECK(x.color == Color::Green);
  CHECK(x.schema.origin("server", "listen") == "/etc/troth/x.toml:4:10: [server] listen");
}

TEST_CASE("what is not given keeps its default") {
  Example x;
  REQUIRE_OK(x.load("[server]\nname = 'a'\n"));
  CHECK(x.connections == 100);
  CHECK(x.listen == Endpoint{"127.0.0.1", 7480});
  CHECK(x.key_file == "key.pem");
  CHECK(x.schema.origin("limits", "connections") == "[limits] connections (default)");
}

TEST_CASE("the environment wins over the file, for every type") {
  Example x;
  REQUIRE_OK(x.load("[server]\nname = 'a'\n[limits]\nconnections = 5\n",
                    {{"TROTH_SERVER_NAME", "b"},
                     {"TROTH_SERVER_LISTEN", "10.0.0.1:99"},
                     {"TROTH_SERVER_KEY_FILE", "/k"},
                     {"TROTH_LIMITS_CONNECTIONS", "7"},
                     {"TROTH_LIMITS_IDLE", "3s"},
                     {"TROTH_LIMITS_CACHE", "2MiB"},
                     {"TROTH_LIMITS_SYNC", "false"},
                     {"TROTH_LIMITS_COLOR", "green"}}));
  CHECK(x.name == "b");
  CHECK(x.listen == Endpoint{"10.0.0.1", 99});
  CHECK(x.key_file == "/k");
  CHECK(x.connections == 7);
  CHECK(x.idle == 3s);
  CHECK(x.cache == 2U << 20);
  CHECK_FALSE(x.sync);
  CHECK(x.color == Color::Green);
  CHECK(x.schema.origin("limits", "connections") == "TROTH_LIMITS_CONNECTIONS");
}

TEST_CASE("the environment alone is enough, and other programs' variables are none of ours") {
  Example x;
  REQUIRE_OK(x.schema.load("", {{"TROTH_SERVER_NAME", "b"}, {"TROTH_RUNTIME_DIR", "/run/x"}}));
  CHECK(x.name == "b");
}

TEST_CASE("an unknown key or section says where, and what was probably meant") {
  Example x;
  CHECK(x.error("[server]\nname = 'a'\nlisetn = 'b'\n") ==
        "/etc/troth/x.toml:3:10: unknown key \"lisetn\" in [server]; did you mean \"listen\"?");
  CHECK(x.error("[server]\nname = 'a'\nport = 1\n") ==
        "/etc/troth/x.toml:3:8: unknown key \"port\" in [server]; expected one of name, listen, "
        "key_file");
  CHECK(x.error("[servre]\nname = 'a'\n") ==
        "/etc/troth/x.toml:1:1: unknown section [servre]; did you mean \"server\"?");
  CHECK(x.error("name = 'a'\n") ==
        "/etc/troth/x.toml:1:8: \"name\" stands outside every section; expected it below one of "
        "[server], [limits]");
  CHECK(x.error("server = 'a'\n") ==
        "/etc/troth/x.toml:1:10: \"server\" must be a section, written [server]");
  CHECK(x.error("[[server]]\nname = 'a'\n").ends_with("must be a section, written [server]"));
  CHECK(x.error("[server.more]\nname = 'a'\n").find("unknown key \"more\"") != std::string::npos);
}

TEST_CASE("a secret in the configuration is refused for what it is") {
  Example x;
  const std::string error = x.error("[server]\nname = 'a'\npassword = 'hunter2'\n");
  CHECK(error.ends_with("secrets do not belong in the configuration: name a file instead"));
  CHECK(error.find("hunter2") == std::string::npos);
}

TEST_CASE("a wrong value says where, what it is and what was expected") {
  Example x;
  const auto limits = [&](const std::string& line) {
    const std::string error = x.error("[server]\nname = 'a'\n[limits]\n" + line + "\n");
    CHECK(error.starts_with("/etc/troth/x.toml:4:"));
    return error.substr(error.find(": ") + 2);
  };
  CHECK(limits("connections = 0") ==
        "[limits] connections is 0; expected a whole number from 1 to 1000");
  CHECK(limits("connections = 1001") ==
        "[limits] connections is 1001; expected a whole number from 1 to 1000");
  CHECK(limits("connections = '5'") ==
        "[limits] connections is \"5\"; expected a whole number from 1 to 1000");
  CHECK(limits("connections = 5.0") ==
        "[limits] connections is 5; expected a whole number from 1 to 1000");
  CHECK(limits("connections = [1]") ==
        "[limits] connections is a list; expected a whole number from 1 to 1000");
  CHECK(limits("connections = 2026-01-01") ==
        "[limits] connections is a date or time; expected a whole number from 1 to 1000");
  CHECK(limits("idle = 30") ==
        "[limits] idle is 30; expected a duration with its unit, from 1s to 1h, such as \"1h\"");
  CHECK(limits("idle = '2h'").starts_with("[limits] idle is \"2h\"; expected a duration"));
  CHECK(limits("idle = '500ms'").starts_with("[limits] idle is \"500ms\"; expected a duration"));
  CHECK(limits("cache = '1KiB'").starts_with("[limits] cache is \"1KiB\"; expected a size"));
  CHECK(limits("cache = 1048576").starts_with("[limits] cache is 1048576; expected a size"));
  CHECK(limits("sync = 'yes'") == "[limits] sync is \"yes\"; expected true or false");
  CHECK(limits("sync = 1") == "[limits] sync is 1; expected true or false");
  CHECK(limits("color = 'gren'") ==
        "[limits] color is \"gren\"; expected \"red\" or \"green\"; did you mean \"green\"?");
  CHECK(limits("color = 'mauve'") == "[limits] color is \"mauve\"; expected \"red\" or \"green\"");
}

TEST_CASE("wrong text, paths and addresses are refused") {
  Example x;
  for (const char* line :
       {"name = ''", "name = 5", "name = \"a\\nb\"", "name = \"a\\u0000b\"",
        "name = 'a'\nkey_file = ''", "name = 'a'\nkey_file = true",
        "name = 'a'\nkey_file = \"a\\u0000b\"", "name = 'a'\nlisten = '127.0.0.1'",
        "name = 'a'\nlisten = 7480", "name = 'a'\nlisten = '127.0.0.1:0'"}) {
    CAPTURE(line);
    CHECK_FAILS(x.load(std::string("[server]\n") + line + "\n"), ErrorCode::InvalidArgument);
  }
  CHECK_FAILS(x.load("[server]\nname = '" + std::string(2000, 'a') + "'\n"),
              ErrorCode::InvalidArgument);
}

TEST_CASE("a wrong value cannot forge or flood the message") {
  Example x;
  const std::string error =
      x.error("[server]\nname = 'a'\nlisten = \"" + std::string(500, 'y') + "\\n\\u001b[2J\"\n");
  CHECK(error.size() < 300);
  CHECK(x.error("[server]\nname = 'a'\nlisten = \"a\\n\\u001bb\"\n").find("a\\n\\x1bb") !=
        std::string::npos);
}

TEST_CASE("what is not TOML says where") {
  Example x;
  for (const char* text : {"[server", "[server]\nname = a\n", "[server]\nname = 'a'\nname = 'b'\n",
                           "[server]\nname = 'a'\n[server]\n", "= 1", "[server]\nname = \"\xff\"\n",
                           "\x01", "[server]\nname = 'a\n"}) {
    CAPTURE(text);
    const std::string error = x.error(text);
    CHECK(error.starts_with("/etc/troth/x.toml:"));
    CHECK(error.find("this is not valid TOML") != std::string::npos);
  }
  CHECK_FAILS(x.load("[server]\nname = " + std::string(100'000, '[')), ErrorCode::InvalidArgument);
}

TEST_CASE("the first problem in the file is the one reported") {
  Example x;
  CHECK(x.error("[server]\nzzz = 1\naaa = 2\n").starts_with("/etc/troth/x.toml:2:"));
}

TEST_CASE("a required value that is missing says how to give it") {
  Example x;
  CHECK(x.error("[limits]\nconnections = 5\n") ==
        "/etc/troth/x.toml: [server] name is missing; expected text, in the file or as "
        "TROTH_SERVER_NAME");
}

TEST_CASE("wrong variables are refused by name") {
  Example x;
  const std::string good = "[server]\nname = 'a'\n";
  CHECK(x.error(good, {{"TROTH_LIMITS_CONNECTIONS", "many"}}) ==
        "environment variable TROTH_LIMITS_CONNECTIONS is \"many\"; expected a whole number from 1 "
        "to 1000");
  CHECK(x.error(good, {{"TROTH_LIMITS_CONNECTIONS", ""}}).find("expected") != std::string::npos);
  CHECK(x.error(good, {{"TROTH_LIMITS_SYNC", "1"}}).find("true or false") != std::string::npos);
  CHECK(x.error(good, {{"TROTH_SERVER_LISTN", "x"}}) ==
        "environment variable TROTH_SERVER_LISTN names no setting; did you mean "
        "TROTH_SERVER_LISTEN?");
}

TEST_CASE("after a failure no target has changed") {
  Example x;
  CHECK_FAILS(x.load("[server]\nname = 'changed'\n[limits]\nconnections = 5\nidle = 'x'\n"),
              ErrorCode::InvalidArgument);
  CHECK(x.name.empty());
  CHECK(x.connections == 100);
}

TEST_CASE("the help lists every setting with default, bounds and variable") {
  Example x;
  const std::string help = x.schema.help();
  CHECK(x.schema.describe().size() == 8);
  for (const auto& setting : x.schema.describe()) {
    CAPTURE(setting.key);
    CHECK(help.find("  " + setting.key) != std::string::npos);
    CHECK(help.find(setting.variable) != std::string::npos);
    CHECK(help.find(setting.help) != std::string::npos);
    CHECK(help.find(setting.expected) != std::string::npos);
  }
  CHECK(help.find("  name  (required)") != std::string::npos);
  CHECK(help.find("  cache = \"64MiB\"") != std::string::npos);
  CHECK(help.find("  color = \"red\"") != std::string::npos);
  CHECK(help.find("  idle = \"30s\"") != std::string::npos);
  CHECK(help.find("from 1MiB to 1GiB") != std::string::npos);
}
