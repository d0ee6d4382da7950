#include "common/daemon/arguments.hpp"

#include "tests/support/test.hpp"

using namespace common::daemon;
using Action = Arguments::Action;

TEST_CASE("command lines: accepted") {
  CHECK(parse_arguments({})->action == Action::Run);
  CHECK(parse_arguments({"--config", "a.toml"})->config == "a.toml");
  CHECK(parse_arguments({"--config=a=b.toml"})->config == "a=b.toml");
  CHECK(parse_arguments({"--check", "--config", "a"})->action == Action::Check);
  CHECK(parse_arguments({"--help"})->action == Action::Help);
  CHECK(parse_arguments({"-h"})->action == Action::Help);
  CHECK(parse_arguments({"--config", "a", "--help", "nonsense"})->action == Action::Help);
  CHECK(parse_arguments({"--version"})->action == Action::Version);
  CHECK(parse_arguments({"/mnt"}, 1)->positional == std::vector<std::string>{"/mnt"});
}

TEST_CASE("command lines: refused") {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--config"},
                                             {"--config", "a", "--config=b"},
                                             {"--confg", "a"},
                                             {"-c", "a"},
                                             {"a.toml"},
                                             {""},
                                             {"--"},
                                             {"--check=yes"},
                                             {"--config", "a", "b"}}) {
    CHECK_FAILS(parse_arguments(words), common::ErrorCode::InvalidArgument);
  }
  CHECK_FAILS(parse_arguments({"/mnt", "/more"}, 1), common::ErrorCode::InvalidArgument);
}

TEST_CASE("command lines: what a program can do instead of running") {
  constexpr TaskWord kTasks[] = {{"--dump", "FILE", "write"}, {"--load", "FILE", "read"}};
  const auto parse = [&](const std::vector<std::string>& words) {
    return parse_arguments(words, 0, kTasks);
  };
  for (const auto& words : std::vector<std::vector<std::string>>{{"--config", "a", "--load", "b=c"},
                                                                 {"--load=b=c", "--config=a"}}) {
    const auto parsed = parse(words);
    REQUIRE_OK(parsed);
    CHECK(parsed->action == Action::Task);
    CHECK(parsed->task == "--load");
    CHECK(parsed->task_value == "b=c");
    CHECK(parsed->config == "a");
  }
  for (const auto& words : std::vector<std::vector<std::string>>{{"--dump"},
                                                                 {"--dump", ""},
                                                                 {"--dump="},
                                                                 {"--dumped", "a"},
                                                                 {"--dump", "a", "--load", "b"},
                                                                 {"--dump", "a", "--dump", "b"},
                                                                 {"--check", "--dump", "a"},
                                                                 {"--dump", "a", "--check"}}) {
    CAPTURE(words);
    CHECK_FAILS(parse(words), common::ErrorCode::InvalidArgument);
  }
  CHECK_FAILS(parse_arguments({"--dump", "a"}), common::ErrorCode::InvalidArgument);
  CHECK(arguments_help(kTasks).find("--dump FILE") != std::string::npos);
}
