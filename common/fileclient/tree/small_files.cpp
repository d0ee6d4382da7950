#include "common/fileclient/tree/small_files.hpp"

#include <algorithm>

namespace common::fileclient {
namespace {

// JSON of a create is at most 300 bytes with a usual name and 1,500 with the longest escaped one;
// the head before raw bytes is 64 KiB.
constexpr std::size_t kMostFiles = 200;
constexpr std::size_t kMostNameBytes = 8'000;

fileproto::Change change_of(const SmallFile& file) {
  if (!file.link.empty()) {
    fileproto::Symlink symlink;
    symlink.made = {file.dir, file.name, 0777, {}};
    symlink.target = file.link;
    return symlink;
  }
  if (file.existing) {
    fileproto::Store store;
    store.fid = {file.dir.volume, file.existing->node};
    store.base = file.existing->data_version;
    store.size = file.bytes.size();
    store.mtime = file.mtime;
    if (!file.bytes.empty())
      store.edits.push_back({0, file.bytes.size(), 0});
    return store;
  }
  fileproto::Create create;
  create.made = {file.dir, file.name, file.mode, {}};
  create.bytes = file.bytes.size();
  return create;
}

void count(const SmallFile& file, TreeReport& report, Progress* progress) {
  if (file.link.empty())
    ++report.files;
  else
    ++report.links;
  report.bytes += file.bytes.size();
  if (progress != nullptr) {
    progress->bytes_done += file.bytes.size();
    ++progress->files_done;
  }
}

// Which node the change with that number has made.
std::optional<NodeId> made_by(const fileproto::ChangeResult& result, std::size_t change) {
  if (change >= result.outcomes.size())
    return std::nullopt;
  return result.outcomes[change].created;
}

Status set_times(FileClient& client, const std::vector<const SmallFile*>& files,
                 const fileproto::ChangeResult& result, TreeReport& report,
                 const CallOptions& calls) {
  fileproto::BatchArgs batch;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto node = made_by(result, i);
    if (!node || files[i]->existing)
      continue;
    fileproto::Setattr times;
    times.fid = {files[i]->dir.volume, *node};
    times.mtime = fileproto::SetTime{files[i]->mtime};
    batch.changes.emplace_back(times);
  }
  if (batch.changes.empty())
    return {};
  const auto done = client.batch(batch, calls);
  if (done)
    return {};
  if (ends_everything(done.error()))
    return tl::unexpected(done.error());
  report.problem(files[0]->path, done.error().in("its time, and that of others beside it"));
  return {};
}

Status send(FileClient& client, const std::vector<const SmallFile*>& files, TreeReport& report,
            const CallOptions& calls, std::optional<Error>& refused) {
  fileproto::BatchArgs batch;
  Bytes bytes;
  for (const SmallFile* file : files) {
    batch.changes.push_back(change_of(*file));
    bytes.insert(bytes.end(), file->bytes.begin(), file->bytes.end());
  }
  const auto done = client.batch(batch, calls, bytes);
  if (done)
    return set_times(client, files, *done, report, calls);
  if (ends_everything(done.error()))
    return tl::unexpected(done.error());
  refused = done.error();
  return {};
}

}  // namespace

bool SmallFiles::full_with(const SmallFile& file) const {
  if (files_.empty())
    return false;
  std::size_t names = file.name.size() + file.link.size();
  for (const SmallFile& each : files_)
    names += each.name.size() + each.link.size();
  return files_.size() >= kMostFiles || names > kMostNameBytes ||
         bytes_ + file.bytes.size() > fileproto::kMaxBatchBytes ||
         file.dir.volume != files_.front().dir.volume;
}

void SmallFiles::add(SmallFile file) {
  bytes_ += file.bytes.size();
  files_.push_back(std::move(file));
}

std::vector<SmallFile> SmallFiles::take() {
  bytes_ = 0;
  std::vector<SmallFile> files;
  files.swap(files_);
  return files;
}

Status send_small_files(FileClient& client, const std::vector<SmallFile>& files, TreeReport& report,
                        Progress* progress, const CallOptions& given) {
  const CallOptions calls = client.filled(given);
  std::vector<const SmallFile*> all;
  all.reserve(files.size());
  for (const SmallFile& file : files)
    all.push_back(&file);
  if (all.empty())
    return {};
  std::optional<Error> refused;
  TROTH_TRY_VOID(send(client, all, report, calls, refused));
  for (const SmallFile* file : all) {
    if (refused) {
      std::optional<Error> why;
      TROTH_TRY_VOID(send(client, {file}, report, client.filled(given), why));
      if (why) {
        report.problem(file->path, *why);
        continue;
      }
    }
    count(*file, report, progress);
  }
  return {};
}

}  // namespace common::fileclient
