// Whoever starts a server wrongly gets one line that says what to do, an exit code that is not
// zero, and a directory that looks as before.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "common/clock.hpp"
#include "tests/scenario/cell_certificates.hpp"
#include "tests/support/live_cell.hpp"
#include "tests/support/test.hpp"

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace test_support;
using scenario::replace_certificate;

namespace {

// Everything below a directory: kind, mode, owner and content. Of a lock file only that it may be
// there: it says nothing to anybody once its holder is gone.
std::map<std::string, std::string> snapshot(const fs::path& directory) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename() == "lock")
      continue;
    struct stat info {};
    ::lstat(entry.path().c_str(), &info);
    std::string content;
    if (entry.is_regular_file())
      content = read_file(entry.path()).value_or("?");
    found[entry.path()] = fmt::format("{:o} {} {}", info.st_mode, info.st_uid, content);
  }
  return found;
}

std::unique_ptr<LiveCell> make_cell() {
  auto cell = LiveCell::create();
  REQUIRE_OK(cell);
  return std::move(*cell);
}

void check_one_line(const CommandResult& result, const std::vector<std::string>& words) {
  const std::string& said = result.error_output;
  CAPTURE(said);
  CHECK(result.status.code.value_or(0) != 0);
  CHECK(result.status.signal == std::nullopt);
  CHECK(result.output == "");
  CHECK(std::count(said.begin(), said.end(), '\n') == 1);
  CHECK((!said.empty() && said.back() == '\n'));
  CHECK(said.find("Sanitizer") == std::string::npos);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(said.find(word) != std::string::npos);
  }
}

// Starts the server and expects to be told all `words` in one line, nothing made or changed.
void check_refused(const LiveCell& cell, std::string_view role,
                   const std::vector<std::string>& words, ProcessOptions options = {},
                   std::optional<std::vector<std::string>> arguments = std::nullopt) {
  const auto program = find_program(fmt::format("troth-{}", role));
  REQUIRE_OK(program);
  const ProcessOptions usual = cell.options_for(role);
  options.environment.insert(usual.environment.begin(), usual.environment.end());
  options.environment.erase("NOTIFY_SOCKET");
  options.without = usual.without;
  const auto before = snapshot(cell.directory());
  const auto result = run_command(
      *program,
      arguments.value_or(std::vector{std::string("--config"), cell.config(role).string()}),
      options);
  REQUIRE_OK(result);
  check_one_line(*result, words);
  CHECK((snapshot(cell.directory()) == before));
}

void replace_in(const fs::path& file, std::string_view from, std::string_view to) {
  auto text = read_file(file);
  REQUIRE_OK(text);
  const auto at = text->find(from);
  REQUIRE(at != std::string::npos);
  text->replace(at, from.size(), to);
  REQUIRE_OK(write_file(file, *text));
}

void copy_over(const fs::path& from, const fs::path& to) {
  fs::copy_file(from, to, fs::copy_options::overwrite_existing);
}

// A socket that listens on "address:port".
common::UniqueFd occupy(const std::string& endpoint) {
  const auto colon = endpoint.rfind(':');
  common::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  REQUIRE(::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr) == 1);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(fd.get(), 1) == 0);
  return fd;
}

}  // namespace

TEST_CASE("an unknown key, a bad value and a broken file are named by file and line") {
  const auto cell = make_cell();
  const fs::path file = cell->config("kdc");
  const std::string good = *read_file(file);
  const std::string place = file.string() + ":";
  SUBCASE("unknown key") {
    replace_in(file, "name = ", "colour = \"blue\"\nname = ");
    check_refused(*cell, "kdc", {place, "colour"});
  }
  SUBCASE("unknown section") {
    REQUIRE_OK(write_file(file, good + "[paint]\ncolour = 1\n"));
    check_refused(*cell, "kdc", {place, "paint"});
  }
  SUBCASE("a value of another type") {
    REQUIRE_OK(write_file(file, good + "[limits]\nthreads = \"many\"\n"));
    check_refused(*cell, "kdc", {place, "threads"});
  }
  SUBCASE("a value out of bounds") {
    REQUIRE_OK(write_file(file, good + "[limits]\nthreads = 0\n"));
    check_refused(*cell, "kdc", {place, "threads"});
  }
  SUBCASE("an address that is none") {
    replace_in(file, cell->listen("kdc"), "nowhere");
    check_refused(*cell, "kdc", {place, "listen"});
  }
  SUBCASE("not TOML at all") {
    REQUIRE_OK(write_file(file, "[server\nname"));
    check_refused(*cell, "kdc", {place});
  }
  SUBCASE("a key that is missing") {
    replace_in(file, "data_dir", "# data_dir");
    check_refused(*cell, "kdc", {"data_dir"});
  }
}

