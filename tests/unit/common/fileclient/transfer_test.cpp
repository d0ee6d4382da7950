#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/fileclient/transfer/content_name.hpp"
#include "common/fileclient/transfer/download.hpp"
#include "common/fileclient/transfer/resume_file.hpp"
#include "common/wire/hex.hpp"
#include "fixture.hpp"

using namespace fileclient_test;
using common::Error;
using common::UniqueFd;
namespace fs = std::filesystem;

namespace {

std::string text_pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>(i * 7 + i / 977);
  return text;
}

struct Transfers : Files {
  test_support::TempDir dir;
  Progress progress;
  TransferOptions options;

  Transfers() {
    options.resume_directory = *resume_directory((dir.path() / "me.cred").string(), "cell");
    options.progress = &progress;
    fs::create_directory(dir.path() / "local");
  }
  [[nodiscard]] std::string local(const std::string& name) const {
    return (dir.path() / "local" / name).string();
  }
  common::Result<Uploaded> put(const std::string& name, std::string_view text,
                               std::optional<common::fileproto::Attributes> existing = {}) {
    if (!text.empty() || !fs::exists(local(name)))
      REQUIRE_OK(test_support::write_file(local(name), text));
    const UniqueFd fd(::open(local(name).c_str(), O_RDONLY | O_CLOEXEC));
    UploadTarget target{find("/").fid, name, std::move(existing)};
    return upload(*client, {fd.get(), 0640, 12345}, target, options);
  }
  common::Status get(const std::string& path, const std::string& name) {
    const Found found = find(path);
    const UniqueFd fd(::open(local("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return download(*client, found.fid, found.node, {fd.get(), name, 0640, 12345}, options);
  }
  [[nodiscard]] std::size_t memories() const {
    return test_support::entries_of(options.resume_directory);
  }
};

constexpr std::size_t kPiece = 8 << 20;

}  // namespace

TEST_CASE("a small file is one request, and comes back as it was") {
  Transfers t;
  REQUIRE_OK(t.put("small", "hello\n"));
  CHECK(t.server.text_of(kRootVolume, "/small") == "hello\n");
  CHECK(t.server.node_at(kRootVolume, "/small").attributes.mode == 0640);
  CHECK(t.server.node_at(kRootVolume, "/small").attributes.mtime == 12345);
  CHECK(t.server.calls("stage-open") == 0);
  REQUIRE_OK(t.get("/small", "back"));
  CHECK(*test_support::read_file(t.local("back")) == "hello\n");
  REQUIRE_OK(t.put("empty", ""));
  REQUIRE_OK(t.get("/empty", "empty-back"));
  CHECK(fs::file_size(t.local("empty-back")) == 0);
  CHECK(t.progress.bytes_done == 12);
}

TEST_CASE("a large file is staged in pieces, and nobody sees it before it is whole") {
  Transfers t;
  const std::string text = text_pattern(3 * kPiece + 12345);
  const auto commits = t.server.commits();
  const auto done = t.put("large", text);
  REQUIRE_OK(done);
  CHECK_FALSE(done->resumed);
  CHECK(t.server.text_of(kRootVolume, "/large") == text);
  CHECK(t.server.calls("stage-write") == 4);
  // The hidden name, then content and name in one commit.
  CHECK(t.server.commits() == commits + 2);
  CHECK(t.server.with([](auto& volumes) {
    return volumes.at(kRootVolume).nodes.at(NodeId{1}).entries.size() == 2;  // data, large
  }));
  CHECK(t.memories() == 0);
  REQUIRE_OK(t.get("/large", "back"));
  CHECK(*test_support::read_file(t.local("back")) == text);
  CHECK(t.memories() == 0);
  CHECK(test_support::entries_of(t.dir.path() / "local") == 2);
}

TEST_CASE("an interrupted upload goes on, and sends no byte twice") {
  Transfers t;
  const std::string text = text_pattern(4 * kPiece);
  t.options.threads = 1;
  t.server.fail_next("stage-write", {ErrorCode::Internal, "crash"});
  CHECK_FAILS(t.put("large", text), ErrorCode::Internal);
  CHECK(t.server.calls("stage-write") == 1);
  CHECK(t.memories() == 1);
  // Two arrive, the third does not; then the commit fails, too.
  SUBCASE("in the middle") {
    t.server.with([](auto& volumes) {
      auto& staging = volumes.at(kRootVolume).stagings.begin()->second;
      const std::string whole = text_pattern(4 * kPiece);
      std::copy_n(reinterpret_cast<const std::byte*>(whole.data()), 2 * kPiece,
                  staging.bytes.begin());
      staging.mark(0, 2 * kPiece);
      return 0;
    });
    const auto done = t.put("large", "");
    REQUIRE_OK(done);
    CHECK(done->resumed);
    CHECK(t.server.calls("stage-write") == 3);
    CHECK(t.progress.bytes_resumed == 2 * kPiece);
  }
  SUBCASE("after the last piece") {
    t.server.fail_next("batch", {ErrorCode::Internal, "crash"});
    CHECK_FAILS(t.put("large", ""), ErrorCode::Internal);
    const auto writes = t.server.calls("stage-write");
    const auto creates = t.server.calls("create");
    REQUIRE_OK(t.put("large", ""));
    CHECK(t.server.calls("stage-write") == writes);
    CHECK(t.server.calls("create") == creates);
  }
  SUBCASE("when the server has forgotten it") {
    t.server.with([](auto& volumes) {
      volumes.at(kRootVolume).stagings.clear();
      return 0;
    });
    const auto done = t.put("large", "");
    REQUIRE_OK(done);
    CHECK_FALSE(done->resumed);
  }
  CHECK(t.server.text_of(kRootVolume, "/large") == text);
  CHECK(t.memories() == 0);
}

TEST_CASE("a file that was changed since is sent anew") {
  Transfers t;
  t.options.threads = 1;
  t.server.fail_next("batch", {ErrorCode::Internal, "crash"});
  CHECK_FAILS(t.put("large", text_pattern(2 * kPiece)), ErrorCode::Internal);
  std::string other = text_pattern(2 * kPiece);
  other[5] ^= 1;
  REQUIRE_OK(t.put("large", other));
  CHECK(t.server.text_of(kRootVolume, "/large") == other);
  CHECK(t.server.calls("stage-drop") == 1);
}

TEST_CASE("F54: a piece that is damaged on the way is refused, and nothing becomes visible") {
  Transfers t;
  t.server.fail_next("stage-write", {ErrorCode::Corrupt, "the piece is not what its hash says"});
  CHECK_FAILS(t.put("large", text_pattern(2 * kPiece)), ErrorCode::Corrupt);
  CHECK_FALSE(t.server.with([](auto& volumes) {
    return volumes.at(kRootVolume).nodes.at(NodeId{1}).entries.contains("large");
  }));
}

TEST_CASE("overwriting names the version that was seen, and says what it replaced") {
  Transfers t;
  REQUIRE_OK(t.put("f", "first"));
  const auto seen = t.find("/f").node;
  REQUIRE_OK(t.put("f", "second, by somebody else", seen));
  auto done = t.put("f", "third", seen);
  REQUIRE_OK(done);
  CHECK(done->lost.has_value());
  CHECK(t.server.text_of(kRootVolume, "/f") == "third");
  t.server.with([](auto& volumes) { return volumes.at(kRootVolume).refuses_conflicts = true; });
  CHECK_FAILS(t.put("f", "fourth", seen), ErrorCode::Conflict);
  CHECK_FAILS(t.put("f", text_pattern(2 * kPiece), seen), ErrorCode::Conflict);
  CHECK(t.server.text_of(kRootVolume, "/f") == "third");
  REQUIRE_OK(t.put("f", text_pattern(kPiece + 1), t.find("/f").node));
  CHECK(t.server.text_of(kRootVolume, "/f") == text_pattern(kPiece + 1));
}

TEST_CASE("holes of a file stay holes, also where it replaces another") {
  Transfers t;
  const std::size_t size = 20 << 20;
  REQUIRE_OK(test_support::write_file(t.local("sparse"), "begin"));
  REQUIRE(::truncate(t.local("sparse").c_str(), size) == 0);
  std::string expected(size, '\0');
  expected.replace(0, 5, "begin");
  REQUIRE_OK(t.put("sparse", ""));
  CHECK(t.server.text_of(kRootVolume, "/sparse") == expected);
  CHECK(t.server.calls("stage-write") <= 1);
  REQUIRE_OK(t.put("other", text_pattern(size)));
  const auto existing = t.find("/other").node;
  fs::rename(t.local("sparse"), t.local("other"));
  REQUIRE_OK(t.put("other", "", existing));
  CHECK(t.server.text_of(kRootVolume, "/other") == expected);
}

TEST_CASE("a name that somebody takes meanwhile is not overwritten") {
  Transfers t;
  t.create("/", "f", "somebody's");
  CHECK_FAILS(t.put("f", text_pattern(2 * kPiece)), ErrorCode::AlreadyExists);
  CHECK(t.server.text_of(kRootVolume, "/f") == "somebody's");
  CHECK(t.server.with([](auto& volumes) {
    return volumes.at(kRootVolume).nodes.at(NodeId{1}).entries.size() == 2;  // nothing hidden left
  }));
}

TEST_CASE("an interrupted download goes on, and fetches no piece twice") {
  Transfers t;
  const std::string text = text_pattern(4 * kPiece);
  REQUIRE_OK(t.put("large", text));
  t.options.threads = 1;
  const auto fetches = t.server.calls("fetch");
  t.server.fail_next("fetch", {ErrorCode::Internal, "crash"}, false, 1);
  CHECK_FAILS(t.get("/large", "back"), ErrorCode::Internal);
  CHECK_FALSE(fs::exists(t.local("back")));
  CHECK(t.memories() == 1);
  t.server.fail_next("fetch", {ErrorCode::Internal, "crash"}, false, 2);
  CHECK_FAILS(t.get("/large", "back"), ErrorCode::Internal);
  REQUIRE_OK(t.get("/large", "back"));
  CHECK(*test_support::read_file(t.local("back")) == text);
  CHECK(t.server.calls("fetch") - fetches == 4 + 2);
  CHECK(t.memories() == 0);
  CHECK(test_support::entries_of(t.dir.path() / "local") == 2);
  struct stat info {};
  REQUIRE(::stat(t.local("back").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0640);
  CHECK(info.st_mtim.tv_nsec == 12345);
}

TEST_CASE("a download of another version begins anew") {
  Transfers t;
  REQUIRE_OK(t.put("large", text_pattern(2 * kPiece)));
  t.options.threads = 1;
  t.server.fail_next("fetch", {ErrorCode::Internal, "crash"}, false, 1);
  CHECK_FAILS(t.get("/large", "back"), ErrorCode::Internal);
  const std::string other(2 * kPiece, 'x');
  REQUIRE_OK(t.put("large", other, t.find("/large").node));
  REQUIRE_OK(t.get("/large", "back"));
  CHECK(*test_support::read_file(t.local("back")) == other);
}

TEST_CASE("F33: a piece for which there was no room is fetched again") {
  Transfers t;
  const std::string text = text_pattern(3 * kPiece);
  REQUIRE_OK(t.put("large", text));
  t.options.threads = 1;
  t.server.fail_next("fetch", {ErrorCode::Internal, "crash"}, false, 1);
  CHECK_FAILS(t.get("/large", "back"), ErrorCode::Internal);
  // The file has its size already; nothing can be written behind its first piece now.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto signal = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = kPiece, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto status = t.get("/large", "back");
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, signal);
  CHECK_FALSE(status.has_value());
  CHECK_FALSE(fs::exists(t.local("back")));
  REQUIRE_OK(t.get("/large", "back"));
  CHECK(*test_support::read_file(t.local("back")) == text);
}

TEST_CASE("F21: a download that the machine's end interrupted begins anew") {
  Transfers t;
  const std::string text = text_pattern(2 * kPiece);
  REQUIRE_OK(t.put("large", text));
  t.options.threads = 1;
  t.server.fail_next("fetch", {ErrorCode::Internal, "crash"}, false, 1);
  CHECK_FAILS(t.get("/large", "back"), ErrorCode::Internal);
  // What was written last never reached the disk, the memory of it did.
  const fs::path memory = *fs::directory_iterator(t.options.resume_directory);
  const auto name = common::wire::from_hex(memory.filename().string());
  REQUIRE_OK(name);
  common::crypto::Digest key{};
  std::copy(name->begin(), name->end(), key.begin());
  {
    auto file = ResumeFile::open(t.options.resume_directory, key);
    REQUIRE_OK(file);
    auto bytes = file->read();
    REQUIRE(bytes.has_value());
    (*bytes)[std::string_view("troth download 2").size()] ^= std::byte{1};  // of the boot
    REQUIRE_OK(file->write(*bytes));
  }
  fs::path hidden;
  for (const auto& entry : fs::directory_iterator(t.local(""))) {
    if (entry.path().filename().string().starts_with(".troth-get-"))
      hidden = entry.path();
  }
  REQUIRE(::truncate(hidden.c_str(), 0) == 0);
  REQUIRE(::truncate(hidden.c_str(), static_cast<off_t>(text.size())) == 0);
  const auto fetches = t.server.calls("fetch");
  REQUIRE_OK(t.get("/large", "back"));
  CHECK(t.server.calls("fetch") - fetches == 2);
  CHECK(*test_support::read_file(t.local("back")) == text);
}

TEST_CASE("what arrives is checked against the name of the content") {
  Transfers t;
  const std::string text = text_pattern(2 * kPiece);
  REQUIRE_OK(t.put("large", text));
  Found found = t.find("/large");
  ContentBlocks blocks(text.size());
  REQUIRE_OK(blocks.add(0, common::as_bytes(text)));
  found.node.content.emplace();
  found.node.content->fill(std::byte{1});
  const UniqueFd fd(::open(t.local("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK_FAILS(download(*t.client, found.fid, found.node, {fd.get(), "bad", 0600, {}}, t.options),
              ErrorCode::Corrupt);
  CHECK(test_support::entries_of(t.dir.path() / "local") == 1);
  CHECK(t.memories() == 0);
}

TEST_CASE("a file is read in order, from any place") {
  Transfers t;
  const std::string text = text_pattern(5'000'000);
  REQUIRE_OK(t.put("f", text));
  const Found found = t.find("/f");
  std::string got;
  const auto take = [&](common::ByteView bytes) -> common::Status {
    got += common::as_text(bytes);
    return {};
  };
  REQUIRE_OK(read_file(*t.client, found.fid, found.node, 0, text.size(), take, t.options));
  CHECK(got == text);
  got.clear();
  REQUIRE_OK(read_file(*t.client, found.fid, found.node, 4'999'990, 100, take, t.options));
  CHECK(got == text.substr(4'999'990));
  const auto refuse = [](common::ByteView) -> common::Status {
    return common::fail(ErrorCode::IoError, "full");
  };
  CHECK_FAILS(read_file(*t.client, found.fid, found.node, 0, text.size(), refuse, t.options),
              ErrorCode::IoError);
}
