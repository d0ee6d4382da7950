#include "common/fileclient/transfer/upload.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/crypto/random.hpp"
#include "common/fileclient/transfer/file_time.hpp"
#include "common/fileclient/transfer/in_parallel.hpp"
#include "common/fileclient/transfer/resume_file.hpp"
#include "common/fileclient/transfer/upload_state.hpp"
#include "common/fileproto/block_names.hpp"

namespace common::fileclient {
namespace {

using fileproto::ByteRange;

// Above this a file is staged. A change's bytes travel in one request.
constexpr std::uint64_t kMostAtOnce = fileproto::kMaxStoreBytes;
// Holes are kept as such where a file has at most this many pieces of data; JSON of that many edits
// fits the head of a call.
constexpr std::size_t kMostExtents = 1'000;

Result<SourceStamp> stamp_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0)
    return fail_errno(errno, "look at the local file");
  if (!S_ISREG(info.st_mode))
    return fail(ErrorCode::InvalidArgument, "not a regular file");
  return SourceStamp{.device = info.st_dev,
                     .inode = info.st_ino,
                     .size = static_cast<std::uint64_t>(info.st_size),
                     .mtime_ns = ns_of(info.st_mtim),
                     .ctime_ns = ns_of(info.st_ctim)};
}

Status read_at(int fd, std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_errno(errno, "read the local file");
    if (got == 0)
      return fail(ErrorCode::Stale, "the local file became shorter while it was read");
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

// What is no hole, ascending; all of it where the file system cannot tell.
std::vector<ByteRange> data_of(int fd, std::uint64_t size) {
  std::vector<ByteRange> data;
  std::uint64_t at = 0;
  while (at < size) {
    const off_t begin = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (begin < 0 && errno == ENXIO)
      return data;
    const off_t end = begin < 0 ? -1 : ::lseek(fd, begin, SEEK_HOLE);
    if (begin < 0 || end <= begin || data.size() >= kMostExtents)
      return {{0, size}};
    const auto from = static_cast<std::uint64_t>(begin);
    at = std::min(static_cast<std::uint64_t>(end), size);
    if (from < at)
      data.push_back({from, at - from});
  }
  return data;
}

// One upload on its way.
class Upload {
 public:
  Upload(FileClient& client, const UploadSource& source, const UploadTarget& target,
         const TransferOptions& options)
      : client_(client), source_(source), target_(target), options_(options) {}

  Result<Uploaded> run();

 private:
  Result<Uploaded> send_at_once();
  Result<Uploaded> send_staged();
  Status take_up(const SourceStamp& stamp);
  Result<std::vector<ByteRange>> staged_ranges();
  Status open_staging();
  Status send_piece(const ByteRange& piece);
  Result<Uploaded> commit(const std::vector<ByteRange>& data);
  Status make_hidden();
  Result<Uploaded> publish(const fileproto::Store& store);
  [[nodiscard]] fileproto::Store store_of(NodeId node, std::optional<Seq> base) const;
  Result<Uploaded> uploaded(const Result<fileproto::ChangeResult>& result, NodeId node) const;
  void remember();
  void count(std::uint64_t bytes) {
    if (options_.progress != nullptr)
      options_.progress->bytes_done += bytes;
  }
  [[nodiscard]] Fid fid(NodeId node) const { return {target_.dir.volume, node}; }

  FileClient& client_;
  const UploadSource& source_;
  const UploadTarget& target_;
  const TransferOptions& options_;
  UploadState state_;
  std::optional<ResumeFile> memory_;
  bool resumed_ = false;
};

Result<Uploaded> Upload::run() {
  TROTH_TRY(const SourceStamp stamp, stamp_of(source_.fd));
  if (stamp.size > fileproto::kMaxFileSize)
    return fail_posix(EFBIG, "a file of {} bytes is too large", stamp.size);
  state_.source = stamp;
  if (stamp.size <= kMostAtOnce)
    return send_at_once();
  TROTH_TRY_VOID(take_up(stamp));
  auto result = send_staged();
  if (result && memory_)
    memory_->remove();
  return result;
}

fileproto::Store Upload::store_of(NodeId node, std::optional<Seq> base) const {
  fileproto::Store store;
  store.fid = fid(node);
  store.base = base;
  store.size = state_.source.size;
  store.mtime = source_.mtime;
  return store;
}

Result<Uploaded> Upload::uploaded(const Result<fileproto::ChangeResult>& result,
                                  NodeId node) const {
  if (!result)
    return tl::unexpected(result.error());
  Uploaded done;
  done.resumed = resumed_;
  for (const auto& outcome : result->outcomes) {
    if (outcome.lost)
      done.lost = outcome.lost;
    if (outcome.created && node == NodeId{})
      node = *outcome.created;
  }
  const auto found = std::find_if(result->nodes.begin(), result->nodes.end(),
                                  [&](const auto& touched) { return touched.node.node == node; });
  if (found != result->nodes.end())
    done.node = found->node;
  else
    done.node.node = node;
  return done;
}

Result<Uploaded> Upload::send_at_once() {
  Bytes bytes(state_.source.size);
  TROTH_TRY_VOID(read_at(source_.fd, 0, bytes));
  TROTH_TRY(const SourceStamp after, stamp_of(source_.fd));
  if (after != state_.source)
    return fail(ErrorCode::Stale, "the local file changed while it was read; try again");
  Result<Uploaded> done = Uploaded{};
  if (target_.existing) {
    fileproto::Store store = store_of(target_.existing->node, target_.existing->data_version);
    if (!bytes.empty())
      store.edits.push_back({0, bytes.size(), 0});
    done = uploaded(client_.change(store, options_.calls, bytes), target_.existing->node);
  } else {
    fileproto::Create create;
    create.made.dir = target_.dir;
    create.made.name = target_.name;
    create.made.mode = source_.mode;
    create.bytes = bytes.size();
    done = uploaded(client_.change(create, options_.calls, bytes), {});
    if (done && source_.mtime && done->node.node != NodeId{}) {
      fileproto::Setattr times;
      times.fid = fid(done->node.node);
      times.mtime = fileproto::SetTime{source_.mtime};
      done = uploaded(client_.change(times, options_.calls), done->node.node);
    }
  }
  if (done)
    count(bytes.size());
  return done;
}

// What an earlier process has left, if it was about this very file.
Status Upload::take_up(const SourceStamp& stamp) {
  if (options_.resume_directory.empty())
    return {};
  TROTH_TRY(const auto key, upload_key(stamp, target_.dir, target_.name));
  TROTH_TRY(memory_, ResumeFile::open(options_.resume_directory, key));
  const auto bytes = memory_->read();
  if (!bytes)
    return {};
  const auto state = decode_upload_state(*bytes);
  if (!state || state->staging.volume != target_.dir.volume)
    return {};
  if (state->source == stamp) {
    state_ = *state;
    resumed_ = true;
    return {};
  }
  // The file is another one now: what was sent of it is of no use.
  fileproto::StageDropArgs drop;
  drop.staging = state->staging;
  static_cast<void>(client_.ask(drop, options_.calls));
  return {};
}

void Upload::remember() {
  // Without memory the upload goes on; only its next attempt would begin anew.
  if (memory_)
    static_cast<void>(memory_->write(encode(state_)));
}

Status Upload::open_staging() {
  fileproto::StageOpenArgs args;
  args.volume = target_.dir.volume;
  args.size = state_.source.size;
  if (target_.existing)
    args.target = fid(target_.existing->node);
  TROTH_TRY(const auto result, client_.ask(args, options_.calls));
  state_.staging = result.staging;
  state_.made = {};
  resumed_ = false;
  remember();
  return {};
}

Result<std::vector<ByteRange>> Upload::staged_ranges() {
  std::vector<ByteRange> there;
  fileproto::StageStateArgs args;
  args.staging = state_.staging;
  for (;;) {
    TROTH_TRY(auto result, client_.ask(args, options_.calls));
    if (result.size != state_.source.size)
      return fail(ErrorCode::NotFound, "a staging of another size");
    there.insert(there.end(), result.ranges.begin(), result.ranges.end());
    if (!result.next || *result.next <= args.after)
      return there;
    args.after = *result.next;
  }
}

Status Upload::send_piece(const ByteRange& piece) {
  Bytes bytes(piece.length);
  TROTH_TRY_VOID(read_at(source_.fd, piece.offset, bytes));
  fileproto::StageWriteArgs args;
  args.staging = state_.staging;
  args.offset = piece.offset;
  TROTH_TRY(args.hash, fileproto::hash_of_piece(piece.offset, bytes));
  TROTH_TRY(const auto result, client_.stage_write(args, bytes, options_.calls));
  static_cast<void>(result);
  count(piece.length);
  return {};
}

Result<Uploaded> Upload::send_staged() {
  const std::vector<ByteRange> data = data_of(source_.fd, state_.source.size);
  std::vector<ByteRange> there;
  if (resumed_) {
    auto ranges = staged_ranges();
    if (ranges)
      there = *std::move(ranges);
    else if (ranges.error().code != ErrorCode::NotFound && ranges.error().code != ErrorCode::Stale)
      return tl::unexpected(ranges.error());
    else
      resumed_ = false;  // kept for a day, and that is over
  }
  if (!resumed_)
    TROTH_TRY_VOID(open_staging());
  const auto pieces = missing_pieces(data, there, kPieceBytes);
  std::uint64_t left = 0;
  for (const ByteRange& piece : pieces)
    left += piece.length;
  count(state_.source.size - left);
  if (options_.progress != nullptr)
    options_.progress->bytes_resumed += state_.source.size - left;
  TROTH_TRY_VOID(in_parallel(options_.threads, pieces.size(),
                             [&](std::size_t i) { return send_piece(pieces[i]); }));
  TROTH_TRY(const SourceStamp after, stamp_of(source_.fd));
  if (after != state_.source)
    return fail(ErrorCode::Stale, "the local file changed while it was read; try again");
  return commit(data);
}

Result<Uploaded> Upload::commit(const std::vector<ByteRange>& data) {
  fileproto::Store store = store_of({}, std::nullopt);
  store.staging = state_.staging.node;
  for (const ByteRange& range : data)
    store.edits.push_back({range.offset, range.length, range.offset});
  if (!target_.existing) {
    TROTH_TRY_VOID(make_hidden());
    return publish(store);
  }
  store.fid = fid(target_.existing->node);
  store.base = target_.existing->data_version;
  // What the file had there before is not to show through.
  if (target_.existing->size > 0 && (data.size() != 1 || data[0].length != store.size))
    store.holes.push_back({0, store.size});
  return uploaded(client_.change(store, options_.calls), target_.existing->node);
}

// A new file is filled before it gets its name, so that nobody ever sees it empty.
Status Upload::make_hidden() {
  if (state_.made != NodeId{})
    return {};
  TROTH_TRY(const auto random, crypto::random_u64());
  fileproto::Create create;
  state_.hidden_name = fmt::format(".troth-put-{:016x}", random);
  create.made.dir = target_.dir;
  create.made.name = state_.hidden_name;
  create.made.mode = source_.mode;
  TROTH_TRY(const auto made, uploaded(client_.change(create, options_.calls), {}));
  if (made.node.node == NodeId{})
    return fail(ErrorCode::Protocol, "the file server made a file and did not say which");
  state_.made = made.node.node;
  remember();
  return {};
}

Result<Uploaded> Upload::publish(const fileproto::Store& given) {
  fileproto::Store store = given;
  store.fid = fid(state_.made);
  fileproto::Rename rename;
  rename.dir = rename.to = target_.dir;
  rename.name = state_.hidden_name;
  rename.to_name = target_.name;
  rename.mode = fileproto::RenameMode::NoReplace;
  fileproto::BatchArgs batch;
  batch.changes = {store, rename};
  auto done = client_.batch(batch, options_.calls);
  if (!done && done.error().code == ErrorCode::AlreadyExists) {
    // Somebody was quicker; the staging stays for whoever overwrites that file.
    fileproto::Unlink unlink;
    unlink.dir = target_.dir;
    unlink.name = state_.hidden_name;
    if (client_.change(unlink, options_.calls)) {
      state_.made = {};
      remember();
    }
  }
  return uploaded(done, state_.made);
}

}  // namespace

Result<Uploaded> upload(FileClient& client, const UploadSource& source, const UploadTarget& target,
                        const TransferOptions& options) {
  return Upload(client, source, target, options).run();
}

}  // namespace common::fileclient
