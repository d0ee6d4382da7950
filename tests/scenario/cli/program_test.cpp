#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "run_troth.hpp"

using scenario::check_refused;
using scenario::troth;

TEST_CASE("the version is shown, with all libraries on request") {
  const auto plain = troth({"version"});
  CHECK(plain.status.ok());
  CHECK(plain.output.starts_with("troth 0."));
  CHECK(troth({"--version"}).output == plain.output);
  const auto all = troth({"version", "--all", "--json"});
  CHECK(all.status.ok());
  const auto json = common::wire::parse_json(all.output.substr(0, all.output.size() - 1)).value();
  bool found = false;
  for (const auto& library : json["libraries"])
    found =
        found || (library["name"] == "openssl" && !library["origin"].get<std::string>().empty());
  CHECK(found);
  CHECK(troth({"version", "--all"}).output.find("openssl") != std::string::npos);
}

TEST_CASE("a volume is shown by the program that knows volumes") {
  const auto fsck = test_support::find_program("troth-fsck");
  REQUIRE_OK(fsck);
  test_support::ProcessOptions found;
  found.environment["PATH"] = fsck->parent_path().string();
  const test_support::TempDir directory;
  const auto nothing = troth({"store", "inspect", directory.path().string()}, found);
  CHECK(nothing.status.code == 1);
  CHECK(nothing.error_output.starts_with("troth-fsck: "));
  const auto wrong =
      troth({"store", "inspect", "--what", "dreams", directory.path().string()}, found);
  CHECK(wrong.status.code == 2);
  test_support::ProcessOptions missing;
  missing.environment["PATH"] = directory.path().string();
  check_refused(troth({"store", "inspect", "x"}, missing), 1, "troth-fsck cannot be run");
}

TEST_CASE("help explains every command, and its absence is a mistake") {
  CHECK(troth({"help"}).output.find("Exit codes: 0") != std::string::npos);
  CHECK(troth({"--help"}).output == troth({"help"}).output);
  CHECK(troth({"help", "cell", "init"}).output.find("--listen") != std::string::npos);
  CHECK(troth({"cell", "init", "--help"}).output == troth({"help", "cell", "init"}).output);
  check_refused(troth({"help", "dance"}), 2, "there is no command \"dance\"");
  check_refused(troth({"dance"}), 2, "troth --help");
  CHECK(troth({}).status.code == 2);
  CHECK(troth({"cell"}).status.code == 2);
}

TEST_CASE("completion scripts are valid in their shells") {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = troth({"completion", shell});
    CHECK(script.status.ok());
    CHECK(script.output.find("init") != std::string::npos);
    const auto checked =
        test_support::run_command("bash", {"-c", "command -v " + std::string(shell)});
    if (!checked || !checked->status.ok())
      continue;  // not installed; the generator's own test covers its text
    const auto parsed = test_support::run_command(shell, {"-n"}, {.input = script.output});
    REQUIRE_OK(parsed);
    INFO(parsed->error_output);
    CHECK(parsed->status.ok());
  }
  check_refused(troth({"completion", "csh"}), 2, "expected bash, zsh or fish");
}

TEST_CASE("bash completes commands, options, words and nothing else") {
  const auto complete = [](const std::string& words) {
    const std::string script = troth({"completion", "bash"}).output;
    const auto result = test_support::run_command(
        "bash",
        {"-c", "source /dev/stdin; COMP_WORDS=(" + words +
                   "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _troth; echo ${COMPREPLY[*]}"},
        {.input = script});
    REQUIRE_OK(result);
    return result->output;
  };
  CHECK(complete("troth ce") == "cell\n");
  CHECK(complete("troth cell ''") == "init join fingerprint cert\n");
  CHECK(complete("troth cell cert re") == "renew\n");
  CHECK(complete("troth cell cert show --wi") == "--within\n");
  CHECK(complete("troth completion z") == "zsh\n");
  CHECK(complete("troth cell cert issue l") == "lockserver\n");
  CHECK(complete("troth cell init --name x") == "\n");
}
