#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/config/schema.hpp"
#include "tests/support/test.hpp"

using namespace common::config;
using common::ErrorCode;

namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "troth_config_XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Small {
  std::string data_dir = "data";
  Schema schema;
  Small() { schema.section("server", "S.").path("data_dir", &data_dir, "D."); }
};

}  // namespace

TEST_CASE("relative paths begin at the file's own directory") {
  const TemporaryDirectory dir;
  Small x;
  REQUIRE_OK(x.schema.load(dir.file("a.toml", "[server]\ndata_dir = 'here/data'\n"), {}));
  CHECK(x.data_dir == (dir.path() / "here/data").string());
}

TEST_CASE("relative paths from the environment begin at the working directory") {
  Small x;
  REQUIRE_OK(x.schema.load("", {{"TROTH_SERVER_DATA_DIR", "data"}}));
  CHECK(x.data_dir == (std::filesystem::current_path() / "data").string());
}

TEST_CASE("a file that is missing, a directory, a FIFO or too large is refused without waiting") {
  const TemporaryDirectory dir;
  Small x;
  const std::string missing = (dir.path() / "missing.toml").string();
  const auto status = x.schema.load(missing, {});
  CHECK_FAILS(status, ErrorCode::NotFound);
  CHECK(status.error().message.find(missing) != std::string::npos);

  CHECK_FAILS(x.schema.load(dir.path().string(), {}), ErrorCode::InvalidArgument);

  const std::string fifo = (dir.path() / "fifo").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_FAILS(x.schema.load(fifo, {}), ErrorCode::InvalidArgument);

  CHECK_FAILS(x.schema.load(dir.file("big.toml", std::string(kMaxFile + 1, '#')), {}),
              ErrorCode::TooLarge);
}
