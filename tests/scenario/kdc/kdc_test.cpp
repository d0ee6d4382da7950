// The KDC as a process: what it leaves on the disk, what a kill -9 takes, how it refuses to start.

#include <signal.h>
#include <sys/stat.h>

#include <fstream>

#include "common/auth/authenticate.hpp"
#include "tests/support/kdc_process.hpp"
#include "tests/support/test.hpp"

namespace {

using common::ErrorCode;
using common::Result;
using common::crypto::Secret;
using nlohmann::json;
using test_support::AdminClient;
using test_support::in_a_while;
using test_support::KdcFiles;
using test_support::KdcProcess;
namespace fs = std::filesystem;
namespace ticket = common::ticket;

constexpr std::string_view kRoot = KdcFiles::kRootPassword;

struct Fixture {
  KdcFiles files;
  KdcProcess kdc{files};

  Result<ticket::Credential> login(std::string_view user, std::string_view password,
                                   std::string_view service = "kdc/tgs") {
    ticket::AsWanted wanted;
    wanted.client = user;
    wanted.service = service;
    return kdc.client().login(std::move(wanted), Secret::copy_of(common::as_bytes(password)),
                              in_a_while());
  }
  AdminClient admin() {
    auto credential = login("root", kRoot, "kdc/admin");
    REQUIRE_OK(credential);
    auto shared = std::make_shared<const ticket::Credential>(*std::move(credential));
    return AdminClient(
        kdc.client().client_options(0, common::auth::authenticate_with(std::move(shared))));
  }
  // What it says when it does not start, and that it ends by itself.
  std::string why_not() {
    const auto started = kdc.start();
    REQUIRE(!started);
    const auto ended = kdc.process().wait();
    REQUIRE_OK(ended);
    CHECK(ended->code == 1);
    return kdc.process().error_output();
  }
  std::string data(const std::string& name) const { return files.data() + "/" + name; }
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "the first start takes the first contents and destroys their file") {
  REQUIRE(fs::exists(data("first-contents")));
  REQUIRE_OK(kdc.start());
  CHECK(!fs::exists(data("first-contents")));
  CHECK_OK(login("root", kRoot));
  const auto ended = kdc.terminate();
  REQUIRE_OK(ended);
  CHECK(ended->ok());
  REQUIRE_OK(kdc.start());
  CHECK_OK(login("root", kRoot));
}

TEST_CASE_FIXTURE(Fixture, "nobody else can read what it keeps, and it leaves no core") {
  REQUIRE_OK(kdc.start());
  REQUIRE_OK(login("root", kRoot));
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(files.data())) {
    CAPTURE(entry.path());
    struct stat info {};
    REQUIRE(::stat(entry.path().c_str(), &info) == 0);
    CHECK((info.st_mode & 077) == 0);
    ++checked;
  }
  CHECK(checked >= 2);
  const std::string limits = text_of(fmt::format("/proc/{}/limits", kdc.process().pid()));
  CHECK(limits.find("Max core file size        0                    0") != std::string::npos);
  const std::string words = text_of(fmt::format("/proc/{}/cmdline", kdc.process().pid())) +
                            text_of(fmt::format("/proc/{}/environ", kdc.process().pid()));
  CHECK(words.find(kRoot) == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "what was answered before kill -9 is in the audit log after it") {
  REQUIRE_OK(kdc.start());
  constexpr int kLogins = 5;
  for (int i = 0; i < kLogins; ++i) {
    const auto tgt = login("root", kRoot);
    REQUIRE_OK(tgt);
    REQUIRE_OK(kdc.client().ticket({.service = "fileserver/fs1"}, *tgt, in_a_while()));
  }
  CHECK_FAILS(login("root", "not the password"), ErrorCode::Unauthenticated);
  kdc.kill();
  REQUIRE_OK(kdc.start());
  AdminClient root = admin();
  const auto count = [&](const char* event, const char* outcome) {
    const json records = root.must("audit", {{"event", event}, {"limit", 1000}})["records"];
    return std::count_if(records.begin(), records.end(),
                         [&](const json& record) { return record["outcome"] == outcome; });
  };
  CHECK(count("as", "ok") == kLogins + 1);
  CHECK(count("as", "unauthenticated") == 1);
  CHECK(count("tgs", "ok") == kLogins);
  CHECK(root.must("audit-verify")["ok"] == true);
}

TEST_CASE_FIXTURE(Fixture, "F43: kill -9 forgives no guesses") {
  REQUIRE_OK(kdc.start());
  int tried = 0;
  for (int i = 0; i < 20; ++i) {
    const auto answer = login("somebody", "a guess");
    tried += !answer && answer.error().code == ErrorCode::Unauthenticated;
  }
  CHECK(tried >= 10);
  CHECK(tried <= 13);
  kdc.kill();
  REQUIRE_OK(kdc.start());
  CHECK_FAILS(login("somebody", "a guess"), ErrorCode::Overloaded);
  CHECK_OK(login("root", kRoot));
}

TEST_CASE_FIXTURE(Fixture, "without its master keys it does not start, and says what to do") {
  REQUIRE_OK(kdc.start());
  kdc.kill();
  fs::rename(data("master.keys"), data("away"));
  CHECK(why_not().find("master.keys is missing") != std::string::npos);
  // Readable by others: somebody may have read them.
  fs::rename(data("away"), data("master.keys"));
  fs::permissions(data("master.keys"), fs::perms::owner_read | fs::perms::others_read);
  CHECK(why_not().find("master.keys") != std::string::npos);
  fs::permissions(data("master.keys"), fs::perms::owner_read | fs::perms::owner_write);
  // Another cell's.
  {
    KdcFiles other;
    KdcProcess theirs(other);
    REQUIRE_OK(theirs.start());
    theirs.kill();
    fs::copy_file(data("master.keys"), data("mine"));
    fs::copy_file(other.data() + "/master.keys", data("master.keys"),
                  fs::copy_options::overwrite_existing);
  }
  CHECK(why_not().find("master") != std::string::npos);
  fs::rename(data("mine"), data("master.keys"));
  REQUIRE_OK(kdc.start());
  CHECK_OK(login("root", kRoot));
}

TEST_CASE_FIXTURE(Fixture, "SIGHUP reads the certificate again and disturbs nobody") {
  REQUIRE_OK(kdc.start());
  AdminClient root = admin();
  REQUIRE_OK(kdc.process().signal(SIGHUP));
  REQUIRE_OK(kdc.process().wait_for_line("reload"));
  CHECK_OK(root.call("whoami"));
  CHECK_OK(login("root", kRoot));
}

TEST_CASE_FIXTURE(Fixture,
                  "what --dump wrote becomes a KDC elsewhere with --load, and people log in") {
  const auto program = test_support::find_program("troth-kdc");
  REQUIRE_OK(program);
  const auto offline = [&](const char* option, const std::string& file) {
    auto result =
        test_support::run_command(*program, {"--config", files.path() / "kdc.toml", option, file});
    REQUIRE_OK(result);
    return *std::move(result);
  };
  const std::string file = files.path() / "kdc.dump";
  REQUIRE_OK(kdc.start());
  admin().must("user-add", {{"name", "alice"}}, "alices long word");
  REQUIRE_OK(login("alice", "alices long word"));
  const auto in_use = offline("--dump", file);
  CHECK(in_use.status.code == 1);
  CHECK(in_use.error_output.find("in use") != std::string::npos);
  CHECK(in_use.error_output.find(std::to_string(kdc.process().pid())) != std::string::npos);
  CHECK(!fs::exists(file));
  REQUIRE_OK(kdc.terminate());

  const auto dumped = offline("--dump", file);
  CAPTURE(dumped.error_output);
  CHECK(dumped.status.ok());
  CHECK(dumped.output.find(file) != std::string::npos);
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const std::string text = text_of(file);
  CHECK(text.find("alice") != std::string::npos);
  CHECK(offline("--dump", file).error_output.find("exists already") != std::string::npos);
  CHECK(text_of(file) == text);
  CHECK(offline("--load", file).error_output.find("empty directory") != std::string::npos);

  // Another machine: an empty data directory, and the master keys that were kept elsewhere.
  fs::rename(files.data(), files.path() / "before");
  CHECK(offline("--load", file).status.code == 1);
  CHECK(!fs::exists(files.data()));  // what it had made is gone again
  fs::create_directory(files.data());
  fs::permissions(files.data(), fs::perms::owner_all);
  fs::copy_file(files.path() / "before" / "master.keys", data("master.keys"));
  const auto loaded = offline("--load", file);
  CAPTURE(loaded.error_output);
  CHECK(loaded.status.ok());
  CHECK(loaded.output.find("the audit log is whole") != std::string::npos);
  REQUIRE_OK(kdc.start());
  CHECK_OK(login("alice", "alices long word"));
  const auto tgt = login("root", kRoot);
  REQUIRE_OK(tgt);
  CHECK_OK(kdc.client().ticket({.service = "fileserver/fs1"}, *tgt, in_a_while()));
  AdminClient root = admin();
  CHECK(root.must("audit-verify")["ok"] == true);
  CHECK(root.must("audit", {{"event", "load"}, {"limit", 10}})["records"].size() == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "the master key is replaced while people log in, and kill -9 stops it nowhere") {
  REQUIRE_OK(kdc.start());
  const std::string before = text_of(data("master.keys"));
  {
    AdminClient root = admin();
    for (int i = 0; i < 20; ++i)
      root.must("service-add", {{"name", "printer/p" + std::to_string(i)}});
    CHECK(root.must("master-rotate")["version"] == 2);
    CHECK_OK(login("root", kRoot));
  }
  // Wherever it is by now, the next start goes on.
  kdc.kill();
  REQUIRE_OK(kdc.start());
  CHECK_OK(login("root", kRoot));
  AdminClient root = admin();
  const auto limit = in_a_while();
  json status = root.must("master-status");
  while (status["under_way"] == true && common::rpc::now() < limit) {
    CHECK_OK(root.call("whoami"));
    status = root.must("master-status");
  }
  CHECK(status["under_way"] == false);
  CHECK(status["version"] == 2);
  CHECK(status["rows_left"] == 0);
  CHECK(text_of(data("master.keys")) != before);
  CHECK_OK(login("root", kRoot));
  CHECK_OK(kdc.client().login({}, files.keytab("host/desk7"), in_a_while()));
  // The key of before opens nothing any more.
  kdc.kill();
  const std::string after = text_of(data("master.keys"));
  std::ofstream(data("master.keys")) << before;
  CHECK(why_not().find("put the stash file back") != std::string::npos);
  std::ofstream(data("master.keys")) << after;
  REQUIRE_OK(kdc.start());
  CHECK_OK(login("root", kRoot));
}
