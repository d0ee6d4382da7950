// Bytes of files through the file service, as clients see them.

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "bench/promises_run.hpp"
#include "common/fileproto/block_names.hpp"
#include "common/sim/random.hpp"
#include "common/wire/hex.hpp"

namespace bench {
namespace {

using namespace common;
using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kPiece = 8 * kMiB;     // of an upload
constexpr std::uint64_t kFetched = 64 * kMiB;  // by one call
// One connection leaves the machine idle while the other end works.
constexpr std::size_t kLines = 2;
constexpr auto kStoring = 1s;
constexpr int kSmallFiles = 20'000;
constexpr std::size_t kSmallBytes = 2'000;
constexpr int kSmallAtOnce = 500;   // made by one batch
constexpr int kBulkAtOnce = 1'000;  // asked for by one call

double megabytes_per_s(std::uint64_t bytes, std::chrono::steady_clock::time_point begin) {
  return static_cast<double>(bytes) / 1e6 / seconds_since(begin);
}

// A call with everything that it may have; it must succeed.
rpc::Answer call_with(rpc::Client& client, rpc::Request request) {
  request.service = "file";
  request.deadline = SystemClock().now() + 60s;
  return must(client.call(request).answer, request.operation);
}

// Numbers of who has no session: times.
OperationId next_id() {
  static std::uint64_t last = 0;
  constexpr unsigned kBits = 20;
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      SystemClock().wall_now().time_since_epoch());
  last = std::max(last + 1, static_cast<std::uint64_t>(now.count()) << kBits);
  return {0, last};
}

// --- large files ---

Bytes noise(std::size_t length, std::uint64_t seed) {
  sim::Random random(seed);
  Bytes bytes(length);
  for (std::size_t at = 0; at + 8 <= length; at += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  return bytes;
}

// Pieces of which no two are alike, without gigabytes in memory: the first words differ.
void number(Bytes& piece, std::uint64_t value) {
  for (std::size_t at = 0; at < piece.size(); at += 128 << 10)
    std::memcpy(piece.data() + at, &value, sizeof value);
}

class Transfers {
 public:
  Transfers(const Server& server, std::uint64_t bytes)
      : volume_(server.target.volume), bytes_(bytes), file_(server.fid(0)) {
    for (Line& line : lines_) {
      line.client = server.target.client();
      line.piece = noise(kPiece, 1);
    }
  }

  double store() {
    const auto begin = std::chrono::steady_clock::now();
    rpc::Client& first = *lines_[0].client;
    const rpc::Answer opened =
        call(first, "stage-open", json{{"volume", volume_}, {"size", bytes_}}.dump());
    const json staging = opened.result()["staging"];
    stamp_ += bytes_;
    in_parts(kPiece, [&](Line& line, std::uint64_t at, std::uint64_t) {
      number(line.piece, stamp_ + at);
      const auto hash = must(fileproto::hash_of_piece(at, line.piece), "hash");
      rpc::Request request;
      request.operation = "stage-write";
      request.args =
          json{{"staging", staging}, {"offset", at}, {"hash", wire::to_hex(hash)}}.dump();
      request.bytes = line.piece;
      call_with(*line.client, std::move(request));
    });
    call(first, "store",
         json{{"fid", file_},
              {"size", bytes_},
              {"staging", staging[1]},
              {"edits", json::array({json::array({0, bytes_, 0})})}}
             .dump(),
         next_id());
    return megabytes_per_s(bytes_, begin);
  }
  double put() { return put("bare-put", false); }
  // As little as can be done to store: hashed once at each end, and written to a file.
  double bound_put() { return put("bound-put", true); }
  double get() { return get("bare-get"); }
  // As little as can be done to fetch: hashed once, where it was read.
  double bound_get() { return get("bound-get"); }

  double put(std::string_view operation, bool hashed) {
    const auto begin = std::chrono::steady_clock::now();
    in_parts(kPiece, [&](Line& line, std::uint64_t at, std::uint64_t) {
      if (hashed)
        must(fileproto::hash_of_piece(at, line.piece), "hash");
      rpc::Request request;
      request.operation = operation;
      request.bytes = line.piece;
      call_with(*line.client, std::move(request));
    });
    return megabytes_per_s(bytes_, begin);
  }
  double fetch() {
    const auto begin = std::chrono::steady_clock::now();
    in_parts(kFetched, [&](Line& line, std::uint64_t at, std::uint64_t length) {
      take(line, "fetch",
           json{{"fid", file_}, {"ranges", json::array({json::array({at, length})})}}.dump(),
           length);
    });
    return megabytes_per_s(bytes_, begin);
  }
  double get(std::string_view operation) {
    const auto begin = std::chrono::steady_clock::now();
    in_parts(kFetched, [&](Line& line, std::uint64_t, std::uint64_t length) {
      take(line, operation, json{{"size", length}}.dump(), length);
    });
    return megabytes_per_s(bytes_, begin);
  }

 private:
  struct Line {
    std::unique_ptr<rpc::Client> client;
    Bytes piece;
  };

  template <typename F>
  void in_parts(std::uint64_t part, const F& what) {
    std::atomic<std::uint64_t> next{0};
    std::vector<std::thread> threads;
    for (Line& line : lines_) {
      threads.emplace_back([&] {
        for (std::uint64_t at = next.fetch_add(part); at < bytes_; at = next.fetch_add(part))
          what(line, at, std::min(part, bytes_ - at));
      });
    }
    for (auto& thread : threads)
      thread.join();
  }

  static void take(Line& line, std::string_view operation, std::string args, std::uint64_t bytes) {
    std::uint64_t come = 0;
    rpc::Request request;
    request.operation = operation;
    request.args = std::move(args);
    request.sink = [&](std::span<const std::byte> some) -> Status {
      come += some.size();
      return {};
    };
    request.max_reply_bytes = 2 * kFetched;
    call_with(*line.client, std::move(request));
    if (come != bytes)
      die(fmt::format("{} bytes came of {}", come, bytes));
  }

  const std::uint32_t volume_;
  const std::uint64_t bytes_;
  const json file_;
  std::array<Line, kLines> lines_;
  std::uint64_t stamp_ = 0;
};

struct Comparison {
  std::string name;
  std::function<double()> ours;
  std::function<double()> bare;
  std::function<double()> bound;
};

// Alternating, so that whatever else the machine does falls on all.
void compare(int rounds, const Comparison& what, nlohmann::ordered_json& report) {
  std::vector<double> mine;
  std::vector<double> bare;
  std::vector<double> bound;
  std::vector<double> of_bare;
  std::vector<double> of_bound;
  for (int round = 0; round < rounds; ++round) {
    if (round % 2 == 0)
      mine.push_back(what.ours());
    bare.push_back(what.bare());
    bound.push_back(what.bound());
    if (round % 2 != 0)
      mine.push_back(what.ours());
    of_bare.push_back(mine.back() / bare.back());
    of_bound.push_back(mine.back() / bound.back());
  }
  report[what.name + "_MBps"] = median(mine);
  report["bare_" + what.name + "_MBps"] = median(bare);
  report["bound_" + what.name + "_MBps"] = median(bound);
  report[what.name + "_MBps_vs_bare"] = median(of_bare);
  report[what.name + "_MBps_vs_bound"] = median(of_bound);
  std::fprintf(stderr, "promises: %s %.0f MB/s, %.2f of bare, %.2f of the bound of %.0f\n",
               what.name.c_str(), median(mine), median(of_bare), median(of_bound), median(bound));
}

void large_files(const Server& server, const ContentsWish& wish, nlohmann::ordered_json& report) {
  Transfers transfers(server, wish.mib * kMiB);
  transfers.store();
  transfers.fetch();
  report["transfer_MiB"] = wish.mib;
  report["transfer_rss_MiB_first"] = server.rss_bytes() / kMiB;
  compare(wish.rounds,
          {"store", [&] { return transfers.store(); }, [&] { return transfers.put(); },
           [&] { return transfers.bound_put(); }},
          report);
  compare(wish.rounds,
          {"fetch", [&] { return transfers.fetch(); }, [&] { return transfers.get(); },
           [&] { return transfers.bound_get(); }},
          report);
  report["transfer_rss_MiB_most"] = server.most_rss_bytes() / kMiB;
}

// --- small stores ---

// Whole files of 4 KiB, each caller in a session and with a file of its own.
double stores_per_s(const Server& server, Mounts& mounts, int callers) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> stores{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&, i] {
      const auto client = server.target.client();
      const auto mount = static_cast<std::size_t>(i);
      mounts.join(*client, mount);
      const std::uint64_t session = mounts.session(mount).value;
      const json file = server.fid(i + 1);
      std::uint64_t seen = 0;  // of its own changes a mount need not be told
      Bytes block = noise(4096, 7 + mount);
      const auto store = [&] {
        const std::uint64_t number = mounts.next_number(mount);
        std::memcpy(block.data(), &number, sizeof number);
        rpc::Request request;
        request.operation = "store";
        request.args =
            fmt::format(R"({{"fid":[{},{}],"size":4096,"edits":[[0,4096]],"s":{},"seen":{}}})",
                        server.target.volume, file[1].get<std::uint64_t>(), session, seen);
        request.bytes = block;
        request.head.id = {0, number};
        const rpc::Answer answer = call_with(*client, std::move(request));
        if (const auto grants = answer.result().find("grants"); grants != answer.result().end())
          seen = grants->get<std::uint64_t>();
      };
      for (int warm = 0; warm < 50; ++warm)
        store();
      ++ready;
      while (!go)
        std::this_thread::yield();
      std::uint64_t mine = 0;
      for (; !stop.load(std::memory_order_relaxed); ++mine)
        store();
      stores += mine;
    });
  }
  while (ready < callers)
    std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  go = true;
  std::this_thread::sleep_for(kStoring);
  stop = true;
  for (auto& thread : threads)
    thread.join();
  return static_cast<double>(stores) / seconds_since(begin);
}

