// Uploads that are interrupted, lied about, or have no room: what a server has said yes to it has,
// and nothing else.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "common/sync/locked.hpp"
#include "tests/scenario/file/content_client.hpp"
#include "tests/support/small_disk.hpp"
#include "tests/support/tcp_proxy.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using content::fetch;
using content::is_refused;
using content::make_file;
using content::noise;
using content::put;
using content::stage_write;
using nlohmann::json;
using test_support::FileCell;
using test_support::FileMount;
using test_support::FileServerAddress;
using test_support::kPatience;
using test_support::Process;
namespace rpc = common::rpc;

namespace {

constexpr std::size_t kMiB = 1 << 20;
constexpr std::size_t kPieces = 12;
constexpr std::uint64_t kSeed = 11;
// Operation numbers of the second life of a mount begin above all that the first has used.
constexpr std::uint64_t kSecondLife = 1'000'000;

json ranges_of(FileMount& mount, const json& staging) {
  const auto state = mount.call("stage-state", {{"staging", staging}});
  REQUIRE_OK(state);
  return (*state)["ranges"];
}

bool is_there(const json& ranges, std::uint64_t offset, std::uint64_t length) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const json& range) {
    const auto begin = range[0].get<std::uint64_t>();
    return begin <= offset && offset + length <= begin + range[1].get<std::uint64_t>();
  });
}

json store_of(const json& fid, const json& staging, std::size_t size) {
  return {{"fid", fid},
          {"size", size},
          {"staging", staging[1]},
          {"edits", json::array({json::array({0, size, 0})})}};
}

// Pieces that are not there, one after the other; how many.
std::size_t send_missing(FileMount& mount, rpc::Client& client, const json& staging,
                         std::string_view text) {
  const json there = ranges_of(mount, staging);
  std::size_t sent = 0;
  for (std::size_t at = 0; at < text.size(); at += kMiB) {
    if (is_there(there, at, kMiB))
      continue;
    CHECK_OK(stage_write(client, staging, {at, text.substr(at, kMiB)}));
    ++sent;
  }
  return sent;
}

// A mount may open one session a second.
void open_again(FileMount& mount) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  common::Status opened = mount.open();
  while (!opened && opened.error().code == ErrorCode::Overloaded &&
         std::chrono::steady_clock::now() < end)
    opened = mount.open();
  REQUIRE_OK(opened);
}

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

// Not a test of its own: the client that the next one kills.
TEST_CASE("an uploader that sends pieces until it is killed" *
          doctest::skip(variable("TROTH_TEST_UPLOADER").empty())) {
  const json how = json::parse(variable("TROTH_TEST_UPLOADER"));
  FileMount mount(FileCell::address_in(how["cell"], how["host"]), how["mount"]);
  REQUIRE_OK(mount.open());
  REQUIRE_OK(mount.dial());
  const auto client = mount.join();
  REQUIRE_OK(client);
  const std::string text = noise(kPieces * kMiB, kSeed);
  const std::string_view whole = text;
  const auto opened = mount.call("stage-open", {{"volume", how["volume"]}, {"size", text.size()}});
  REQUIRE_OK(opened);
  const json staging = (*opened)["staging"];
  std::fprintf(stderr, "staging %s\n", staging.dump().c_str());
  for (std::size_t at = 0; at < text.size() / 2; at += kMiB) {
    REQUIRE_OK(stage_write(**client, staging, {at, whole.substr(at, kMiB)}));
    std::fprintf(stderr, "sent %zu\n", at);
  }
  // It shall die while it sends.
  for (;;)
    REQUIRE_OK(stage_write(**client, staging, {0, whole.substr(0, kMiB)}));
}

