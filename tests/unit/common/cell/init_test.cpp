#include "common/cell/init.hpp"

#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "common/cell/certificate_files.hpp"
#include "common/cell/first_contents.hpp"
#include "common/cell/first_secrets.hpp"
#include "common/config/document.hpp"
#include "common/crypto/hash.hpp"
#include "common/ticket/keys.hpp"
#include "common/ticket/keytab.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::cell;
using test_support::entries_of;
using test_support::TempDir;

namespace {

const WallTime kNow = WallTime(std::chrono::seconds(1'800'000'000));

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

std::string plan_refusal(const InitOptions& options) {
  const auto planned = plan_cell(options, kNow);
  return planned ? "ok" : planned.error().message;
}

}  // namespace

TEST_CASE("a new cell has everything its servers need") {
  const TempDir dir;
  const auto report = init_cell((dir / "cell/").string(), {.name = "home"}, kNow);
  REQUIRE_OK(report);
  CHECK(report->directory == (dir / "cell").string());
  CHECK(report->unfinished.empty());
  CHECK(entries_of(dir.path()) == 1);

  const auto description = load_description(report->directory);
  REQUIRE_OK(description);
  CHECK(description->servers == report->description.servers);
  CHECK(description->servers.at(2).address == "127.0.0.1:7482");
  CHECK(description->servers.at(2).health == "127.0.0.1:7492");

  const auto authority = read_certificate(description->ca);
  REQUIRE_OK(authority);
  for (const ServerEntry& server : description->servers) {
    const std::string base = report->directory + "/" + server.role;
    const bool is_kdc = server.role == "kdc";
    CHECK(entries_of(base + "/data") == (is_kdc ? 1 : 0));
    CHECK(std::filesystem::exists(base + "/keytab") == !is_kdc);
    const auto certificate = read_certificate(base + "/server.crt");
    REQUIRE_OK(certificate);
    const auto key = read_key(base + "/server.key");
    REQUIRE_OK(key);
    CHECK(certificate->belongs_to(*key));
    for (const char* host : {"localhost", "127.0.0.1", "::1"}) {
      CHECK_OK(crypto::verify_certificate(
          *certificate, *authority,
          {.now = kNow, .reached_at = host, .cell_id = description->id, .role = server.role}));
    }
    const std::string file = base + "/troth-" + server.role + ".toml";
    const auto document = config::read_text_document(file, test_support::read_file(file).value());
    REQUIRE_OK(document);
    const auto& settings = document->tables.at("server").values;
    CHECK(settings.at("name") == server.name);
    CHECK(settings.at("role") == server.role);
    CHECK(settings.at("listen") == server.address);
    CHECK(settings.at("health_listen") == server.health);
    for (const auto& [name, path] : document->tables.at("tls").values)
      CHECK(std::filesystem::exists(base + "/" + path));
  }
}

TEST_CASE("keys are their owner's alone, what clients need is public") {
  const TempDir dir;
  ::umask(0);  // the modes do not come from the caller's mask
  REQUIRE_OK(init_cell((dir / "cell").string(), {}, kNow));
  ::umask(022);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir / "cell")) {
    const std::string path = entry.path().string().substr((dir / "cell").string().size() + 1);
    INFO(path);
    const bool is_public = path == "cell.toml" || path == "ca" || path == "ca/ca.crt";
    const unsigned expected =
        entry.is_directory() ? (is_public ? 0755 : 0700) : (is_public ? 0644 : 0600);
    CHECK(mode_of(entry.path()) == expected);
  }
  CHECK(mode_of(dir / "cell") == 0755);
}