void small_stores(const Server& server, Mounts& mounts, int rounds,
                  nlohmann::ordered_json& report) {
  for (const int callers : {1, 16}) {
    std::vector<double> all;
    for (int round = 0; round < rounds; ++round)
      all.push_back(stores_per_s(server, mounts, callers));
    report[fmt::format("store4k_per_s_{}", callers)] = median(all);
    std::fprintf(stderr, "promises: %d callers: %.0f stores of 4 KiB/s\n", callers, median(all));
  }
}

// --- small files in bulk ---

std::vector<json> make_small_files(const Server& server, rpc::Client& client) {
  std::vector<json> files;
  const json root{server.target.volume, 1};
  for (int made = 0; made < kSmallFiles; made += kSmallAtOnce) {
    json changes = json::array();
    for (int i = made; i < made + kSmallAtOnce; ++i)
      changes.push_back({{"op", "create"},
                         {"dir", root},
                         {"name", fmt::format("tiny{}", i)},
                         {"mode", 0644},
                         {"bytes", kSmallBytes}});
    const Bytes bytes = noise(kSmallAtOnce * kSmallBytes, static_cast<std::uint64_t>(made) + 1);
    rpc::Request request;
    request.operation = "batch";
    request.args = json{{"do", changes}}.dump();
    request.bytes = bytes;
    request.head.id = next_id();
    const rpc::Answer answer = call_with(client, std::move(request));
    for (const json& one : answer.result()["done"])
      files.push_back({server.target.volume, one["node"]});
  }
  return files;
}

