#include "common/cell/description.hpp"

#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::cell;

namespace {

Description sample_description() {
  return {.name = "home",
          .id = "0123456789abcdef",
          .ca = "ca/ca.crt",
          .servers = {{"kdc1", "kdc", "127.0.0.1:7480", "127.0.0.1:7490"},
                      {"fs1", "fileserver", "fs1.example.org:7482", ""},
                      {"fs2", "fileserver", "[::1]:7483", "[::1]:7493"}}};
}

std::string refusal(const std::string& text) {
  const auto parsed = parse_description("cell.toml", text);
  return parsed ? "ok" : parsed.error().message;
}

const std::string kCell = "[cell]\nname = \"a\"\nid = \"b\"\nca = \"c\"\n";

}  // namespace

TEST_CASE("a description survives its file form") {
  const auto read = parse_description("cell.toml", to_toml(sample_description()));
  REQUIRE_OK(read);
  CHECK(*read == sample_description());
}

TEST_CASE("a wrong description is refused with file, line and what was expected") {
  CHECK(refusal("") == "cell.toml: the section [cell] is missing");
  CHECK(refusal("[cell]\nname = \"a\"\n") == "cell.toml:1: \"id\" is missing");
  CHECK(refusal(kCell + "x = \"1\"\n") ==
        "cell.toml:1: unknown key \"x\"; expected one of name, id, ca");
  CHECK(refusal(kCell + "[more]\n") == "cell.toml:5: unknown section [more]");
  CHECK(refusal(kCell + "[[peers]]\nname = \"x\"\n") == "cell.toml: unknown section [[peers]]");
  CHECK(refusal("[cell]\nname = 7\n") == "cell.toml:2: name must be text in double quotes");
  CHECK(refusal("[cell]\nname = \"a/b\"\nid = \"b\"\nca = \"c\"\n") ==
        "cell.toml:1: name is \"a/b\"; expected 1 to 64 letters, digits, '.', '_' or '-'");
  CHECK(refusal("[cell\n").starts_with("cell.toml:1: this is not valid TOML"));
  CHECK(refusal("name = \"x\"\n").starts_with("cell.toml:1: \"name\" stands outside"));
  CHECK(refusal("cell = [1]\n").starts_with("cell.toml:1: expected sections written [[cell]]"));
}

TEST_CASE("a wrong server is refused") {
  const auto with = [](const std::string& server) {
    return refusal(kCell + "[[servers]]\n" + server);
  };
  CHECK(with("name = \"a\"\nrole = \"kdc\"\naddress = \"h:1\"\n") == "ok");
  CHECK(with("name = \"a\"\nrole = \"king\"\naddress = \"h:1\"\n") ==
        "cell.toml:5: role is \"king\"; expected one of kdc, lockserver, fileserver");
  CHECK(with("name = \"a\"\nrole = \"kdc\"\naddress = \"h\"\n")
            .starts_with("cell.toml:5: address is \"h\"; expected"));
  CHECK(with("name = \"a\"\nrole = \"kdc\"\naddress = \"h:1\"\nhealth = \"x:99999\"\n")
            .starts_with("cell.toml:5: health is"));
  CHECK(with("role = \"kdc\"\naddress = \"h:1\"\n") == "cell.toml:5: \"name\" is missing");
  CHECK(with("name = \"a\"\nrole = \"kdc\"\naddress = \"h:1\"\n"
             "[[servers]]\nname = \"a\"\nrole = \"kdc\"\naddress = \"h:2\"\n") ==
        "cell.toml:9: there is a second server named \"a\"");
}

TEST_CASE("a directory without a cell is named, with what to do") {
  const test_support::TempDir dir;
  CHECK_FAILS(load_description(dir.path().string()), ErrorCode::NotFound);
  const auto missing = load_description((dir / "none").string());
  CHECK_FAILS(missing, ErrorCode::NotFound);
  CHECK(missing.error().message.find("make one with: troth cell init") != std::string::npos);
  REQUIRE_OK(test_support::write_file(dir / "cell.toml", to_toml(sample_description())));
  const auto loaded = load_description(dir.path().string());
  REQUIRE_OK(loaded);
  CHECK(loaded->ca == (dir / "ca/ca.crt").string());
}
