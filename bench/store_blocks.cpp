// What blocks cost: writing and reading them verified through the block store, beside the bare hash
// rate of as many threads in the same run; and how the size of a block changes what it costs.
//   bench_store_blocks --json
// The index is one in memory that answers at once: what a table costs belongs to bench_store. Data
// does not compress. Files are in TMPDIR; reads are warm.

#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "common/io/posix_file_io.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/block_store.hpp"
#include "fileserver/store/blocks/crc32c.hpp"

namespace {

using namespace fileserver::store;

constexpr int kRuns = 5;
constexpr std::size_t kDataBytes = 64 << 20;
// What a large write hands over at once.
constexpr std::size_t kBatch = 32;

struct Scratch {
  std::string path = std::filesystem::temp_directory_path() / "troth-bench-blocks-XXXXXX";
  Scratch() {
    if (::mkdtemp(path.data()) == nullptr)
      std::abort();
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

template <typename T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}

double now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <typename Work>
double seconds(Work work) {
  const double start = now();
  work();
  return now() - start;
}

// Of all threads, for one block: what another program on the machine does not change much.
template <typename Work>
double cpu_us(std::size_t blocks, Work work) {
  const double start = now(CLOCK_PROCESS_CPUTIME_ID);
  work();
  return (now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e6 / static_cast<double>(blocks);
}

double mbps(std::size_t bytes, double time) {
  return static_cast<double>(bytes) / 1e6 / time;
}

class MemoryIndex final : public BlockIndex {
 public:
  Result<std::vector<std::optional<Placement>>> find(std::span<const BlockName> names) override {
    std::vector<std::optional<Placement>> found(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (const auto row = rows.find(names[i]); row != rows.end())
        found[i] = row->second;
    }
    return found;
  }
  void found_bad(const BlockName&, const Placement&, const common::Error& why) override {
    std::fprintf(stderr, "%s\n", why.message.c_str());
    std::exit(1);
  }
  std::unordered_map<BlockName, Placement> rows;
};

Bytes make_noise() {
  Bytes bytes(kDataBytes);
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    const std::uint64_t word = random() | std::uint64_t{1} << 63;
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  return bytes;
}

std::vector<ByteView> cut(const Bytes& data, std::size_t size) {
  std::vector<ByteView> blocks;
  for (std::size_t at = 0; at < data.size(); at += size)
    blocks.push_back(ByteView(data).subspan(at, size));
  return blocks;
}

// --- the store as it is ---

// One pass of each kind over the data; rates and CPU time.
struct Pass {
  double mbps = 0;
  double cpu_us = 0;
};

template <typename Work>
Pass pass(std::size_t blocks, Work work) {
  Pass result;
  result.cpu_us = cpu_us(blocks, [&] { result.mbps = mbps(kDataBytes, seconds(work)); });
  return result;
}

class StoreBench {
 public:
  explicit StoreBench(const Bytes& data) : blocks_(cut(data, kBlockBytes)) {}

  Pass hash() {
    return pass(blocks_.size(), [&] {
      must(pool_.run(blocks_.size(), [&](std::size_t i) -> Status {
        return name_block(BlockKind::Data, blocks_[i]).map([](const BlockName&) {});
      }));
    });
  }
  Pass write() {
    last_.clear();
    index_.rows.clear();
    return pass(blocks_.size(), [&] {
      for (std::size_t at = 0; at < blocks_.size(); at += kBatch) {
        Upload upload = store_.begin_upload();  // dropped, so that the next run writes again
        must(store_.put_many(upload, BlockKind::Data, std::span(blocks_).subspan(at, kBatch)));
        last_.insert(last_.end(), upload.written().begin(), upload.written().end());
      }
    });
  }
  double sync_ms() {
    return seconds([&] { must(segments_->sync()); }) * 1e3;
  }
  Pass read() {
    for (const NewBlock& block : last_)
      index_.rows[block.name] = block.placement;
    return pass(blocks_.size(), [&] {
      for (std::size_t at = 0; at < last_.size(); at += kBatch) {
        std::vector<BlockStore::Wanted> wanted;
        for (std::size_t i = 0; i < kBatch; ++i) {
          wanted.push_back(
              {last_[at + i].name, std::span(into_).subspan(i * kBlockBytes, kBlockBytes)});
        }
        must(store_.read_many(wanted));
      }
    });
  }
  // Deletes what was written, so that the next pass finds memory for its pages that is in use
  // already: getting more from a hypervisor may cost more than all that is measured here.
  void drop() {
    must(segments_->close_active());
    const auto list = segments_->list();
    for (std::size_t i = 0; i + 1 < list.size(); ++i)
      must(segments_->remove(list[i].number));
  }
  [[nodiscard]] std::size_t threads() const { return pool_.threads(); }

 private:
  const Scratch scratch_;
  const std::unique_ptr<common::io::FileIo> io_ =
      must(common::io::PosixFileIo::open_root(scratch_.path));
  const common::SystemClock clock_;
  const std::unique_ptr<Segments> segments_ = must(Segments::open(*io_, "segments", {}, clock_));
  MemoryIndex index_;
  WorkPool pool_;
  BlockStore store_{*segments_, index_, pool_, {}};
  const std::vector<ByteView> blocks_;
  std::vector<NewBlock> last_;
  Bytes into_ = Bytes(kBatch * kBlockBytes);
};

nlohmann::json measure_store(const Bytes& data) {
  StoreBench bench(data);
  std::map<std::string, std::vector<double>> samples;
  for (int run = 0; run < kRuns + 1; ++run) {
    const Pass hash = bench.hash();
    const Pass write = bench.write();
    const double sync_ms = bench.sync_ms();
    const Pass read = bench.read();
    bench.drop();
    std::fprintf(stderr,
                 "hash %.0f MB/s (%.0f us of CPU a block), write %.0f (%.0f), read %.0f (%.0f), "
                 "sync %.1f ms\n",
                 hash.mbps, hash.cpu_us, write.mbps, write.cpu_us, read.mbps, read.cpu_us, sync_ms);
    if (run == 0)
      continue;  // the first one makes the file and warms the threads
    samples["sha256_MBps"].push_back(hash.mbps);
    samples["write_MBps"].push_back(write.mbps);
    samples["write_MBps_vs_sha256"].push_back(write.mbps / hash.mbps);
    samples["write_cpu_vs_sha256"].push_back(hash.cpu_us / write.cpu_us);
    samples["read_MBps"].push_back(read.mbps);
    samples["read_MBps_vs_sha256"].push_back(read.mbps / hash.mbps);
    samples["read_cpu_vs_sha256"].push_back(hash.cpu_us / read.cpu_us);
    samples["sync_64MiB_ms"].push_back(sync_ms);
  }
  nlohmann::json result = {{"threads", bench.threads()}};
  for (const auto& [name, values] : samples)
    result[name] = median(values);
  return result;
}

// --- the size of a block ---

// The same steps for blocks of any size, without the store's own limit of 128 KiB.
class SizedBlocks {
 public:
  SizedBlocks(common::io::File& file, std::size_t size, const Bytes& data)
      : file_(file), size_(size), blocks_(cut(data, size)), names_(blocks_.size()) {}

  void write_all(WorkPool& pool) {
    must(pool.run(blocks_.size(), [&](std::size_t i) { return write(i, blocks_[i]); }));
  }
  void read_all(WorkPool& pool) {
    must(pool.run(blocks_.size(), [&](std::size_t i) { return read(i); }));
  }
  // Replaces 4 KiB of a block: it is read, changed, named and written anew.
  Status edit(std::size_t i) {
    TROTH_TRY_VOID(read(i));
    Bytes changed = buffer();
    changed[i % size_] ^= std::byte{1};
    return write(i, changed);
  }
  Status read(std::size_t i) {
    Bytes& bytes = buffer();
    bytes.resize(size_);
    TROTH_TRY_VOID(file_.read_exactly(i * stride(), bytes));
    static_cast<void>(crc32c(0, bytes));
    TROTH_TRY(const BlockName name, name_block(BlockKind::Data, bytes));
    if (name != names_[i])
      return common::fail(common::ErrorCode::Corrupt, "block {}", i);
    return {};
  }
  [[nodiscard]] std::size_t count() const { return blocks_.size(); }

 private:
  [[nodiscard]] std::size_t stride() const { return size_ + kRecordHeaderBytes; }
  static Bytes& buffer() {
    thread_local Bytes bytes;
    return bytes;
  }
  Status write(std::size_t i, ByteView bytes) {
    thread_local Bytes record;
    record.resize(stride());
    TROTH_TRY(names_[i], name_block(BlockKind::Data, bytes));
    std::memcpy(record.data(), bytes.data(), bytes.size());
    const std::uint32_t crc = crc32c(0, record);
    std::memcpy(record.data() + size_, &crc, sizeof crc);
    return file_.write_at(i * stride(), record);
  }

  common::io::File& file_;
  const std::size_t size_;
  const std::vector<ByteView> blocks_;
  std::vector<BlockName> names_;
};

nlohmann::json measure_size(const Bytes& data, std::size_t size) {
  const Scratch scratch;
  const auto io = must(common::io::PosixFileIo::open_root(scratch.path));
  const auto file = must(io->open("blocks", common::io::OpenMode::CreateNew));
  WorkPool pool;
  SizedBlocks blocks(*file, size, data);
  std::vector<double> written;
  std::vector<double> read;
  std::vector<double> random_read;
  std::vector<double> edited;
  std::mt19937_64 random(1);
  blocks.write_all(pool);
  for (int run = 0; run < kRuns; ++run) {
    written.push_back(mbps(kDataBytes, seconds([&] { blocks.write_all(pool); })));
    read.push_back(mbps(kDataBytes, seconds([&] { blocks.read_all(pool); })));
    constexpr int kTimes = 50;
    const auto each = [&](auto call) {
      return seconds([&] {
               for (int i = 0; i < kTimes; ++i)
                 must(call(random() % blocks.count()));
             }) *
             1e6 / kTimes;
    };
    random_read.push_back(each([&](std::size_t i) { return blocks.read(i); }));
    edited.push_back(each([&](std::size_t i) { return blocks.edit(i); }));
  }
  const nlohmann::json result = {
      {"block_KiB", size / 1024},
      {"write_MBps", median(written)},
      {"read_MBps", median(read)},
      {"read4k_random_us", median(random_read)},
      {"edit4k_us", median(edited)},
      {"edit4k_written_KiB", static_cast<double>(size + kRecordHeaderBytes) / 1024},
      {"index_rows_per_GiB", (std::size_t{1} << 30) / size}};
  std::fprintf(stderr, "%s\n", result.dump().c_str());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") != 0) {
      std::fprintf(stderr, "usage: bench_store_blocks [--json]\n");
      return 2;
    }
  }
  const Bytes data = make_noise();
  nlohmann::json result = measure_store(data);
  result["sizes"] = nlohmann::json::array();
  for (const std::size_t size : {16, 64, 128, 1024})
    result["sizes"].push_back(measure_size(data, size * 1024));
  std::printf("%s\n", result.dump().c_str());
  return 0;
}