TEST_CASE(
    "F54: an upload whose client is killed goes on in its next life, and sends nothing twice") {
  FileCell cell(content::patient());
  FileMount again(cell.address());
  const json how{{"cell", cell.cell().directory().string()},
                 {"host", cell.cell().address()},
                 {"mount", again.mount_id()},
                 {"volume", cell.volume()}};
  test_support::ProcessOptions options;
  options.environment["TROTH_TEST_UPLOADER"] = how.dump();
  options.without = {"TROTH_TEST_REPORT"};
  auto uploader =
      Process::spawn("/proc/self/exe", {"--test-case=an uploader that sends*"}, options);
  REQUIRE_OK(uploader);
  const auto told = uploader->wait_for_line("staging ");
  REQUIRE_OK(told);
  const json staging = json::parse(told->substr(std::strlen("staging ")));
  std::size_t said_yes = 0;
  for (; said_yes < kPieces / 2; ++said_yes)
    REQUIRE_OK(uploader->wait_for_line("sent "));
  uploader->kill();
  open_again(again);
  REQUIRE_OK(again.dial());
  const auto client = again.join();
  REQUIRE_OK(client);
  const json there = ranges_of(again, staging);
  for (std::size_t piece = 0; piece < said_yes; ++piece)
    CHECK(is_there(there, piece * kMiB, kMiB));
  const std::string text = noise(kPieces * kMiB, kSeed);
  CHECK(send_missing(again, **client, staging, text) == kPieces - said_yes);
  const auto made = again.change("create", {{"dir", cell.root()}, {"name", "f"}, {"mode", 0644}},
                                 {.number = kSecondLife});
  REQUIRE_OK(made);
  const json f{cell.volume(), (*made)["done"][0]["node"]};
  REQUIRE_OK(again.change("store", store_of(f, staging, text.size()), {.number = kSecondLife + 1}));
  const auto got = fetch(**client, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
}

TEST_CASE("G6: what the server has said yes to is there after it was killed in the middle") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = mount->join();
  REQUIRE_OK(client);
  const std::string text = noise(kPieces * kMiB, kSeed);
  const auto opened = mount->call("stage-open", {{"volume", cell.volume()}, {"size", text.size()}});
  REQUIRE_OK(opened);
  const json staging = (*opened)["staging"];
  common::Locked<std::vector<std::size_t>> said_yes;
  common::CondVar more;
  // Round and round: it is killed with a piece on the way.
  std::thread uploader([&] {
    for (std::size_t piece = 0;; ++piece) {
      const std::size_t at = piece * 5 % kPieces * kMiB;
      if (!stage_write(**client, staging, {at, std::string_view(text).substr(at, kMiB)}))
        return;
      said_yes.lock()->push_back(at);
      more.notify_all();
    }
  });
  const bool well_begun =
      said_yes.lock().wait_for(more, kPatience, [](const auto& all) { return all.size() >= 5; });
  cell.restart();
  uploader.join();
  REQUIRE(well_begun);
  REQUIRE_OK(mount->resume());
  const auto next = mount->join();
  REQUIRE_OK(next);
  const json there = ranges_of(*mount, staging);
  auto all = said_yes.lock();
  for (const std::size_t at : *all)
    CHECK(is_there(there, at, kMiB));
  static_cast<void>(send_missing(*mount, **next, staging, text));
  const json f = make_file(*mount, cell.root(), "f");
  REQUIRE_OK(mount->change("store", store_of(f, staging, text.size())));
  const auto got = fetch(**next, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
}

TEST_CASE("F48: of a piece that is cut, or longer or shorter than said, nothing is kept") {
  FileCell cell(content::patient());
  auto proxy = test_support::TcpProxy::start(cell.cell().address(), cell.address().port);
  REQUIRE_OK(proxy);
  FileServerAddress through = cell.address();
  through.host = "127.0.0.1";
  through.port = (*proxy)->port();
  FileMount mount(through);
  REQUIRE_OK(mount.open());
  const auto client = mount.join();
  REQUIRE_OK(client);
  const std::string text = noise(8 * kMiB, 5);
  const std::string_view whole = text;
  const auto opened = mount.call("stage-open", {{"volume", cell.volume()}, {"size", 10 * kMiB}});
  REQUIRE_OK(opened);
  const json staging = (*opened)["staging"];
  const std::uint64_t before = (*proxy)->bytes(test_support::Direction::ToServer);
  test_support::Path cut;
  cut.cut_after = before + 3 * kMiB;  // of all connections: certainly within this piece
  (*proxy)->set(test_support::Direction::ToServer, cut);
  CHECK_FALSE(stage_write(**client, staging, {0, whole}));
  (*proxy)->clear();
  REQUIRE_OK(mount.rejoin());
  CHECK(ranges_of(mount, staging) == json::array());
  // Who is refused with bytes on the way has to connect again.
  const auto stage = [&](const content::Piece& piece) {
    const auto fresh = mount.join();
    REQUIRE_OK(fresh);
    return stage_write(**fresh, staging, piece);
  };
  const auto beyond = stage({3 * kMiB, whole});
  REQUIRE_FALSE(beyond);
  CHECK(is_refused(beyond.error(), ErrorCode::InvalidArgument));
  CHECK_FAILS(stage({0, ""}), ErrorCode::InvalidArgument);
  CHECK_FAILS(stage({0, whole.substr(0, 100), true}), ErrorCode::Corrupt);
  const std::string more = noise(9 * kMiB, 6);
  const auto too_large = stage({0, more});
  REQUIRE_FALSE(too_large);
  CHECK(is_refused(too_large.error(), ErrorCode::TooLarge));
  REQUIRE_OK(mount.rejoin());
  CHECK(ranges_of(mount, staging) == json::array());
  // And of changes whose bytes are not as many as they say.
  const json f = make_file(mount, cell.root(), "f");
  const json edits = json::array({json::array({0, 10})});
  const auto store = [&](const std::string& bytes) {
    return mount.change("store", {{"fid", f}, {"size", 10}, {"edits", edits}}, {.bytes = bytes});
  };
  CHECK_FAILS(store("123456789"), ErrorCode::Protocol);
  CHECK_FAILS(store("12345678901"), ErrorCode::Protocol);
  CHECK_FAILS(mount.change("append", {{"fid", f}, {"bytes", 2}}, {.bytes = "1"}),
              ErrorCode::Protocol);
  CHECK_FALSE(mount.change(
      "store", {{"fid", f}, {"size", 5}, {"edits", json::array({json::array({0, 10})})}},
      {.bytes = "1234567890"}));
  CHECK_FALSE(
      mount.change("store", {{"fid", f},
                             {"size", 10},
                             {"staging", staging[1]},
                             {"edits", json::array({json::array({0, 10, 10 * kMiB - 5})})}}));
  CHECK_OK(store("1234567890"));
}

TEST_CASE(
    "F47: bodies and heads beyond what an operation takes are refused, and the server lives") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const json f = make_file(*mount, cell.root(), "f");
  const auto too_large = put(*mount, f, noise(2 * kMiB, 1));
  REQUIRE_FALSE(too_large);
  CHECK(is_refused(too_large.error(), ErrorCode::TooLarge));
  REQUIRE_OK(mount->rejoin());
  json edits = json::array();
  for (int i = 0; i < 1'001; ++i)
    edits.push_back({i, 1});
  CHECK_FALSE(mount->change("store", {{"fid", f}, {"size", 2'000}, {"edits", edits}},
                            {.bytes = std::string(1'001, 'x')}));
  json ranges = json::array();
  for (int i = 0; i < 513; ++i)
    ranges.push_back({i, 1});
  CHECK_FALSE(mount->call("fetch", {{"fid", f}, {"ranges", ranges}}));
  CHECK_FALSE(mount->call("fetch", {{"fid", f}, {"ranges", {{0, 65 * kMiB}}}}));
  json nodes = json::array();
  for (int i = 0; i < 1'001; ++i)
    nodes.push_back({f, 0});
  CHECK_FALSE(mount->call("bulk", {{"nodes", nodes}}));
  const std::uint64_t most = std::uint64_t{1} << 62;
  CHECK_FALSE(mount->change("allocate", {{"fid", f}, {"offset", most}, {"length", most}}));
  CHECK_FALSE(mount->call("stage-open", {{"volume", cell.volume()}, {"size", most * 2}}));
  REQUIRE_OK(mount->rejoin());
  CHECK_OK(put(*mount, f, "still here"));
}

TEST_CASE("F40: an upload that outlives its ticket is kept, and goes on with the next") {
  FileCell cell(content::patient());
  std::atomic<bool> may_log_in{true};
  FileServerAddress address = cell.address();
  address.source = cell.short_tickets(std::chrono::seconds(20), [&] { return may_log_in.load(); });
  FileMount mount(address);
  REQUIRE_OK(mount.open());
  REQUIRE_OK(mount.dial());
  auto client = mount.join();
  REQUIRE_OK(client);
  may_log_in = false;
  const std::string text = noise(3 * kMiB, 8);
  const std::string_view whole = text;
  const auto opened = mount.call("stage-open", {{"volume", cell.volume()}, {"size", text.size()}});
  REQUIRE_OK(opened);
  const json staging = (*opened)["staging"];
  const json f = make_file(mount, cell.root(), "f");
  REQUIRE_OK(stage_write(**client, staging, {0, whole.substr(0, kMiB)}));
  const auto ends = std::chrono::steady_clock::now() + 3 * kPatience;
  for (;;) {
    const auto sent = stage_write(**client, staging, {kMiB, whole.substr(kMiB, kMiB)});
    if (!sent) {
      CHECK(is_refused(sent.error(), ErrorCode::Expired));
      break;
    }
    REQUIRE(std::chrono::steady_clock::now() < ends);
  }
  CHECK_FALSE(mount.change("store", store_of(f, staging, text.size())));
  may_log_in = true;
  REQUIRE_OK(mount.rejoin());
  client = mount.join();
  REQUIRE_OK(client);
  REQUIRE_OK(stage_write(**client, staging, {2 * kMiB, whole.substr(2 * kMiB)}));
  REQUIRE_OK(mount.change("store", store_of(f, staging, text.size())));
  const auto got = fetch(**client, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
}

TEST_CASE("G4: a full disk is ENOSPC, what was there stays, and removing makes room") {
  FileCell cell(content::patient());
  json f;
  json big;
  {
    const auto mount = cell.mount();
    f = make_file(*mount, cell.root(), "f");
    big = make_file(*mount, cell.root(), "big");
    REQUIRE_OK(put(*mount, f, "kept"));
    REQUIRE_OK(mount->close());
  }
  cell.cell().process("fileserver").kill();
  auto disk =
      test_support::SmallDisk::over(cell.cell().role_directory("fileserver") / "data", 40 * kMiB);
  if (!disk)
    SKIP_TEST(disk.error().message);
  REQUIRE_OK(cell.cell().start("fileserver"));
  const auto mount = cell.mount();
  const auto client = mount->join();
  REQUIRE_OK(client);
  // More than half of what is free is not begun.
  const auto large = mount->call("stage-open", {{"volume", cell.volume()}, {"size", 100 * kMiB}});
  CHECK_FAILS(large, ErrorCode::NoSpace);
  CHECK(large.error().error_number == ENOSPC);
  // Until it is full, each MiB another.
  std::size_t stored = 0;
  common::Result<json> last;
  do {
    const std::string next = noise(kMiB, 100 + stored);
    last = put(*mount, big, next);  // the versions before stay in history
    ++stored;
  } while (last && stored < 200);
  REQUIRE_FALSE(last);
  CHECK(last.error().code == ErrorCode::NoSpace);
  CHECK(last.error().error_number == ENOSPC);
  auto got = fetch(**client, f, 4);
  REQUIRE_OK(got);
  CHECK(got->bytes == "kept");
  CHECK_OK(mount->change("unlink", {{"dir", cell.root()}, {"name", "big"}}));
}