TEST_CASE("a bad value in the environment is named by its variable") {
  const auto cell = make_cell();
  check_refused(*cell, "lockserver", {"TROTH_LIMITS_THREADS"},
                {.environment = {{"TROTH_LIMITS_THREADS", "many"}}});
}

TEST_CASE("a bad command line says what to type") {
  const auto cell = make_cell();
  check_refused(*cell, "kdc", {"--config"}, {}, std::vector<std::string>{});
  check_refused(*cell, "kdc", {"--colour"}, {}, std::vector<std::string>{"--colour"});
  check_refused(*cell, "kdc", {"/no/such/file"}, {},
                std::vector<std::string>{"--config", "/no/such/file"});
  check_refused(*cell, "kdc", {cell->directory().string()}, {},
                std::vector<std::string>{"--config", cell->directory().string()});
}

TEST_CASE("a file for another role is refused") {
  const auto cell = make_cell();
  check_refused(*cell, "kdc", {"lockserver"}, {},
                std::vector<std::string>{"--config", cell->config("lockserver").string()});
}

TEST_CASE("F76: certificates that do not fit are refused with the reason") {
  const auto cell = make_cell();
  const fs::path directory = cell->role_directory("fileserver");
  const std::string certificate = (directory / "server.crt").string();
  const auto now = common::SystemClock().wall_now();
  SUBCASE("expired") {
    replace_certificate(*cell, "fileserver", now - std::chrono::days(3),
                        [](auto& request) { request.validity = std::chrono::days(1); });
    check_refused(*cell, "fileserver", {certificate, "expired"});
  }
  SUBCASE("not valid yet") {
    replace_certificate(*cell, "fileserver", now + std::chrono::days(3), [](auto&) {});
    check_refused(*cell, "fileserver", {certificate, "valid only from"});
  }
  SUBCASE("of another cell") {
    const auto other = make_cell();
    copy_over(other->role_directory("fileserver") / "server.crt", directory / "server.crt");
    copy_over(other->role_directory("fileserver") / "server.key", directory / "server.key");
    check_refused(*cell, "fileserver", {certificate, "authority"});
  }
  SUBCASE("for another role") {
    replace_certificate(*cell, "fileserver", now,
                        [](auto& request) { request.identity.role = "kdc"; });
    check_refused(*cell, "fileserver", {certificate, "kdc"});
  }
  SUBCASE("wrong key") {
    copy_over(cell->role_directory("kdc") / "server.key", directory / "server.key");
    check_refused(*cell, "fileserver", {(directory / "server.key").string(), certificate});
  }
  SUBCASE("missing") {
    fs::remove(certificate);
    check_refused(*cell, "fileserver", {certificate});
  }
  SUBCASE("empty") {
    REQUIRE_OK(write_file(certificate, ""));
    check_refused(*cell, "fileserver", {certificate});
  }
  SUBCASE("no authority") {
    fs::remove(directory / "ca.crt");
    check_refused(*cell, "fileserver", {(directory / "ca.crt").string()});
  }
}

TEST_CASE("a key that others can read is refused") {
  const auto cell = make_cell();
  const fs::path key = cell->role_directory("kdc") / "server.key";
  fs::permissions(key, fs::perms(0644));
  check_refused(*cell, "kdc", {key.string(), "chmod"});
}

