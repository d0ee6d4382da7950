#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/fileclient/tree/copy_tree.hpp"
#include "common/fileclient/tree/get_tree.hpp"
#include "common/fileclient/tree/put_tree.hpp"
#include "common/fileclient/tree/remove_tree.hpp"
#include "common/fileclient/tree/tree_walk.hpp"
#include "fixture.hpp"

using namespace fileclient_test;
using common::Error;
using common::UniqueFd;
namespace fs = std::filesystem;

namespace {

struct Trees : Files {
  test_support::TempDir dir;
  std::vector<std::string> problems;
  TreeReport report{[this](const std::string& path, const Error& error) {
    problems.push_back(path + ": " + error.message);
  }};

  fs::path local(const std::string& name) const { return dir.path() / name; }
  common::Status put(const std::string& name, std::string_view remote) {
    const UniqueFd fd(::open(local(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return put_tree(*client, fd.get(), name, find(remote), report, {});
  }
  common::Status get(std::string_view remote, const std::string& name) {
    fs::create_directories(local(name));
    const UniqueFd fd(::open(local(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return get_tree(*client, find(remote), fd.get(), name, report, {});
  }
  void write(const fs::path& path, std::string_view text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
};

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
      all += " " + *test_support::read_file(path);
    all += "\n";
  }
  return all;
}

}  // namespace

TEST_CASE("a tree comes back as it went, with names of all bytes (F61)") {
  Trees t;
  const fs::path top = t.local("in");
  for (int i = 1; i < 256; ++i) {
    if (i != '/')
      t.write(top / "names" / ("n" + std::string(1, static_cast<char>(i))), std::to_string(i));
  }
  t.write(top / std::string(255, 'x'), "long name");
  t.write(top / " trailing ", "");
  t.write(top / "sub/deeper/file", "text");
  t.write(top / "large", std::string(300'000, 'L'));
  fs::create_directories(top / "empty");
  fs::create_symlink("sub/deeper", top / "link");
  fs::create_symlink("\xFF\xFE", top / "bytes");
  REQUIRE(::chmod((top / "sub/deeper/file").c_str(), 0444) == 0);
  REQUIRE(::chmod((top / "empty").c_str(), 0555) == 0);
  t.mkdir("/", "there");
  REQUIRE_OK(t.put("in", "/there"));
  CHECK(t.problems.empty());
  CHECK(t.report.files == 255 + 3);
  REQUIRE_OK(t.get("/there", "out"));
  CHECK(t.problems.empty());
  CHECK(picture(t.local("out")) == picture(top));
  REQUIRE(::chmod((top / "empty").c_str(), 0755) == 0);
}

TEST_CASE("doing it again moves nothing, and what has changed moves alone") {
  Trees t;
  t.write(t.local("in") / "a", "one");
  t.write(t.local("in") / "d/b", "two");
  REQUIRE_OK(t.put("in", "/"));
  const auto commits = t.server.commits();
  REQUIRE_OK(t.put("in", "/"));
  CHECK(t.report.files == 2);
  CHECK(t.report.unchanged == 2);
  CHECK(t.server.commits() == commits + 1);  // modes and times of directories
  t.write(t.local("in") / "a", "three");
  REQUIRE_OK(t.put("in", "/"));
  CHECK(t.server.text_of(kRootVolume, "/a") == "three");
  CHECK(t.report.files == 3);
  REQUIRE_OK(t.get("/", "out"));
  REQUIRE_OK(t.get("/", "out"));
  CHECK(t.problems.empty());
}

TEST_CASE("many small files take few calls") {
  Trees t;
  for (int i = 0; i < 1000; ++i)
    t.write(t.local("in") / ("d" + std::to_string(i % 10)) / std::to_string(i), "x");
  REQUIRE_OK(t.put("in", "/"));
  CHECK(t.report.files == 1000);
  CHECK(t.server.calls("create") == 0);
  CHECK(t.server.calls("batch") < 20);
  REQUIRE_OK(t.get("/", "out"));
  CHECK(t.server.calls("bulk") < 15);
  CHECK(t.server.calls("fetch") == 0);
  CHECK(t.problems.empty());
}

TEST_CASE("what cannot be put is reported, and everything else is there") {
  Trees t;
  t.write(t.local("in") / "taken", "file");
  t.write(t.local("in") / "z", "z");
  REQUIRE(::mkfifo((t.local("in") / "pipe").c_str(), 0600) == 0);
  t.mkdir("/", "taken");
  REQUIRE_OK(t.put("in", "/"));
  CHECK(t.report.problems() == 2);
  CHECK(t.server.text_of(kRootVolume, "/z") == "z");
}

TEST_CASE("one refused file of a batch does not keep the others out") {
  Trees t;
  for (int i = 0; i < 10; ++i)
    t.write(t.local("in") / std::to_string(i), "x");
  t.server.fail_next("batch", {ErrorCode::PermissionDenied, "one of them"});
  t.server.fail_next("batch", {ErrorCode::PermissionDenied, "this one"});
  REQUIRE_OK(t.put("in", "/"));
  REQUIRE(t.problems.size() == 1);
  CHECK(t.problems[0] == "in/0: this one");
  CHECK(t.report.files == 9);
}

TEST_CASE("F62: a deep tree is put, walked, fetched and removed without recursion") {
  Trees t;
  constexpr int kDepth = 300;
  fs::path path = t.local("in");
  for (int i = 0; i < kDepth; ++i)
    path /= "d";
  t.write(path / "f", "deep");
  t.mkdir("/", "top");
  REQUIRE_OK(t.put("in", "/top"));
  REQUIRE_OK(t.get("/top", "out"));
  CHECK(picture(t.local("out")) == picture(t.local("in")));
  REQUIRE_OK(remove_tree(*t.client, t.find("/top"), t.report, {}));
  CHECK(t.problems.empty());
  CHECK(t.server.with([](auto& volumes) {
    return volumes.at(kRootVolume).nodes.size() == 2;  // its root and the place of "data"
  }));
}

TEST_CASE("F63: a wide directory is listed page by page") {
  Trees t;
  const Fid dir = t.mkdir("/", "wide");
  t.server.with([&](auto& volumes) {
    auto& volume = volumes.at(kRootVolume);
    for (int i = 0; i < 10'000; ++i) {
      const NodeId id{volume.next_node++};
      volume.nodes[id].attributes.node = id;
      volume.nodes.at(dir.node).entries[fmt::format("{:05}", i)] = id;
    }
    return 0;
  });
  Listing listing(*t.client, dir, {});
  int count = 0;
  for (;;) {
    auto entry = listing.next();
    REQUIRE_OK(entry);
    if (*entry == nullptr)
      break;
    CHECK((*entry)->name == fmt::format("{:05}", count));
    ++count;
    if (count % 1000 == 0)
      listing.shrink();
  }
  CHECK(count == 10'000);
  Listing again(*t.client, dir, {});
  CHECK(*again.find("0") == nullptr);
  CHECK((*again.find("00007"))->name == "00007");
  CHECK(*again.find("00007x") == nullptr);
  CHECK((*again.find("09999"))->name == "09999");
  CHECK(*again.find("1") == nullptr);
}

TEST_CASE("a tree is copied within the cell, within and between volumes") {
  Trees t;
  t.write(t.local("in") / "a", "one");
  t.write(t.local("in") / "d/b", std::string(300'000, 'b'));
  t.write(t.local("in") / "d/empty", "");
  fs::create_symlink("a", t.local("in") / "l");
  t.mkdir("/", "from");
  REQUIRE_OK(t.put("in", "/from"));
  t.mkdir("/", "same");
  t.mkdir("/data", "other");
  CopyOptions options;
  options.keep_times = true;
  for (const char* to : {"/same", "/data/other", "/same"}) {
    REQUIRE_OK(copy_tree(*t.client, t.find("/from"), t.find(to), t.report, options));
  }
  // The third met the link of the first.
  CHECK(t.problems.size() == 1);
  CHECK(t.server.text_of(kRootVolume, "/same/d/b") == std::string(300'000, 'b'));
  CHECK(t.server.text_of(kDataVolume, "/other/d/b") == std::string(300'000, 'b'));
  REQUIRE_OK(t.get("/data/other", "out"));
  CHECK(picture(t.local("out")) == picture(t.local("in")));
}

TEST_CASE("removing a tree leaves attached volumes alone") {
  Trees t;
  t.create("/data", "precious", "x");
  t.create("/", "f", "x");
  REQUIRE_OK(remove_tree(*t.client, t.find("/"), t.report, {}));
  REQUIRE(t.problems.size() == 1);
  CHECK(t.problems[0].find("/data: a volume is attached here") == 0);
  CHECK(t.server.text_of(kDataVolume, "/precious") == "x");
}

TEST_CASE("when nobody answers any more, a tree ends instead of failing file by file") {
  Trees t;
  for (int i = 0; i < 10; ++i)
    t.write(t.local("in") / std::to_string(i), "x");
  t.server.fail_next("batch", {ErrorCode::Unauthenticated, "log in again"});
  CHECK_FAILS(t.put("in", "/"), ErrorCode::Unauthenticated);
  CHECK(t.problems.empty());
}
