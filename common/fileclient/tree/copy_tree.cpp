#include "common/fileclient/tree/copy_tree.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/crypto/random.hpp"
#include "common/fileclient/transfer/download.hpp"
#include "common/fileclient/tree/tree_walk.hpp"
#include "common/io/unique_fd.hpp"

namespace common::fileclient {
namespace {

// A file without a name that holds what passes through.
Result<UniqueFd> local_space() {
  for (const char* directory : {"/var/tmp", "/tmp"}) {
    UniqueFd fd(::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd.valid())
      return fd;
  }
  return fail_errno(errno, "make a temporary file in /tmp");
}

// The bytes come here and go back, in one commit at their end.
Status by_way_of_here(FileClient& client, const Found& from, Fid dir, const std::string& name,
                      const std::optional<fileproto::Attributes>& existing,
                      const CopyOptions& options) {
  TROTH_TRY(const UniqueFd space, local_space());
  const auto keep = [&](ByteView bytes) -> Status {
    while (!bytes.empty()) {
      const ssize_t put = ::write(space.get(), bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR)
        continue;
      if (put < 0)
        return fail_errno(errno, "write a temporary file");
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return {};
  };
  TransferOptions transfer = options.tree.transfer;
  TROTH_TRY_VOID(read_file(client, from.fid, from.node, 0, from.node.size, keep, transfer));
  transfer.resume_directory.clear();  // what lies in a nameless file cannot be gone on with
  UploadSource source{space.get(), from.node.mode, {}};
  if (options.keep_times)
    source.mtime = from.node.mtime;
  const auto sent = upload(client, source, {dir, name, existing}, transfer);
  return sent ? Status() : tl::unexpected(sent.error());
}

// Fills the file with that id from `from`, with no byte moving.
fileproto::CopyRange whole(const Found& from, Fid to) {
  fileproto::CopyRange copy;
  copy.from = from.fid;
  copy.version = from.node.version;
  copy.length = from.node.size;
  copy.to = to;
  return copy;
}

Status overwrite(FileClient& client, const Found& from, Fid to,
                 const fileproto::Attributes& existing, const CopyOptions& options) {
  fileproto::BatchArgs batch;
  batch.scope.conditions = {fileproto::DataVersionIs{to, existing.data_version}};
  if (from.node.size > 0) {
    batch.changes.emplace_back(whole(from, to));
  } else {
    fileproto::Setattr cut;
    cut.fid = to;
    cut.size = 0;
    batch.changes.emplace_back(cut);
  }
  if (options.keep_times) {
    fileproto::Setattr times;
    times.fid = to;
    times.mtime = fileproto::SetTime{from.node.mtime};
    batch.changes.emplace_back(times);
  }
  const auto done = client.batch(batch, client.filled(options.tree.transfer.calls));
  return done ? Status() : tl::unexpected(done.error());
}

Status make(FileClient& client, const Found& from, Fid dir, const std::string& name,
            const CopyOptions& options) {
  const auto calls = [&] { return client.filled(options.tree.transfer.calls); };
  TROTH_TRY(const auto random, crypto::random_u64());
  fileproto::Create create;
  // Nobody is to see it empty, unless that is what it is.
  const std::string hidden = from.node.size == 0 ? name : fmt::format(".troth-cp-{:016x}", random);
  create.made = {dir, hidden, from.node.mode & (options.keep_times ? 07777U : 0777U), {}};
  TROTH_TRY(const auto made, client.change(create, calls()));
  if (made.outcomes.empty() || !made.outcomes[0].created)
    return fail(ErrorCode::Protocol, "the file server made a file and did not say which");
  const Fid fid{dir.volume, *made.outcomes[0].created};
  fileproto::BatchArgs batch;
  if (from.node.size > 0) {
    batch.changes.emplace_back(whole(from, fid));
    fileproto::Rename rename{dir, hidden, dir, name, fileproto::RenameMode::NoReplace};
    batch.changes.emplace_back(rename);
  }
  if (options.keep_times) {
    fileproto::Setattr times;
    times.fid = fid;
    times.mtime = fileproto::SetTime{from.node.mtime};
    batch.changes.emplace_back(times);
  }
  if (batch.changes.empty())
    return {};
  const auto done = client.batch(batch, calls());
  if (done)
    return {};
  if (from.node.size > 0 && done.error().code != ErrorCode::OutcomeUnknown)
    static_cast<void>(client.change(fileproto::Unlink{dir, hidden}, calls()));
  return tl::unexpected(done.error());
}

class TreeCopy final : public TreeVisitor {
 public:
  TreeCopy(FileClient& client, const Found& to, TreeReport& report, const CopyOptions& options)
      : client_(client), report_(report), options_(options), to_(to) {}

  Result<bool> enter(const TreeEntry& entry) override {
    if (entry.depth == 0) {
      levels_.push_back({to_.fid, entry.node});
      return true;
    }
    // A copy into itself would find itself again and again.
    if (entry.fid == to_.fid && entry.depth > 0) {
      report_.problem(entry.path, {ErrorCode::InvalidArgument, "a directory into itself"});
      return false;
    }
    auto there = Walker(client_).look(levels_.back().fid, entry.name, calls());
    if (!there)
      return settle(entry.path, tl::unexpected(there.error()));
    if (entry.is_directory())
      return enter_directory(entry, *there);
    if (entry.node.kind == fileproto::NodeKind::Symlink)
      return settle(entry.path, copy_link(entry, *there));
    if (entry.node.kind != fileproto::NodeKind::File)
      return settle(entry.path,
                    fail(ErrorCode::Unsupported, "neither file, directory nor link: left out"));
    if (*there && (*there)->kind != fileproto::NodeKind::File)
      return settle(entry.path,
                    fail(ErrorCode::AlreadyExists, "a file does not replace what is there"));
    const Found from{entry.fid, entry.node, entry.dir, entry.name, entry.path};
    const Status copied =
        copy_file(client_, from, levels_.back().fid, entry.name, *there, options_);
    if (copied) {
      ++report_.files;
      report_.bytes += entry.node.size;
    }
    return settle(entry.path, copied);
  }

  Status leave(const TreeEntry& directory) override {
    const Level level = levels_.back();
    levels_.pop_back();
    if (directory.depth == 0)
      return {};
    fileproto::Setattr last;
    last.fid = level.fid;
    last.mode = level.node.mode & (options_.keep_times ? 07777U : 0777U);
    if (options_.keep_times)
      last.mtime = fileproto::SetTime{level.node.mtime};
    const auto done = client_.change(last, client_.filled(calls()));
    TROTH_TRY_VOID(settle(directory.path, done ? Status() : tl::unexpected(done.error())));
    return {};
  }

  Status trouble(const std::string& path, const Error& error) override {
    if (ends_everything(error))
      return tl::unexpected(error.in(path));
    report_.problem(path, error);
    return {};
  }

 private:
  struct Level {
    Fid fid;
    fileproto::Attributes node;  // of what is copied
  };
  [[nodiscard]] CallOptions calls() const { return options_.tree.transfer.calls; }

  // False: nothing to go into.
  Result<bool> settle(const std::string& path, const Status& status) {
    if (!status)
      TROTH_TRY_VOID(trouble(path, status.error()));
    return false;
  }

  Result<bool> enter_directory(const TreeEntry& entry,
                               const std::optional<fileproto::Attributes>& there) {
    Fid fid{levels_.back().fid.volume, NodeId{}};
    if (there) {
      if (there->kind != fileproto::NodeKind::Directory)
        return settle(entry.path,
                      fail(ErrorCode::AlreadyExists, "a directory does not replace what is there"));
      fid.node = there->node;
    } else {
      fileproto::Mkdir mkdir;
      mkdir.made = {levels_.back().fid, entry.name, (entry.node.mode & 0777U) | 0700U, {}};
      const auto made = client_.change(mkdir, client_.filled(calls()));
      if (!made)
        return settle(entry.path, tl::unexpected(made.error()));
      if (made->outcomes.empty() || !made->outcomes[0].created)
        return fail(ErrorCode::Protocol, "the file server made a directory and did not say which");
      fid.node = *made->outcomes[0].created;
      ++report_.directories;
    }
    levels_.push_back({fid, entry.node});
    return true;
  }

  Status copy_link(const TreeEntry& entry, const std::optional<fileproto::Attributes>& there) {
    if (there)
      return fail(ErrorCode::AlreadyExists, "a symbolic link does not replace what is there");
    fileproto::ReadlinkArgs args;
    args.fid = entry.fid;
    TROTH_TRY(const auto link, client_.ask(args, client_.filled(calls())));
    fileproto::Symlink symlink;
    symlink.made = {levels_.back().fid, entry.name, 0777, {}};
    symlink.target = link.target;
    TROTH_TRY(const auto made, client_.change(symlink, client_.filled(calls())));
    static_cast<void>(made);
    ++report_.links;
    return {};
  }

  FileClient& client_;
  TreeReport& report_;
  const CopyOptions& options_;
  const Found& to_;
  std::vector<Level> levels_;
};

}  // namespace

Status copy_file(FileClient& client, const Found& from, Fid dir, const std::string& name,
                 const std::optional<fileproto::Attributes>& existing, const CopyOptions& options) {
  Status done;
  // A batch fills a file once: it does not cut off as well what is longer there.
  const bool is_longer = existing && from.node.size > 0 && existing->size > from.node.size;
  if (from.fid.volume != dir.volume || is_longer)
    done = by_way_of_here(client, from, dir, name, existing, options);
  else if (existing)
    done = overwrite(client, from, {dir.volume, existing->node}, *existing, options);
  else
    done = make(client, from, dir, name, options);
  Progress* progress = options.tree.transfer.progress;
  if (done && progress != nullptr)
    ++progress->files_done;
  return done;
}

Status copy_tree(FileClient& client, const Found& from, const Found& to, TreeReport& report,
                 const CopyOptions& options) {
  TreeCopy copy(client, to, report, options);
  return walk_tree(client, from, copy,
                   {.calls = options.tree.transfer.calls, .enter_volumes = true});
}

}  // namespace common::fileclient
