// Getting files in and out: trees, large files, interruptions.

#include <sys/stat.h>

#include <fstream>

#include "fixture.hpp"

using namespace files_test;

namespace {

std::string pattern(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  std::uint32_t state = seed;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

// Paths, kinds, modes, times and contents of all below a directory.
std::string picture(const fs::path& top) {
  std::string all;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(top))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    struct stat info {};
    REQUIRE(::lstat(path.c_str(), &info) == 0);
    all += fs::relative(path, top).string() + fmt::format(" {:o}", info.st_mode);
    if (S_ISLNK(info.st_mode))
      all += " -> " + fs::read_symlink(path).string();
    else
      all += fmt::format(" {}.{}", info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    if (S_ISREG(info.st_mode))
      all += fmt::format(" {:x}", std::hash<std::string>{}(*test_support::read_file(path)));
    all += "\n";
  }
  return all;
}

// Starts `troth`, and kills it once the server has this many bytes of it, in whatever it is at.
void kill_in_the_middle(Cell& cell, const Words& words) {
  auto program = test_support::find_program("troth");
  REQUIRE_OK(program);
  test_support::ProcessOptions options;
  options.environment["TROTH_CELL"] = cell.live().directory();
  options.environment["TROTH_CREDENTIALS"] = cell.live().credentials();
  auto process = test_support::Process::spawn(*program, words, options);
  REQUIRE_OK(process);
  // Its memory appears when the staging is open.
  const auto until = std::chrono::steady_clock::now() + test_support::kPatience;
  const auto begun = [&] {
    for (const auto& entry : fs::directory_iterator(cell.live().credentials().parent_path())) {
      if (entry.path().filename().string().starts_with("transfers-") &&
          test_support::entries_of(entry.path()) > 0)
        return true;
    }
    return false;
  };
  while (!begun() && process->running() && std::chrono::steady_clock::now() < until)
    ::sched_yield();
  process->kill();
}

}  // namespace

TEST_CASE("a tree comes back as it went, and doing it again moves nothing") {
  Cell cell;
  for (int i = 0; i < 300; ++i)
    cell.write(fmt::format("in/d{}/f{}", i % 7, i), pattern(static_cast<std::size_t>(i) * 37, i));
  cell.write("in/large", pattern(5 << 20, 1));
  cell.write("in/empty/dir/x", "");
  fs::create_symlink("d1/f1", cell.local("in/link"));
  REQUIRE(::chmod(cell.local("in/d1/f1").c_str(), 0755) == 0);
  REQUIRE(::chmod(cell.local("in/d2/f2").c_str(), 0400) == 0);
  auto done = cell.json({"put", "-r", cell.local("in"), "/"});
  CHECK(done["files"] == 302);
  CHECK(done["failed"] == 0);
  done = cell.json({"get", "-r", "/in", cell.local("out")});
  CHECK(done["files"] == 302);
  CHECK(picture(cell.local("out")) == picture(cell.local("in")));
  CHECK(cell.json({"put", "-r", cell.local("in"), "/"})["unchanged"] == 303);
  // Into a directory that is there; the second time it is there already.
  fs::create_directory(cell.local("back"));
  CHECK(cell.json({"get", "-r", "/in", cell.local("back")})["files"] == 302);
  CHECK(cell.json({"get", "-r", "/in", cell.local("back")})["files"] == 0);
  CHECK(picture(cell.local("back/in")) == picture(cell.local("in")));
}

TEST_CASE("standard input and output are files, too") {
  Cell cell;
  const std::string text = pattern(50'000, 3);
  cell.ok({"put", "-", "/from-stdin"}, "me", text);
  CHECK(cell.ok({"get", "/from-stdin", "-"}) == text);
  CHECK(cell.ok({"cat", "/from-stdin"}) == text);
  cell.refused({"put", "-", "/"}, "name the file");
}

TEST_CASE("F21: an upload that was killed goes on where it was") {
  Cell cell;
  const std::string text = pattern(64 << 20, 7);
  cell.write("large", text);
  kill_in_the_middle(cell, {"put", cell.local("large"), "/large"});
  CHECK(cell.ok({"ls", "/"}).find("large\n") == std::string::npos);
  const auto done = cell.json({"put", cell.local("large"), "/large"});
  CHECK(done["files"] == 1);
  MESSAGE("resumed with " << done["resumed_bytes"] << " bytes");
  kill_in_the_middle(cell, {"get", "/large", cell.local("back")});
  CHECK_FALSE(fs::exists(cell.local("back")));
  const auto got = cell.json({"get", "/large", cell.local("back")});
  MESSAGE("resumed with " << got["resumed_bytes"] << " bytes");
  CHECK(cell.read("back") == text);
  // Nothing hidden is left on either side.
  CHECK(cell.ok({"ls", "-A", "/"}) == "large\n");
  CHECK(test_support::entries_of(cell.local()) == 2);
}

TEST_CASE("a server that restarts in the middle of a copy is waited for") {
  Cell cell;
  for (int i = 0; i < 200; ++i)
    cell.write(fmt::format("in/{}", i), pattern(2000, i));
  REQUIRE_OK(cell.live().terminate("fileserver"));
  auto program = test_support::find_program("troth");
  REQUIRE_OK(program);
  test_support::ProcessOptions options;
  options.environment["TROTH_CELL"] = cell.live().directory();
  options.environment["TROTH_CREDENTIALS"] = cell.live().credentials();
  auto process = test_support::Process::spawn(
      *program, {"put", "-r", cell.local("in").string(), "/"}, options);
  REQUIRE_OK(process);
  REQUIRE_OK(cell.live().start("fileserver"));
  auto ended = process->wait();
  REQUIRE_OK(ended);
  CHECK_MESSAGE(ended->ok(), process->error_output());
  CHECK(cell.ok({"find", "/in", "-type", "f", "-print0"}).find("/in/199") != std::string::npos);
}
