#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "common/wire/mount_status.hpp"
#include "run_troth.hpp"
#include "tests/support/live_cell.hpp"

using scenario::check_refused;
using scenario::troth;
using test_support::LiveCell;
using test_support::TempDir;

namespace {

nlohmann::json status_of(const LiveCell& cell, int expected_code,
                         const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"status", "--json", "--cell", cell.directory().string()};
  words.insert(words.end(), more.begin(), more.end());
  const auto result = troth(words);
  INFO(result.output << result.error_output);
  CHECK(result.status.code == expected_code);
  return common::wire::parse_json(result.output.substr(0, result.output.size() - 1)).value();
}

// What is said about the server with this role.
nlohmann::json part_of(const nlohmann::json& status, const std::string& role) {
  for (const auto& part : status["parts"]) {
    if (part["kind"] == role)
      return part;
  }
  return {};
}

bool says(const nlohmann::json& part, std::string_view words) {
  INFO(part.dump());
  return part["message"].get<std::string>().find(words) != std::string::npos;
}

// A socket that is listened at and never served.
common::UniqueFd listen_at(const std::filesystem::path& path) {
  common::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.string().size() < sizeof(address.sun_path));
  path.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(fd.get(), 8) == 0);
  return fd;
}

}  // namespace

TEST_CASE("a running cell is up, and a server that is not is down with the reason") {
  auto cell = LiveCell::create();
  REQUIRE_OK(cell);
  REQUIRE_OK((*cell)->start("kdc"));
  REQUIRE_OK((*cell)->start("lockserver"));
  const auto status = status_of(**cell, 1);
  CHECK(status["well"] == false);
  const auto kdc = part_of(status, "kdc");
  CHECK(kdc["up"] == true);
  CHECK(kdc["certificate_days_left"] == 29);
  CHECK(kdc["version"].get<std::string>().starts_with("0."));
  CHECK(kdc.contains("uptime_s"));
  const auto fileserver = part_of(status, "fileserver");
  CHECK(fileserver["up"] == false);
  CHECK(says(fileserver, "refused"));

  const auto text = troth({"status", "--cell", (*cell)->directory().string()});
  CHECK(text.output.find("down   fileserver") != std::string::npos);
  CHECK(text.output.find("why: ") != std::string::npos);
}

TEST_CASE("a stopped server is down for not answering, within the time given") {
  auto cell = LiveCell::create();
  REQUIRE_OK(cell);
  REQUIRE_OK((*cell)->start("kdc"));
  REQUIRE_OK((*cell)->process("kdc").stop());
  const auto kdc = part_of(status_of(**cell, 1, {"--timeout", "1"}), "kdc");
  CHECK(kdc["up"] == false);
  CHECK(says(kdc, "in time"));
}

TEST_CASE("a server of another cell is down for its certificate") {
  auto cell = LiveCell::create();
  REQUIRE_OK(cell);
  REQUIRE_OK((*cell)->start("kdc"));
  // Another cell of the same address: its authority did not sign what answers there.
  const TempDir dir;
  const std::string other = (dir / "cell").string();
  CHECK(troth({"cell", "init", other, "--listen", (*cell)->address()}).status.ok());
  const auto result = troth({"status", "--json", "--cell", other});
  CHECK(result.status.code == 1);
  const auto kdc = part_of(
      common::wire::parse_json(result.output.substr(0, result.output.size() - 1)).value(), "kdc");
  CHECK(kdc["up"] == false);
  CHECK(says(kdc, "not issued by this cell's authority"));
}

TEST_CASE("a mount is shown while it runs and as gone when it was killed") {
  const TempDir dir;
  const TempDir runtime;
  std::filesystem::permissions(runtime.path(), std::filesystem::perms(0700));
  const std::map<std::string, std::string> environment{
      {"TROTH_RUNTIME_DIR", runtime.path().string()}};
  const auto program = test_support::find_program("troth-mount");
  REQUIRE_OK(program);
  auto mount =
      test_support::Process::spawn(*program, {dir.path().string()}, {.environment = environment});
  REQUIRE_OK(mount);
  REQUIRE_OK(mount->wait_for_line("serving status"));
  const auto up = troth({"status", "--json"}, {.environment = environment});
  const auto part =
      part_of(common::wire::parse_json(up.output.substr(0, up.output.size() - 1)).value(), "mount");
  CHECK(part["up"] == true);
  CHECK(part["name"] == dir.path().string());
  mount->kill();
  const auto down = troth({"status", "--json"}, {.environment = environment});
  CHECK(down.status.code == 1);
  CHECK(down.output.find("its process is gone") != std::string::npos);
}