TEST_CASE("a port in use is named, for calls and for health") {
  const auto cell = make_cell();
  SUBCASE("calls") {
    const auto occupied = occupy(cell->listen("kdc"));
    check_refused(*cell, "kdc", {cell->listen("kdc"), "in use"});
  }
  SUBCASE("health") {
    const auto occupied = occupy(cell->health_listen("kdc"));
    check_refused(*cell, "kdc", {cell->health_listen("kdc"), "in use"});
  }
}

TEST_CASE("a port in use leaves no data directory behind") {
  const auto cell = make_cell();
  fs::remove_all(cell->role_directory("kdc") / "data");
  const auto occupied = occupy(cell->listen("kdc"));
  check_refused(*cell, "kdc", {cell->listen("kdc")});
}

TEST_CASE("a second server on one data directory is refused, and the first goes on") {
  const auto cell = make_cell();
  REQUIRE_OK(cell->start("lockserver"));
  check_refused(*cell, "lockserver", {(cell->role_directory("lockserver") / "data").string()},
                {.environment = {{"TROTH_SERVER_LISTEN", cell->address() + ":0"},
                                 {"TROTH_SERVER_HEALTH_LISTEN", cell->address() + ":1"}}});
  CHECK(cell->process("lockserver").running());
  CHECK_OK(cell->terminate("lockserver"));
}

TEST_CASE("a data directory that cannot be written is named") {
  if (::geteuid() != 0)
    SKIP_TEST("becoming another user needs root");
  const auto cell = make_cell();
  const auto program = find_program("troth-kdc");
  REQUIRE_OK(program);
  // All of the server's files belong to that user but the data directory, and the way there is
  // open.
  const fs::path directory = cell->role_directory("kdc");
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    REQUIRE(::chown(entry.path().c_str(), 65534, 65534) == 0);
  REQUIRE(::chown(directory.c_str(), 65534, 65534) == 0);
  for (fs::path path = cell->directory(); path != fs::temp_directory_path();
       path = path.parent_path())
    fs::permissions(path, fs::perms(0755));
  const auto reachable =
      run_command("test", {"-x", program->string(), "-a", "-r", cell->config("kdc").string()},
                  {.as_nobody = true});
  REQUIRE_OK(reachable);
  if (!reachable->status.ok())
    SKIP_TEST("the build or temporary directory is closed to other users");
  const fs::path data = directory / "data";
  SUBCASE("somebody else's") {
    REQUIRE(::chown(data.c_str(), 0, 0) == 0);
    check_refused(*cell, "kdc", {data.string()}, {.as_nobody = true});
  }
  SUBCASE("without permission to write") {
    fs::permissions(data, fs::perms(0500));
    check_refused(*cell, "kdc", {data.string()}, {.as_nobody = true});
  }
  SUBCASE("missing, and its parent closed") {
    fs::remove_all(data);
    fs::permissions(directory, fs::perms(0500));
    check_refused(*cell, "kdc", {data.string()}, {.as_nobody = true});
  }
}

TEST_CASE("a data directory in a place that does not exist is named") {
  const auto cell = make_cell();
  check_refused(*cell, "kdc", {"/proc/no/such/place"},
                {.environment = {{"TROTH_SERVER_DATA_DIR", "/proc/no/such/place"}}});
}

TEST_CASE("making a cell never overwrites and leaves nothing half-made") {
  const auto cell = make_cell();
  const TempDir elsewhere;
  const auto refused = [&](const std::vector<std::string>& arguments,
                           const std::vector<std::string>& words) {
    const auto before = snapshot(cell->directory());
    const auto result = cell->troth(arguments);
    REQUIRE_OK(result);
    check_one_line(*result, words);
    CHECK((snapshot(cell->directory()) == before));
    CHECK(fs::is_empty(elsewhere.path()));
  };
  const std::string directory = cell->directory().string();
  refused({"cell", "init", directory}, {directory, "exists"});
  refused({"cell", "init", (elsewhere / "a/b").string()}, {(elsewhere / "a").string()});
  refused({"cell", "init", (elsewhere / "a").string(), "--listen", "nowhere"}, {"nowhere"});
}
