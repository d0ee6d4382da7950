// What a volume does in a second, beside what the machine could.
//   bench_store [--json] [--only NAME]
// In one process on the disk of TMPDIR, committed level, data that does not compress. The limits
// (fdatasync, SHA-256 on all threads, writing to the disk) are measured in the same run. Each
// figure is the median of five measurements, unless one of them takes long.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "bench/store_tools.hpp"
#include "fileserver/store/blocks/block_name.hpp"

namespace {

using namespace bench;
using namespace std::chrono_literals;
using common::Instant;
using store::Bytes;
using store::ByteView;
using store::NodeId;
using store::Volume;

const common::SystemClock kClock;
constexpr int kRuns = 5;
constexpr int kCallers = 16;
constexpr common::VolumeId kId{1};
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kStream = 1024 * kMiB;
constexpr std::uint64_t kMillion = 1'000'000;

std::unique_ptr<Volume> new_volume(const Scratch& scratch, const char* name,
                                   store::WorkPool* pool = nullptr) {
  store::VolumeOptions options;
  options.pool = pool;
  return must(Volume::create(scratch.make(name), kId, options, kClock), "a volume");
}

unsigned cores() {
  return std::max(std::thread::hardware_concurrency(), 1U);
}

// --- limits ---

double fdatasync_us(const Scratch& scratch) {
  const int fd = ::open((scratch.path() + "/sync").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  const Bytes page = random_bytes(4096, 1);
  if (fd < 0)
    give_up("no file for syncing");
  std::vector<double> taken;
  for (int i = 0; i < 300; ++i) {
    const double before = seconds_now();
    if (::pwrite(fd, page.data(), page.size(), 0) != 4096 || ::fdatasync(fd) != 0)
      give_up("fdatasync");
    taken.push_back(seconds_now() - before);
  }
  ::close(fd);
  return median(taken) * 1e6;
}

double sha256_MBps() {
  const Bytes block = random_bytes(store::kBlockBytes, 2);
  const Rate rate = run_callers(static_cast<int>(cores()), 0.5, false, [&](int, std::uint64_t) {
    must(store::name_block(store::BlockKind::Data, block), "hashing");
  });
  return rate.per_s * static_cast<double>(store::kBlockBytes) / 1e6;
}

double disk_write_MBps(const Scratch& scratch) {
  const std::string path = scratch.path() + "/stream";
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
  const Bytes piece = random_bytes(8 * kMiB, 3);
  if (fd < 0 || ::posix_fallocate(fd, 0, static_cast<off_t>(kStream)) != 0)
    give_up("no room to measure the disk");
  const double before = seconds_now();
  for (std::uint64_t at = 0; at < kStream; at += piece.size()) {
    if (::pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(piece.size()))
      give_up("writing");
    ::sync_file_range(fd, static_cast<off_t>(at), static_cast<off_t>(piece.size()),
                      SYNC_FILE_RANGE_WRITE);
  }
  if (::fdatasync(fd) != 0)
    give_up("fdatasync");
  const double took = seconds_now() - before;
  ::close(fd);
  std::filesystem::remove(path);
  return static_cast<double>(kStream) / 1e6 / took;
}

// --- small commits ---

// Each caller in directories of its own, forty names in each as people have them.
class Creators {
 public:
  Creators(Volume& volume, int callers) : volume_(volume) {
    for (int i = 0; i < callers; ++i)
      places_.push_back({make_directory(volume, "caller" + std::to_string(next_++)), {}, 0});
  }
  // The next name of a caller.
  store::Create next(int caller) {
    Place& place = places_[static_cast<std::size_t>(caller)];
    if (place.count++ % 40 == 0) {
      store::CommitRequest request;
      store::Create create;
      create.parent = place.top;
      create.name = std::to_string(place.count);
      create.kind = store::NodeKind::Directory;
      request.operations = {create};
      place.directory = must(volume_.commit(request), "a directory").created.at(0);
    }
    return std::get<store::Create>(create_file(
        place.directory, random_name(place.count * 64 + static_cast<std::uint64_t>(caller))));
  }

 private:
  struct Place {
    NodeId top;
    NodeId directory;
    std::uint64_t count = 0;
  };
  Volume& volume_;
  std::vector<Place> places_;
  static inline int next_ = 0;
};

Rate creates(Volume& volume, int callers, double seconds, bool latencies) {
  Creators creators(volume, callers);
  return run_callers(callers, seconds, latencies, [&](int caller, std::uint64_t) {
    store::CommitRequest request;
    request.operations = {creators.next(caller)};
    must(volume.commit(request), "a create");
  });
}

// A new file of 4 KiB in one commit.
double stores(Volume& volume, int callers, bool stable) {
  Creators creators(volume, callers);
  const auto work = [&](int caller, std::uint64_t i) {
    const Bytes bytes = random_bytes(4096, i * 64 + static_cast<std::uint64_t>(caller));
    store::CommitRequest request;
    store::Upload upload = volume.blocks().begin_upload();
    store::Create create = creators.next(caller);
    create.content = must(make_content(volume.blocks(), upload, bytes), "content");
    request.operations = {std::move(create)};
    request.upload = &upload;
    const auto reply = must(volume.commit(request), "a store");
    if (stable)
      must(volume.wait_stable(reply, kClock.now() + 60s), "waiting");
  };
  return run_callers(callers, 1.5, false, work).per_s;
}

void small_commits(const Scratch& scratch, Report& report) {
  auto volume = new_volume(scratch, "small");
  std::vector<double> latencies;
  const double many = median_of(kRuns, "create_per_s", [&] {
    Rate rate = creates(*volume, kCallers, 1.5, true);
    latencies.insert(latencies.end(), rate.latencies.begin(), rate.latencies.end());
    return rate.per_s;
  });
  report.at_least("create_per_s", many, 20'000);
  report.at_most("create_p99_ms", quantile(latencies, 0.99) * 1e3, 5);
  report.value("create_p999_ms", quantile(latencies, 0.999) * 1e3);
  report.at_least(
      "create_per_s_1",
      median_of(kRuns, "create_per_s_1", [&] { return creates(*volume, 1, 1.0, false).per_s; }),
      12'000);
  report.at_least(
      "store4k_per_s",
      median_of(kRuns, "store4k_per_s", [&] { return stores(*volume, kCallers, false); }), 12'000);
  // What a sync costs changes with what others do to the disk: it is measured again each time.
  std::vector<double> rates;
  std::vector<double> ratios;
  for (int i = 0; i < kRuns; ++i) {
    const double sync_s = fdatasync_us(scratch) / 1e6;
    rates.push_back(stores(*volume, kCallers, true));
    ratios.push_back(rates.back() * sync_s);
    std::fprintf(stderr, "stable %.0f/s, fdatasync %.0f us\n", rates.back(), sync_s * 1e6);
  }
  report.value("stable_store4k_per_s", median(rates));
  report.at_least("stable_store4k_vs_fdatasync", median(ratios), 0.8);
  report.value("stable_store4k_per_s_1",
               median_of(3, "stable_store4k_per_s_1", [&] { return stores(*volume, 1, true); }));
  must(volume->close(), "closing");
}

// --- large files ---

// One gibibyte, in pieces of 8 MiB: only names are kept until the commit. Stable in the end.
NodeId stream_in(Volume& volume, const std::string& name, std::uint64_t seed) {
  constexpr std::uint64_t kPiece = 8 * kMiB;
  Bytes piece = random_bytes(kPiece, seed);
  store::Upload upload = volume.blocks().begin_upload();
  std::vector<store::Edit> edits;
  for (std::uint64_t at = 0; at < kStream; at += kPiece) {
    std::vector<ByteView> blocks;
    for (std::uint64_t i = 0; i < kPiece; i += store::kBlockBytes) {
      // No two blocks alike, at next to no cost.
      const std::uint64_t number = at + i;
      std::memcpy(piece.data() + i, &number, sizeof number);
      blocks.push_back(
          store::without_trailing_zeros(ByteView(piece).subspan(i, store::kBlockBytes)));
    }
    const auto names =
        must(volume.blocks().put_many(upload, store::BlockKind::Data, blocks), "writing blocks");
    for (std::size_t i = 0; i < names.size(); ++i) {
      store::Edit edit;
      edit.kind = store::Edit::Kind::Block;
      edit.offset = at + i * store::kBlockBytes;
      edit.length = store::kBlockBytes;
      edit.block = names[i];
      edits.push_back(edit);
    }
  }
  auto create = std::get<store::Create>(create_file(store::kRootNode, name));
  create.content =
      must(edit_content(volume.blocks(), upload, store::Content{}, edits, kStream), "a tree");
  store::CommitRequest request;
  request.operations = {std::move(create)};
  request.upload = &upload;
  const auto reply = must(volume.commit(request), "the commit");
  must(volume.wait_stable(reply, kClock.now() + 60s), "waiting");
  return reply.created.at(0);
}

void read_all(Volume& volume, NodeId node) {
  const auto content = must(volume.content(node), "content");
  constexpr std::uint64_t kPiece = 4 * kMiB;
  const auto half = [&](std::uint64_t from, std::uint64_t to) {
    Bytes into(kPiece);
    for (std::uint64_t at = from; at < to; at += kPiece) {
      if (must(volume.read(content, at, into), "reading") != kPiece)
        give_up("a short read");
    }
  };
  std::thread other(half, kStream / 2, kStream);
  half(0, kStream / 2);
  other.join();
}

void large_files(const Scratch& scratch, Report& report) {
  store::WorkPool pool;
  auto volume = new_volume(scratch, "large", &pool);
  NodeId node;
  // The disk, too, is measured again each time: it is not the same from one minute to the next.
  std::vector<double> rates;
  std::vector<double> ratios;
  for (int i = 0; i < 3; ++i) {
    const double before = seconds_now();
    node = stream_in(*volume, "stream" + std::to_string(i), 10 + static_cast<std::uint64_t>(i));
    rates.push_back(static_cast<double>(kStream) / 1e6 / (seconds_now() - before));
    const double limit = std::min(sha256_MBps(), disk_write_MBps(scratch));
    ratios.push_back(rates.back() / limit);
    std::fprintf(stderr, "write %.0f MB/s, limit %.0f MB/s\n", rates.back(), limit);
  }
  report.value("write_MBps", median(rates));
  report.at_least("write_MBps_vs_limit", median(ratios), 0.5);
  report.at_least("read_MBps",
                  median_of(kRuns, "read_MBps",
                            [&] {
                              const double before = seconds_now();
                              read_all(*volume, node);
                              return static_cast<double>(kStream) / 1e6 / (seconds_now() - before);
                            }),
                  2500);
  common::sim::Random random(4);
  std::vector<double> taken;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Bytes bytes = random_bytes(4096, 1000 + i);
    store::Edit edit;
    edit.offset = random.below(kStream / 4096) * 4096;
    edit.bytes = bytes;
    const double before = seconds_now();
    store::Volume::WriteRequest request;
    request.node = node;
    request.edits = {&edit, 1};
    must(volume->write(request), "an edit");
    taken.push_back(seconds_now() - before);
  }
  report.at_most("edit4k_in_1GiB_ms", median(taken) * 1e3, 0.6);
  must(volume->close(), "closing");
}

void appends(const Scratch& scratch, Report& report) {
  auto volume = new_volume(scratch, "log");
  store::CommitRequest request;
  request.operations = {create_file(store::kRootNode, "log")};
  const NodeId node = must(volume->commit(request), "a file").created.at(0);
  constexpr int kAppends = 10'000;  // a log of a megabyte
  std::vector<double> taken;
  const std::uint64_t before = written_bytes();
  for (int i = 0; i < kAppends; ++i) {
    const Bytes line = random_bytes(100, 5000 + static_cast<std::uint64_t>(i));
    const double begun = seconds_now();
    must(volume->append({}, node, line), "an append");
    taken.push_back(seconds_now() - begun);
  }
  must(volume->close(), "closing");
  report.at_most("append100B_ms", median(taken) * 1e3, 0.15);
  report.value("append100B_p99_ms", quantile(taken, 0.99) * 1e3);
  // With all that syncing and checkpoints write.
  report.at_most("append100B_written_KiB",
                 static_cast<double>(written_bytes() - before) / 1024 / kAppends, 32);
}

// --- a million nodes ---

double list_all(Volume& volume, NodeId directory) {
  const double before = seconds_now();
  std::uint64_t count = 0;
  std::string after;
  for (;;) {
    const auto page = must(volume.list(directory, after, 1000), "listing");
    count += page.size();
    if (page.size() < 1000)
      break;
    after = page.back().name;
  }
  if (count != kMillion)
    give_up("a listing has " + std::to_string(count) + " entries");
  return static_cast<double>(count) / (seconds_now() - before);
}

// A child that changes something and dies without a word.
void die_while_writing(const std::string& directory) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto volume = Volume::open(directory, {}, kClock);
    if (volume) {
      for (int i = 0; i < 1000; ++i) {
        store::CommitRequest request;
        request.operations = {create_file(store::kRootNode, "dying" + std::to_string(i))};
        if (!(*volume)->commit(request))
          ::_exit(1);
      }
      ::_exit(0);
    }
    ::_exit(1);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || status != 0)
    give_up("the process that should die could not write");
}

void million(const Scratch& scratch, Report& report) {
  const std::string directory = scratch.path() + "/million";
  NodeId top;
  {
    auto volume = new_volume(scratch, "million");
    top = make_directory(*volume, "random");
    const double before = seconds_now();
    populate(*volume, kMillion, [&](std::uint64_t i) { return create_file(top, random_name(i)); });
    report.value("populate_per_s", static_cast<double>(kMillion) / (seconds_now() - before));
    report.at_most("lookup_us_in_1M_dir",
                   median_of(kRuns, "lookup_us_in_1M_dir",
                             [&] {
                               common::sim::Random random(7);
                               constexpr int kLookups = 20'000;
                               const double begun = seconds_now();
                               for (int i = 0; i < kLookups; ++i) {
                                 must(volume->lookup(top, random_name(random.below(kMillion))),
                                      "a lookup");
                               }
                               return (seconds_now() - begun) * 1e6 / kLookups;
                             }),
                   12);
    report.at_least(
        "list_1M_dir_entries_per_s",
        median_of(kRuns, "list_1M_dir_entries_per_s", [&] { return list_all(*volume, top); }),
        400'000);
    must(volume->close(), "closing");
  }
  report.at_most("bytes_per_node",
                 static_cast<double>(std::filesystem::file_size(directory + "/meta.db")) / kMillion,
                 300);
  report.at_most("open_1M_nodes_s",
                 median_of(kRuns, "open_1M_nodes_s",
                           [&] {
                             const double before = seconds_now();
                             auto volume = must(Volume::open(directory, {}, kClock), "opening");
                             must(volume->attributes(top), "a look");
                             const double took = seconds_now() - before;
                             must(volume->close(), "closing");
                             return took;
                           }),
                 0.2);
  // Opening after kill -9, structure of the whole database checked, segments and all.
  die_while_writing(directory);
  const double before = seconds_now();
  auto volume = must(Volume::open(directory, {}, kClock), "opening");
  must(volume->attributes(top), "a look");
  report.at_most("open_1M_nodes_checked_s", seconds_now() - before, 1.0);
  if (volume->report().clean)
    give_up("the volume believes that it was closed");
  must(volume->close(), "closing");
  std::filesystem::remove_all(directory);
}

void million_in_order(const Scratch& scratch, Report& report) {
  auto volume = new_volume(scratch, "ordered");
  const NodeId top = make_directory(*volume, "ordered");
  populate(*volume, kMillion, [&](std::uint64_t i) { return create_file(top, ordered_name(i)); });
  report.at_least("list_1M_dir_in_order_entries_per_s",
                  median_of(kRuns, "list_1M_dir_in_order_entries_per_s",
                            [&] { return list_all(*volume, top); }),
                  kMillion);
  must(volume->close(), "closing");
}

bool wanted(int argc, char** argv, const char* name) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--only") == 0)
      return std::strcmp(argv[i + 1], name) == 0;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const Scratch scratch;
  Report report;
  const double sync = median_of(kRuns, "fdatasync_us", [&] { return fdatasync_us(scratch); });
  const double sha = median_of(kRuns, "sha256_MBps", sha256_MBps);
  const double disk = median_of(3, "disk_write_MBps", [&] { return disk_write_MBps(scratch); });
  report.value("fdatasync_us", sync);
  report.value("sha256_MBps", sha);
  report.value("sha256_threads", cores());
  report.value("disk_write_MBps", disk);
  if (wanted(argc, argv, "small"))
    small_commits(scratch, report);
  if (wanted(argc, argv, "append"))
    appends(scratch, report);
  if (wanted(argc, argv, "large"))
    large_files(scratch, report);
  if (wanted(argc, argv, "million")) {
    million(scratch, report);
    million_in_order(scratch, report);
  }
  report.at_most("rss_MiB", peak_rss_mib(), 160);
  report.print();
  return 0;
}