TEST_CASE("whoever is silent is named, and takes nobody else's time") {
  constexpr int kSilentMounts = 20;
  auto cell = LiveCell::create();
  REQUIRE_OK(cell);
  REQUIRE_OK((*cell)->start("kdc"));
  REQUIRE_OK((*cell)->start("lockserver"));
  REQUIRE_OK((*cell)->process("kdc").stop());
  const TempDir runtime;
  const TempDir mount_point;
  std::filesystem::permissions(runtime.path(), std::filesystem::perms(0700));
  const std::map<std::string, std::string> environment{
      {"TROTH_RUNTIME_DIR", runtime.path().string()}};
  auto mount =
      test_support::Process::spawn(test_support::find_program("troth-mount").value(),
                                   {mount_point.path().string()}, {.environment = environment});
  REQUIRE_OK(mount);
  REQUIRE_OK(mount->wait_for_line("serving status"));
  // They accept, as the kernel does for them, and say nothing.
  std::vector<common::UniqueFd> silent;
  for (int i = 0; i < kSilentMounts; ++i)
    silent.push_back(listen_at(runtime / ("a" + std::to_string(i) + ".sock")));

  const auto before = std::chrono::steady_clock::now();
  const auto result =
      troth({"status", "--timeout", "2", "--json", "--cell", (*cell)->directory().string()},
            {.environment = environment});
  const auto took = std::chrono::steady_clock::now() - before;
  CHECK(took < std::chrono::seconds(kSilentMounts));
  CHECK(result.status.code == 1);
  const auto status =
      common::wire::parse_json(result.output.substr(0, result.output.size() - 1)).value();
  CHECK(says(part_of(status, "kdc"), "in time"));
  CHECK(part_of(status, "lockserver")["up"] == true);
  int named = 0;
  int up = 0;
  for (const auto& part : status["parts"]) {
    if (part["kind"] != "mount")
      continue;
    up += part["up"] == true ? 1 : 0;
    named += part["up"] == false && says(part, "did not answer in time") ? 1 : 0;
  }
  CHECK(named == kSilentMounts);
  CHECK(up == 1);
}

TEST_CASE("what a mount says of itself cannot write to the terminal or pass for another line") {
  const TempDir runtime;
  std::filesystem::permissions(runtime.path(), std::filesystem::perms(0700));
  const common::UniqueFd listener = listen_at(runtime / "evil.sock");
  const std::string forged = "\nup     kdc         kdc1";
  const std::string evil =
      "\x1B[2J\x1B]0;owned\x07\r" + forged + "\u202E\u009B31m" + "\x1B[32m" + std::string(800, 'x');
  common::wire::MountStatus status;
  status.ready = true;
  status.mount_point = "/m" + forged;
  status.version = "1" + forged;
  status.message = evil;
  const std::string answer = common::wire::encode_mount_status(status).value();
  for (const bool json : {false, true}) {
    CAPTURE(json);
    std::thread mount([&] {
      const common::UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
      CHECK(::write(peer.get(), answer.data(), answer.size()) ==
            static_cast<ssize_t>(answer.size()));
    });
    std::vector<std::string> words{"status"};
    if (json)
      words.emplace_back("--json");
    const auto result =
        troth(words, {.environment = {{"TROTH_RUNTIME_DIR", runtime.path().string()}}});
    mount.join();
    INFO(result.output);
    CHECK(result.status.code == 0);
    for (const char c : result.output)
      CHECK((c == '\n' || (c >= ' ' && c <= '~')));
    CHECK(result.output.find(forged) == std::string::npos);
    if (json) {
      const auto parsed =
          common::wire::parse_json(result.output.substr(0, result.output.size() - 1));
      REQUIRE_OK(parsed);
      CHECK(part_of(*parsed, "mount")["name"] == status.mount_point);
    } else {
      CHECK(result.output.find("\\x1b[2J") != std::string::npos);
      CHECK(result.output.find("\\nup     kdc") != std::string::npos);
      CHECK(result.output.size() < 1200);
      CHECK(std::count(result.output.begin(), result.output.end(), '\n') == 2);
    }
  }
}

TEST_CASE("status without a cell and without mounts says where it looked") {
  check_refused(troth({"status"}), 1, "no cell found in /etc/troth");
  check_refused(troth({"status", "--timeout", "0"}), 2, "--timeout is 1 to");
}