// By a mount, which is promised each.
void bulk(const Server& server, Mounts& mounts, int rounds, nlohmann::ordered_json& report) {
  const auto client = server.target.client();
  const std::vector<json> files = make_small_files(server, *client);
  std::vector<std::string> calls;
  for (std::size_t first = 0; first < files.size(); first += kBulkAtOnce) {
    json nodes = json::array();
    for (std::size_t i = first; i < first + kBulkAtOnce; ++i)
      nodes.push_back({files[i], 0});
    calls.push_back(json{{"nodes", nodes}}.dump());
  }
  mounts.join(*client, 0);
  std::vector<double> all;
  for (int round = 0; round <= rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (const std::string& args : calls) {
      const rpc::Answer answer = call(*client, "bulk", args);
      if (answer.bytes.size() < kBulkAtOnce * kSmallBytes)
        die("not all small files came whole");
    }
    if (round > 0)  // the first warms what lies beneath
      all.push_back(kSmallFiles / seconds_since(begin));
  }
  report["bulk_small_files_per_s"] = median(all);
  report["bulk_file_bytes"] = kSmallBytes;
  std::fprintf(stderr, "promises: %.0f small files/s in bulk\n", median(all));
}

}  // namespace

void contents(const test_support::KdcServer& kdc, const auth::CredentialPtr& ticket,
              const ContentsWish& wish, nlohmann::ordered_json& report) {
  Server server(kdc, ticket, 20);
  large_files(server, wish, report);
  Mounts mounts(server.target);
  mounts.open(16);
  small_stores(server, mounts, wish.rounds, report);
  bulk(server, mounts, wish.rounds, report);
}

}  // namespace bench