TEST_CASE("an existing directory or file is never touched") {
  const TempDir dir;
  REQUIRE_OK(init_cell((dir / "cell").string(), {.name = "first"}, kNow));
  const auto again = init_cell((dir / "cell").string(), {.name = "second"}, kNow);
  CHECK_FAILS(again, ErrorCode::AlreadyExists);
  CHECK(again.error().message == (dir / "cell").string() +
                                     " exists already and is never overwritten; choose another "
                                     "directory or move it away");
  CHECK(load_description((dir / "cell").string()).value().name == "first");
  REQUIRE_OK(test_support::write_file(dir / "file", "mine"));
  CHECK_FAILS(init_cell((dir / "file").string(), {}, kNow), ErrorCode::AlreadyExists);
  std::filesystem::create_symlink("nowhere", dir / "link");
  CHECK_FAILS(init_cell((dir / "link").string(), {}, kNow), ErrorCode::AlreadyExists);
  CHECK_FAILS(init_cell(dir.path().string() + "/.", {}, kNow), ErrorCode::AlreadyExists);
  CHECK_FAILS(init_cell("/", {}, kNow), ErrorCode::InvalidArgument);
  CHECK_FAILS(init_cell("", {}, kNow), ErrorCode::InvalidArgument);
  CHECK(entries_of(dir.path()) == 3);
}

TEST_CASE("a missing parent is said, not made") {
  const TempDir dir;
  const auto made = init_cell((dir / "a/b").string(), {}, kNow);
  CHECK_FAILS(made, ErrorCode::NotFound);
  CHECK(made.error().message.find("make " + (dir / "a").string() + " first") != std::string::npos);
  CHECK(entries_of(dir.path()) == 0);
}

TEST_CASE("a parent that may not be written to is said") {
  if (::geteuid() != 0)
    SKIP_TEST("needs root, to become a user who may not write here");
  const TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)
      ::_exit(8);
    const auto made = init_cell((dir / "cell").string(), {}, kNow);
    const bool good =
        !made && made.error().code == ErrorCode::PermissionDenied &&
        made.error().message.find("whose parent you may write to") != std::string::npos;
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(entries_of(dir.path()) == 0);
}

TEST_CASE("leftovers of an interrupted attempt are reported and in nobody's way") {
  const TempDir dir;
  std::filesystem::create_directory(dir / ".cell.new-12345678");
  std::filesystem::create_directory(dir / ".other.new-12345678");
  const auto report = init_cell((dir / "cell").string(), {}, kNow);
  REQUIRE_OK(report);
  CHECK(report->unfinished == std::vector<std::string>{(dir / ".cell.new-12345678").string()});
}

TEST_CASE("hosts go into certificates, the first into the description") {
  const auto planned = plan_cell(
      {.listen = "0.0.0.0", .hosts = {"big.example.org", "10.1.2.3", "fd00::7"}, .port = 9000},
      kNow);
  REQUIRE_OK(planned);
  CHECK(planned->description.servers.at(0).address == "big.example.org:9000");
  CHECK(planned->description.servers.at(2).address == "big.example.org:9002");
  CHECK(planned->description.servers.at(2).health == "127.0.0.1:9012");
  for (const NewFile& file : planned->tree.files) {
    if (file.path != "kdc/server.crt")
      continue;
    const auto info =
        crypto::Certificate::from_pem(as_text(file.content.bytes())).value().inspect().value();
    CHECK(info.dns_names == std::vector<std::string>{"big.example.org", "localhost"});
    CHECK(info.addresses == std::vector<std::string>{"10.1.2.3", "fd00::7", "127.0.0.1", "::1"});
  }
  const auto six = plan_cell({.listen = "::1"}, kNow);
  REQUIRE_OK(six);
  CHECK(six->description.servers.at(0).address == "[::1]:7480");
}

TEST_CASE("bad options are refused in one line that says what to do") {
  for (const char* listen : {"", "localhost", "127.0.0.256", "127.0.0.1:80", "::g", "*"}) {
    CHECK(plan_refusal({.listen = listen}).find("is not an address to listen on; give an IPv4") !=
          std::string::npos);
  }
  CHECK(plan_refusal({.listen = "0.0.0.0"}).find("give it with --host") != std::string::npos);
  CHECK(plan_refusal({.listen = "::"}).find("give it with --host") != std::string::npos);
  for (const char* host : {"", "a b", "0.0.0.0", "a:1", "a/b", "*.example.org"}) {
    INFO(host);
    CHECK(plan_refusal({.hosts = {host}}) != "ok");
  }
  CHECK(plan_refusal({.name = "my cell"}).starts_with("the cell's name is \"my cell\"; expected"));
  CHECK(plan_refusal({.name = ""}) != "ok");
  CHECK(plan_refusal({.port = 0}).starts_with("port 0 is outside"));
  CHECK(plan_refusal({.port = 65535}).starts_with("port 65535 is outside"));
  CHECK(plan_refusal({.certificate_validity = std::chrono::days(500)}) != "ok");
}

