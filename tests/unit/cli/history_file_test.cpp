#include "cli/shell/history_file.hpp"

#include <sys/stat.h>

#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using cli::HistoryFile;
using Strings = std::vector<std::string>;

TEST_CASE("history is kept, for its owner only") {
  const test_support::TempDir dir;
  const std::string path = dir / "history";
  {
    HistoryFile history(path);
    CHECK_OK(history.trouble());
    for (const char* line : {"ls", "ls", " secret", "", "cat x", "a\nb"})
      history.add(line);
    CHECK(history.lines() == Strings{"ls", "cat x"});
  }
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(HistoryFile(path).lines() == Strings{"ls", "cat x"});
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  const HistoryFile open(path);
  CHECK(open.lines().empty());
  CHECK(open.trouble().error().message.find("chmod 600") != std::string::npos);
}

TEST_CASE("history does not grow for ever") {
  const test_support::TempDir dir;
  const std::string path = dir / "history";
  std::string text;
  for (int i = 0; i < 2500; ++i)
    text += "line " + std::to_string(i) + "\n";
  REQUIRE_OK(test_support::write_file(path, text));
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  const HistoryFile history(path);
  CHECK(history.lines().size() == cli::kMaxHistory);
  CHECK(history.lines().back() == "line 2499");
  CHECK(HistoryFile(path).lines() == history.lines());
  CHECK(test_support::read_file(path)->size() < text.size() / 2);
}
