#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/fileclient/transfer/resume_file.hpp"
#include "common/fileclient/transfer/upload_state.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common::fileclient;
using common::Bytes;
using common::ErrorCode;
using common::fileproto::ByteRange;
using Ranges = std::vector<ByteRange>;
namespace fs = std::filesystem;

TEST_CASE("an upload's state is read as it was written, and nothing else is taken for one") {
  UploadState state;
  state.source = {1, 2, 3, -4, 5};
  state.staging = {common::VolumeId{6}, common::NodeId{7}};
  state.made = common::NodeId{8};
  state.hidden_name = ".troth-put-\xFF";
  const Bytes bytes = encode(state);
  auto read = decode_upload_state(bytes);
  REQUIRE_OK(read);
  CHECK(*read == state);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK_FALSE(decode_upload_state(common::ByteView(bytes).first(length)).has_value());
}

TEST_CASE("what is missing is what the server has not, in pieces that keep to their places") {
  const Ranges all{{0, 100}};
  CHECK(missing_pieces(all, {}, 40) == Ranges{{0, 40}, {40, 40}, {80, 20}});
  CHECK(missing_pieces(all, {{0, 100}}, 40).empty());
  CHECK(missing_pieces(all, {{40, 40}}, 40) == Ranges{{0, 40}, {80, 20}});
  CHECK(missing_pieces(all, {{10, 10}, {90, 10}}, 40) ==
        Ranges{{0, 10}, {20, 20}, {40, 40}, {80, 10}});
  CHECK(missing_pieces({{0, 10}, {50, 10}}, {}, 40) == Ranges{{0, 10}, {50, 10}});
  CHECK(missing_pieces({{0, 10}, {50, 10}}, {{5, 50}}, 40) == Ranges{{0, 5}, {55, 5}});
  CHECK(missing_pieces({}, {}, 40).empty());
}

TEST_CASE("the memory of a transfer survives its process, and only whole") {
  const test_support::TempDir dir;
  auto place = resume_directory((dir.path() / "me.cred").string(), "cell");
  REQUIRE_OK(place);
  struct stat info {};
  REQUIRE(::stat(place->c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  const common::crypto::Digest key{};
  {
    auto file = ResumeFile::open(*place, key);
    REQUIRE_OK(file);
    CHECK_FALSE(file->read().has_value());
    REQUIRE_OK(file->write(common::as_bytes("a longer state")));
    REQUIRE_OK(file->write(common::as_bytes("state")));
    CHECK_FAILS(ResumeFile::open(*place, key), ErrorCode::Busy);
  }
  const fs::path path = fs::directory_iterator(*place)->path();
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  {
    auto file = ResumeFile::open(*place, key);
    REQUIRE_OK(file);
    const auto bytes = file->read();
    REQUIRE(bytes.has_value());
    CHECK(common::as_text(*bytes) == "state");
  }
  REQUIRE(::truncate(path.c_str(), 34) == 0);
  auto file = ResumeFile::open(*place, key);
  REQUIRE_OK(file);
  CHECK_FALSE(file->read().has_value());
  file->remove();
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("F45: a directory of others is not used") {
  const test_support::TempDir dir;
  const auto cred = (dir.path() / "me.cred").string();
  REQUIRE(::mkdir((dir.path() / "transfers-cell").c_str(), 0755) == 0);
  CHECK_FAILS(resume_directory(cred, "cell"), ErrorCode::PermissionDenied);
  fs::remove(dir.path() / "transfers-cell");
  fs::create_directory(dir.path() / "other");
  fs::create_directory_symlink(dir.path() / "other", dir.path() / "transfers-cell");
  CHECK_FAILS(resume_directory(cred, "cell"), ErrorCode::PermissionDenied);
}
