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
