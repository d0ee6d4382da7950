#include "common/fileclient/transfer/download.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <thread>

#include "common/fileclient/transfer/content_name.hpp"
#include "common/fileclient/transfer/in_parallel.hpp"
#include "common/fileclient/transfer/local_file.hpp"
#include "common/fileclient/transfer/resume_file.hpp"
#include "common/io/boot_id.hpp"
#include "common/rpc/socket.hpp"
#include "common/wire/binary.hpp"
#include "common/wire/hex.hpp"

namespace common::fileclient {
namespace {

using fileproto::ByteRange;

constexpr std::string_view kDownloadMagic = "troth download 2";
// Beyond, one bit for each piece would not fit the memory of a transfer: those begin anew.
constexpr std::uint64_t kMostPieces = 256 * 1024;

std::uint64_t pieces_of(std::uint64_t size) {
  return (size + kPieceBytes - 1) / kPieceBytes;
}
ByteRange piece_range(std::uint64_t index, std::uint64_t size) {
  const std::uint64_t begin = index * kPieceBytes;
  return {begin, std::min(kPieceBytes, size - begin)};
}

// The bytes of `range` of that version, holes as zeros.
Result<Bytes> fetch_range(FileClient& client, Fid fid, Seq version, const ByteRange& range,
                          const CallOptions& calls) {
  fileproto::FetchArgs args;
  args.fid = fid;
  args.version = version;
  args.ranges = {range};
  TROTH_TRY(const Fetched fetched, client.fetch(args, calls));
  if (fetched.result.ranges.size() == 1 && fetched.result.ranges[0] == range)
    return std::move(fetched.bytes);
  Bytes bytes(range.length);
  std::size_t at = 0;
  for (const ByteRange& got : fetched.result.ranges) {
    if (got.offset < range.offset || got.length > range.length ||
        got.offset - range.offset > range.length - got.length)
      return fail(ErrorCode::Protocol, "the file server sent bytes that were not asked for");
    std::copy_n(fetched.bytes.begin() + static_cast<std::ptrdiff_t>(at), got.length,
                bytes.begin() + static_cast<std::ptrdiff_t>(got.offset - range.offset));
    at += got.length;
  }
  return bytes;
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// One download on its way.
class Download {
 public:
  Download(FileClient& client, Fid fid, const fileproto::Attributes& node,
           const DownloadTarget& target, const TransferOptions& options)
      : client_(client),
        fid_(fid),
        node_(node),
        target_(target),
        options_(options),
        done_(pieces_of(node.size)) {}

  Status run();

 private:
  Result<crypto::Digest> key() const;
  Status take_up(const crypto::Digest& key);
  Status fetch_all();
  Status fetch_piece(std::uint64_t index);
  void mark_done(std::uint64_t index);
  Status check();
  [[nodiscard]] Bytes encode_done() const;
  [[nodiscard]] bool decode_done(ByteView bytes);

  FileClient& client_;
  const Fid fid_;
  const fileproto::Attributes& node_;
  const DownloadTarget& target_;
  const TransferOptions& options_;
  std::optional<LocalFile> file_;
  std::optional<ResumeFile> memory_;
  io::BootId boot_{};
  Mutex mutex_;
  std::vector<bool> done_;  // under mutex_ while threads run
};

// Which transfer: this version of the file to that name in that directory.
Result<crypto::Digest> Download::key() const {
  struct stat info {};
  if (::fstatat(target_.dir, ".", &info, 0) != 0)
    return fail_errno(errno, "look at the directory of {}", target_.name);
  const Bytes bytes = wire::BinaryWriter()
                          .fixed(as_bytes("troth download key 1"))
                          .u64(info.st_dev)
                          .u64(info.st_ino)
                          .u32(fid_.volume.value)
                          .u64(fid_.node.value)
                          .u64(node_.data_version.value)
                          .bytes(as_bytes(target_.name))
                          .take();
  return crypto::sha256(bytes);
}

Bytes Download::encode_done() const {
  wire::BinaryWriter out;
  out.fixed(as_bytes(kDownloadMagic)).fixed(boot_);
  out.u64(node_.size).u64(node_.data_version.value);
  Bytes bits((done_.size() + 7) / 8);
  for (std::size_t i = 0; i < done_.size(); ++i) {
    if (done_[i])
      bits[i / 8] |= std::byte{1} << (i % 8);
  }
  return out.bytes(bits).take();
}

bool Download::decode_done(ByteView bytes) {
  wire::BinaryReader in(bytes);
  const auto magic = in.fixed(kDownloadMagic.size());
  if (!magic || as_text(*magic) != kDownloadMagic)
    return false;
  // What was written before the machine stopped need not be there.
  const auto boot = in.fixed(boot_.size());
  if (!boot || !std::equal(boot->begin(), boot->end(), boot_.begin()))
    return false;
  const auto size = in.u64();
  const auto version = in.u64();
  if (!size || *size != node_.size || !version || *version != node_.data_version.value)
    return false;
  const auto bits = in.bytes((done_.size() + 7) / 8);
  if (!bits || bits->size() != (done_.size() + 7) / 8 || !in.finish())
    return false;
  for (std::size_t i = 0; i < done_.size(); ++i)
    done_[i] = ((*bits)[i / 8] & (std::byte{1} << (i % 8))) != std::byte{0};
  return true;
}

Status Download::take_up(const crypto::Digest& key) {
  if (!options_.resume_directory.empty() && done_.size() <= kMostPieces) {
    TROTH_TRY(memory_, ResumeFile::open(options_.resume_directory, key));
    TROTH_TRY(boot_, io::current_boot());
  }
  TROTH_TRY(file_, LocalFile::open(target_, wire::to_hex(key).substr(0, 16)));
  TROTH_TRY(const std::uint64_t size, file_->size());
  const auto bytes = memory_ ? memory_->read() : std::nullopt;
  if (size == node_.size && bytes && decode_done(*bytes))
    return {};
  done_.assign(done_.size(), false);
  TROTH_TRY_VOID(file_->resize(0));
  TROTH_TRY_VOID(file_->resize(node_.size));
  if (memory_)
    return memory_->write(encode_done());
  return {};
}

void Download::mark_done(std::uint64_t index) {
  const MutexLock lock(mutex_);
  done_[index] = true;
  if (memory_)
    static_cast<void>(memory_->write(encode_done()));
}

Status Download::fetch_piece(std::uint64_t index) {
  const ByteRange range = piece_range(index, node_.size);
  TROTH_TRY(const Bytes bytes, fetch_range(client_, fid_, node_.version, range, options_.calls));
  // What is zero is a hole in the file already.
  if (!all_zero(bytes))
    TROTH_TRY_VOID(file_->write_at(range.offset, bytes));
  mark_done(index);
  if (options_.progress != nullptr)
    options_.progress->bytes_done += range.length;
  return {};
}

Status Download::fetch_all() {
  std::vector<std::uint64_t> missing;
  for (std::uint64_t i = 0; i < done_.size(); ++i) {
    if (!done_[i]) {
      missing.push_back(i);
    } else if (options_.progress != nullptr) {
      options_.progress->bytes_done += piece_range(i, node_.size).length;
      options_.progress->bytes_resumed += piece_range(i, node_.size).length;
    }
  }
  return in_parallel(options_.threads, missing.size(),
                     [&](std::size_t i) { return fetch_piece(missing[i]); });
}

// The bytes on the disk, those of earlier attempts too, against the name that the server gives the
// content.
Status Download::check() {
  if (!node_.content || node_.size > kMaxCheckedSize)
    return {};
  ContentBlocks blocks(node_.size);
  std::atomic<std::uint64_t> next{0};
  Locked<Status> verdict;
  const auto work = [&] {
    Bytes piece(std::min(kPieceBytes, node_.size));
    for (std::uint64_t i = next++; i < done_.size(); i = next++) {
      const ByteRange range = piece_range(i, node_.size);
      const auto part = std::span(piece).first(range.length);
      Status good = file_->read_at(range.offset, part);
      if (good)
        good = blocks.add(range.offset, part);
      if (!good)
        *verdict.lock() = good;
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min<std::size_t>(options_.threads, done_.size()); ++i)
    threads.emplace_back(work);
  work();
  for (std::thread& thread : threads)
    thread.join();
  TROTH_TRY_VOID(*verdict.lock());
  Bytes end(node_.size - blocks.end_begins());
  TROTH_TRY_VOID(file_->read_at(blocks.end_begins(), end));
  TROTH_TRY(const bool right, blocks.is(*node_.content, end));
  if (!right) {
    return fail(ErrorCode::Corrupt,
                "what arrived is not what the file server says it has stored; it was thrown away: "
                "try again, and if that does not help, tell whoever looks after the server");
  }
  return {};
}

Status Download::run() {
  TROTH_TRY(const crypto::Digest its_key, key());
  TROTH_TRY_VOID(take_up(its_key));
  TROTH_TRY_VOID(fetch_all());
  if (Status good = check(); !good) {
    if (good.error().code == ErrorCode::Corrupt) {
      file_->remove();
      if (memory_)
        memory_->remove();
    }
    return good;
  }
  TROTH_TRY_VOID(file_->publish(target_));
  if (memory_)
    memory_->remove();
  return {};
}

}  // namespace

Status download(FileClient& client, Fid fid, const fileproto::Attributes& node,
                const DownloadTarget& target, const TransferOptions& options) {
  if (node.size > kPieceBytes)
    return Download(client, fid, node, target, options).run();
  Bytes bytes;
  if (node.size > 0) {
    TROTH_TRY(bytes, fetch_range(client, fid, node.version, {0, node.size}, options.calls));
  }
  if (node.content && node.size > 0) {
    ContentBlocks blocks(node.size);
    TROTH_TRY_VOID(blocks.add(0, bytes));
    TROTH_TRY(const bool right,
              blocks.is(*node.content, ByteView(bytes).subspan(blocks.end_begins())));
    if (!right)
      return fail(ErrorCode::Corrupt, "what arrived is not what the file server has stored");
  }
  if (options.progress != nullptr)
    options.progress->bytes_done += bytes.size();
  return place_file(target, bytes);
}

Status place_file(const DownloadTarget& target, ByteView bytes) {
  static std::atomic<std::uint64_t> number{0};
  TROTH_TRY(LocalFile file, LocalFile::open(target, fmt::format("{}-{}", ::getpid(), number++)));
  Status done = file.resize(0);
  if (done)
    done = file.write_at(0, bytes);
  if (done)
    done = file.publish(target);
  if (!done)
    file.remove();
  return done;
}

// Fetches ahead with a few threads; hands out in order.
Status read_file(FileClient& client, Fid fid, const fileproto::Attributes& node,
                 std::uint64_t offset, std::uint64_t length, const TakeBytes& take,
                 const TransferOptions& options) {
  constexpr std::uint64_t kPart = std::uint64_t{1} << 20;  // the first bytes come soon
  const std::uint64_t begin = std::min(offset, node.size);
  const std::uint64_t end = begin + std::min(length, node.size - begin);
  const std::uint64_t count = (end - begin + kPart - 1) / kPart;
  Mutex mutex;
  CondVar changed;
  std::map<std::uint64_t, Result<Bytes>> ready;
  std::uint64_t next = 0;
  std::uint64_t given = 0;
  bool stop = false;
  const std::size_t ahead = 2 * options.threads;
  const auto work = [&] {
    MutexLock lock(mutex);
    while (!stop && next < count) {
      if (next >= given + ahead) {
        changed.wait_for(mutex, std::chrono::milliseconds(100));
        continue;
      }
      const std::uint64_t index = next++;
      lock.unlock();
      const std::uint64_t at = begin + index * kPart;
      auto bytes =
          fetch_range(client, fid, node.version, {at, std::min(kPart, end - at)}, options.calls);
      lock.lock();
      ready.emplace(index, std::move(bytes));
      changed.notify_all();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min<std::uint64_t>(options.threads, count); ++i)
    threads.emplace_back(work);
  Status status;
  {
    MutexLock lock(mutex);
    while (status && given < count) {
      const auto found = ready.find(given);
      if (found == ready.end()) {
        changed.wait_for(mutex, std::chrono::milliseconds(100));
        continue;
      }
      Result<Bytes> bytes = std::move(found->second);
      ready.erase(found);
      ++given;
      changed.notify_all();
      lock.unlock();
      status = bytes ? take(*bytes) : Status(tl::unexpected(bytes.error()));
      lock.lock();
    }
    stop = true;
    changed.notify_all();
  }
  for (std::thread& thread : threads)
    thread.join();
  return status;
}

}  // namespace common::fileclient
