// Flipping and looking; store_flip_volume.cpp makes what is flipped.

#include "tests/support/store_flip.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/io/unique_fd.hpp"
#include "fileserver/store/check/fsck.hpp"
#include "fileserver/store/volume.hpp"
#include "tests/support/store_flip_volume.hpp"

namespace test_support {

namespace {

namespace fs = std::filesystem;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): all of it is about it

// In place: making files anew would be half of what a flip costs.
void spill(const std::string& path, const std::string& text) {
  const common::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const auto length = static_cast<ssize_t>(text.size());
  if (!fd.valid() || ::pwrite(fd.get(), text.data(), text.size(), 0) != length ||
      ::ftruncate(fd.get(), length) != 0) {
    std::perror(path.c_str());
    std::abort();
  }
}

std::string text_of(const Attributes& a) {
  return fmt::format("{} {} {:o} {} {} {} {} {} {} {} {} {} {} {} {}", a.node.value,
                     static_cast<int>(a.kind), a.mode, a.uid, a.gid, a.links, a.size, a.allocated,
                     a.mtime, a.ctime, a.atime, a.device, a.version.value, a.data_version.value,
                     a.home.value);
}

Result<std::string> text_of(const Result<std::vector<EntryAttributes>>& list) {
  TROTH_TRY(const auto entries, list);
  std::string text;
  for (const EntryAttributes& entry : entries)
    text += fmt::format("{}: {}\n", entry.name, text_of(entry.attributes));
  return text;
}

Result<std::string> read_text(Volume& volume, NodeId node, std::size_t room, At at) {
  std::string text(room, '\0');
  TROTH_TRY(const auto read,
            volume.read(node, 0, {reinterpret_cast<std::byte*>(text.data()), text.size()}, at));
  text.resize(read.length);
  return text_of(read.attributes) + "\n" + text;
}

Result<std::string> text_of(const Result<std::optional<Bytes>>& value) {
  TROTH_TRY(const auto bytes, value);
  return bytes ? std::string(common::as_text(*bytes)) : "none";
}

Result<std::string> records(Volume& volume, Seq last) {
  TROTH_TRY(const auto changes, volume.changes_since(Seq{1}, 1000));
  std::string text;
  for (const CommitRecord& record : changes) {
    if (record.seq <= last)
      text += common::as_text(encode_record(record));
  }
  return text;
}

Result<std::string> snapshots(Volume& volume) {
  TROTH_TRY(const auto all, volume.snapshots());
  std::string text;
  for (const Snapshot& one : all)
    text += fmt::format("{} {} {}\n", one.name, one.seq.value, one.time);
  return text;
}

Result<std::string> held(Volume& volume) {
  TROTH_TRY(const auto reserved, volume.reservation(SessionId{7}));
  TROTH_TRY(const auto sessions, volume.sessions());
  TROTH_TRY(const auto kept, volume.kept());
  return fmt::format("{} {} {} {}", reserved.nodes, reserved.bytes, sessions.size(), kept.size());
}

}  // namespace

FlipAnswers FlipVolume::ask(Volume& volume) const {
  FlipAnswers answers;
  const auto add = [&](std::string question, Result<std::string> answer) {
    answers.emplace_back(std::move(question), std::move(answer));
  };
  add("the root", text_of(volume.list(kRootNode, "", 100)));
  add("the root as it was", text_of(volume.list(kRootNode, "", 100, At(before_))));
  for (const auto& [name, node] : nodes_) {
    if (name == "directory")
      add(name, text_of(volume.list(node, "", 100)));
    else if (name == "symlink")
      add(name, volume.read_link(node));
    else
      add(name, read_text(volume, node, name == "tree" ? kFlipLargest + 1 : kFlipShort, {}));
  }
  add("the tail as it was", read_text(volume, nodes_.at("tail"), kFlipShort, At(before_)));
  add("an attribute", text_of(volume.xattr(nodes_.at("tail"), "user.kept")));
  add("it as it was", text_of(volume.xattr(nodes_.at("tail"), "user.kept", At(before_))));
  add("a setting", text_of(volume.setting(kQuotaBytes)));
  add("snapshots", snapshots(volume));
  add("what sessions hold", held(volume));
  add("the records", records(volume, last_));
  return answers;
}

FlipOutcome FlipVolume::compare(const FlipAnswers& now, std::string& why) const {
  bool refused = false;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto& [question, answer] = now[i];
    if (!answer) {
      why = question + ": " + answer.error().message;
      // What was there is said to have never been.
      if (answer.error().code == common::ErrorCode::NotFound)
        return FlipOutcome::Older;
      refused = true;
    } else if (*answer != *answers_[i].second) {
      why = question + " reads otherwise";
      return FlipOutcome::Wrong;
    }
  }
  return refused ? FlipOutcome::Unreadable : FlipOutcome::Unused;
}

std::uint64_t FlipVolume::bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, text] : files_)
    total += text.size();
  return total;
}

std::uint64_t FlipVolume::database_bytes() const {
  return files_.begin()->second.size();
}

void FlipVolume::restore(const std::string& copy) const {
  fs::create_directories(copy + "/segments");
  for (const std::string& directory : {copy, copy + "/segments"}) {
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (!entry.is_directory() && !files_.contains(fs::relative(entry.path(), copy).string()))
        fs::remove(entry.path());
    }
  }
  for (const auto& [name, text] : files_)
    spill(copy + "/" + name, text);
}

FlipVolume::Flip FlipVolume::flip(std::uint64_t byte, unsigned bit, bool fsck,
                                  unsigned thread) const {
  Flip result;
  const std::string copy = scratch_ + "/copy" + std::to_string(thread);
  restore(copy);
  std::uint64_t at = byte;
  for (const auto& [name, text] : files_) {
    if (at < text.size()) {
      const common::UniqueFd fd(::open((copy + "/" + name).c_str(), O_WRONLY | O_CLOEXEC));
      const auto bytes = static_cast<char>(static_cast<unsigned char>(text[at]) ^ (1U << bit));
      if (!fd.valid() || ::pwrite(fd.get(), &bytes, 1, static_cast<off_t>(at)) != 1)
        std::abort();
      result.file = name;
      result.offset = at;
      break;
    }
    at -= text.size();
  }
  result.outcome = look(copy, fsck, result.why);
  return result;
}

FlipOutcome FlipVolume::look(const std::string& copy, bool fsck, std::string& why) const {
  FlipOutcome seen = FlipOutcome::Unused;
  {
    const auto opened = Volume::open(copy, flip_options(state_ == FlipState::PowerLost), clock_);
    if (!opened) {
      why = opened.error().message;
      return FlipOutcome::Refused;
    }
    Volume& volume = **opened;
    if (volume.report().rolled_back != 0 || volume.last_seq() < last_) {
      why = "commits are gone";
      return FlipOutcome::Older;
    }
    seen = compare(ask(volume), why);
    if (seen == FlipOutcome::Unused && volume.report().damaged_blocks != 0)
      seen = FlipOutcome::Unreadable;
  }
  if (seen != FlipOutcome::Unused || !fsck)
    return seen;
  const auto report = check_volume(copy, {}, clock_);
  if (!report) {
    why = report.error().message;
    return FlipOutcome::Found;
  }
  for (const Finding& finding : report->findings) {
    // That it was not closed in order is always so: the look has just left it.
    if (finding.invariant == "recovery" || finding.invariant == "I2")
      continue;
    why = finding.what;
    return FlipOutcome::Found;
  }
  return FlipOutcome::Unused;
}

}  // namespace test_support
