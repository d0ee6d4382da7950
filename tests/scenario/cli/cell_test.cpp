#include <csignal>
#include <filesystem>

#include "run_troth.hpp"

using scenario::check_refused;
using scenario::troth;
using test_support::entries_of;
using test_support::TempDir;

TEST_CASE("a cell is made with one command, which says what to do next") {
  const TempDir dir;
  const std::string cell = (dir / "cell").string();
  const auto made = troth({"cell", "init", cell, "--name", "lab"});
  CHECK(made.status.ok());
  CHECK(made.error_output.empty());
  CHECK(made.output.find("Made the cell lab in " + cell) != std::string::npos);
  CHECK(made.output.find("troth-kdc --config " + cell + "/kdc/troth-kdc.toml") !=
        std::string::npos);
  CHECK(std::filesystem::exists(cell + "/cell.toml"));
  check_refused(troth({"cell", "init", cell}), 1, "exists already and is never overwritten");
}

TEST_CASE("a cell that cannot be made is one line and leaves nothing") {
  const TempDir dir;
  check_refused(troth({"cell", "init", (dir / "a/b").string()}), 1, "make ");
  check_refused(troth({"cell", "init", (dir / "c").string(), "--listen", "1.2.3"}), 2,
                "\"1.2.3\" is not an address to listen on");
  check_refused(troth({"cell", "init", (dir / "c").string(), "--listen", "0.0.0.0"}), 2, "--host");
  check_refused(troth({"cell", "init", (dir / "c").string(), "--port", "70000"}), 2, "--port");
  check_refused(troth({"cell", "init"}), 2, "troth cell init --help");
  check_refused(troth({"cell", "init", (dir / "c").string(), "--nmae", "x"}), 2, "--nmae");
  check_refused(troth({"cell", "init", "/proc/cell"}), 1, "cannot make the cell /proc/cell");
  CHECK(entries_of(dir.path()) == 0);
}

TEST_CASE("somebody without the right to write is told so") {
  if (::geteuid() != 0)
    SKIP_TEST("needs root, to become a user who may not write here");
  const TempDir dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  check_refused(troth({"cell", "init", (dir / "cell").string()}, {.as_nobody = true}), 1,
                "whose parent you may write to");
  CHECK(entries_of(dir.path()) == 0);
}

TEST_CASE("an interrupted attempt is reported by the next one") {
  const TempDir dir;
  std::filesystem::create_directory(dir / ".cell.new-00c0ffee");
  const auto made = troth({"cell", "init", (dir / "cell").string()});
  CHECK(made.status.ok());
  CHECK(made.error_output.find("interrupted and left " + (dir / ".cell.new-00c0ffee").string()) !=
        std::string::npos);
}