TEST_CASE("two cells of one name differ in id and authority") {
  const auto a = plan_cell({}, kNow).value();
  const auto b = plan_cell({}, kNow).value();
  CHECK(a.description.id != b.description.id);
}

TEST_CASE("the KDC's first contents and the keytabs hold the same keys") {
  const TempDir dir;
  const auto report = init_cell((dir / "cell").string(), {.administrator = "root.of-all"}, kNow);
  REQUIRE_OK(report);
  const std::string base = report->directory;
  const std::string encoded = test_support::read_file(base + "/kdc/data/first-contents").value();
  const auto contents = decode_first_contents(as_bytes(encoded));
  REQUIRE_OK(contents);
  CHECK(contents->cell == report->description.id);
  CHECK(contents->administrator == "root.of-all");
  REQUIRE(contents->services.size() == 2);
  for (const FirstService& service : contents->services) {
    const std::string role = service.name.substr(0, service.name.find('/'));
    CHECK(service.name == role + "/" + role + "1");
    const auto keytab = ticket::load_keytab(base + "/" + role + "/keytab");
    REQUIRE_OK(keytab);
    CHECK(keytab->cell() == contents->cell);
    CHECK(keytab->principal() == service.name);
    REQUIRE(keytab->entries().size() == 1);
    CHECK(keytab->newest()->kvno == 1);
    CHECK(crypto::constant_time_equal(keytab->newest()->key.bytes(), service.key.bytes()));
  }
  // The password that is shown is the one that was meant.
  const auto key = crypto::scrypt(report->administrator_password, contents->salt,
                                  contents->parameters, ticket::kKeyBytes);
  REQUIRE_OK(key);
  CHECK(crypto::constant_time_equal(key->bytes(), contents->administrator_key.bytes()));
  const std::string prefix =
      contents->cell + std::string(1, '\0') + "root.of-all" + std::string(1, '\0');
  CHECK(as_text(contents->salt).substr(0, prefix.size()) == prefix);
  CHECK(contents->salt.size() == prefix.size() + 16);
  // And it is in no file.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(base)) {
    if (entry.is_regular_file())
      CHECK(test_support::read_file(entry.path())
                .value()
                .find(as_text(report->administrator_password.bytes())) == std::string::npos);
  }
  CHECK(test_support::read_file(base + "/kdc/cell.toml").value() ==
        test_support::read_file(base + "/cell.toml").value());
}

TEST_CASE("an administrator who brings his password is shown none") {
  const auto password = crypto::Secret::copy_of(as_bytes("correct horse"));
  const auto planned = plan_cell({.administrator_password = &password}, kNow);
  REQUIRE_OK(planned);
  CHECK(planned->administrator_password.empty());
  for (const char* bad : {"", "two\nlines", "\xff"}) {
    const auto wrong = crypto::Secret::copy_of(as_bytes(bad));
    CHECK_FAILS(plan_cell({.administrator_password = &wrong}, kNow), ErrorCode::InvalidArgument);
  }
  CHECK(plan_refusal({.administrator = "Admin"}).find("administrator") != std::string::npos);
  CHECK(plan_refusal({.administrator = "system"}).find("administrator") != std::string::npos);
}

TEST_CASE("random passwords are readable and never the same") {
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const auto password = new_readable_password();
    REQUIRE_OK(password);
    const std::string text(as_text(password->bytes()));
    CHECK(text.size() == 19);
    CHECK(text.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz-") == std::string::npos);
    CHECK(seen.insert(text).second);
  }
}
