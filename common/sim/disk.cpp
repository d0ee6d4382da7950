#include "common/sim/disk.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace common::sim {
namespace {

// The machine died in the middle of this; the caller is dead too and will not read the sentence.
tl::unexpected<Error> died() {
  return fail(ErrorCode::Cancelled, "the simulated machine has died");
}

// How much of what was not synced a power cut takes.
enum class Loss : std::uint8_t { Everything, Nothing, Suffix, Subset, TornSubset };
// Tearing twice: of all, it is what matters only at the right byte.
constexpr std::array kLosses = {Loss::Everything, Loss::Nothing,    Loss::Suffix,
                                Loss::Subset,     Loss::TornSubset, Loss::TornSubset};

}  // namespace

SimDisk::SimDisk(std::uint64_t seed, DiskHost* host, std::uint64_t capacity)
    : random_(seed), host_(host), capacity_(capacity) {}

bool SimDisk::alive(DiskOp op, std::uint64_t bytes) {
  ++counters_.operations;
  return host_ == nullptr || host_->before(op, bytes);
}

Result<SimDisk::InodePointer> SimDisk::inode_of(File file) const {
  if (file >= handles_.size() || !handles_[file]) {
    return fail(ErrorCode::InvalidArgument, "file handle {} is not open", file);
  }
  return handles_[file];
}

std::string_view SimDisk::directory_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

void SimDisk::apply(const NameStep& step, Names& names) {
  for (const auto& change : step.changes) {
    if (change.inode) {
      names[change.path] = change.inode;
    } else {
      names.erase(change.path);
    }
  }
}

void SimDisk::change_names(NameStep step) {
  apply(step, names_);
  pending_names_.push_back(std::move(step));
}

Result<SimDisk::File> SimDisk::open(std::string_view path, OpenMode mode) {
  if (!alive(DiskOp::Open, 0))
    return died();
  auto entry = names_.find(path);
  InodePointer inode;
  if (entry == names_.end()) {
    if (!mode.create)
      return fail(ErrorCode::NotFound, "no file {}", path);
    if (!is_directory(directory_of(path)))
      return fail(ErrorCode::NotFound, "no directory to create {} in", path);
    if (write_errors_ > 0)
      return fail(ErrorCode::IoError, "create {}: input/output error", path);
    if (full_ > 0)
      return fail(ErrorCode::NoSpace, "create {}: no space left", path);
    inode = std::make_shared<Inode>();
    change_names({.changes = {{std::string(path), inode}}});
  } else {
    if (entry->second->directory)
      return fail(ErrorCode::InvalidArgument, "{} is a directory", path);
    if (mode.create && mode.exclusive)
      return fail(ErrorCode::AlreadyExists, "{} exists", path);
    inode = entry->second;
  }
  auto free = std::find(handles_.begin(), handles_.end(), nullptr);
  if (free == handles_.end())
    free = handles_.insert(handles_.end(), nullptr);
  *free = inode;
  const auto file = static_cast<File>(free - handles_.begin());
  if (mode.truncate && !inode->current.empty())
    TROTH_TRY_VOID(truncate(file, 0));
  return file;
}

void SimDisk::close(File file) {
  if (file < handles_.size())
    handles_[file].reset();
}

Result<std::size_t> SimDisk::read(File file, std::uint64_t offset, std::span<std::byte> into) {
  TROTH_TRY(auto inode, inode_of(file));
  if (!alive(DiskOp::Read, into.size()))
    return died();
  if (read_errors_ > 0)
    return fail(ErrorCode::IoError, "read: input/output error");
  const auto& bytes = inode->current;
  if (offset >= bytes.size())
    return std::size_t{0};
  const std::size_t count = std::min<std::size_t>(into.size(), bytes.size() - offset);
  if (count > 0)
    std::memcpy(into.data(), bytes.data() + offset, count);
  return count;
}

void SimDisk::place(Bytes& into, std::uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty())
    return;
  if (into.size() < offset + bytes.size())
    into.resize(offset + bytes.size());
  std::memcpy(into.data() + offset, bytes.data(), bytes.size());
}

void SimDisk::apply(const Pending& change, Bytes& into) {
  if (change.truncation) {
    into.resize(change.offset);
  } else {
    place(into, change.offset, change.bytes);
  }
}

void SimDisk::apply_write(Inode& inode, std::uint64_t offset, std::span<const std::byte> bytes,
                          bool reaches_medium) {
  const std::size_t before = inode.current.size();
  place(inode.current, offset, bytes);
  used_ += inode.current.size() - before;
  if (!reaches_medium)
    return;
  inode.pending.push_back(Pending{
      .number = next_number_++, .offset = offset, .bytes = Bytes(bytes.begin(), bytes.end())});
}

Status SimDisk::write(File file, std::uint64_t offset, std::span<const std::byte> bytes) {
  TROTH_TRY(auto inode, inode_of(file));
  if (!alive(DiskOp::Write, bytes.size())) {
    apply_write(*inode, offset, bytes.first(random_.below(bytes.size() + 1)), true);
    return died();
  }
  if (bytes.empty())
    return {};
  if (write_errors_ > 0)
    return fail(ErrorCode::IoError, "write: input/output error");
  const std::uint64_t end = offset + bytes.size();
  const std::uint64_t growth = end > inode->current.size() ? end - inode->current.size() : 0;
  if (growth > 0 && (full_ > 0 || used_ + growth > capacity_)) {
    // What lies within the present length needs no room; beyond it a prefix may still fit.
    const std::uint64_t inside = bytes.size() - std::min<std::uint64_t>(growth, bytes.size());
    if (inside > 0)
      apply_write(*inode, offset, bytes.first(inside), true);
    return fail(ErrorCode::NoSpace, "write: no space left on the simulated disk");
  }
  const bool lost = lost_writes_ > 0;
  if (lost)
    --lost_writes_;
  apply_write(*inode, offset, bytes, !lost);
  return {};
}

Status SimDisk::truncate(File file, std::uint64_t size) {
  TROTH_TRY(auto inode, inode_of(file));
  if (!alive(DiskOp::Truncate, 0))
    return died();
  if (write_errors_ > 0)
    return fail(ErrorCode::IoError, "truncate: input/output error");
  const std::uint64_t before = inode->current.size();
  if (size > before && (full_ > 0 || used_ + size - before > capacity_)) {
    return fail(ErrorCode::NoSpace, "truncate: no space left on the simulated disk");
  }
  used_ = used_ - before + size;
  inode->current.resize(size);
  inode->pending.push_back(
      Pending{.number = next_number_++, .offset = size, .bytes = {}, .truncation = true});
  return {};
}

Result<std::uint64_t> SimDisk::begin_sync(File file) {
  TROTH_TRY_VOID(inode_of(file));
  return next_number_ - 1;
}

Status SimDisk::finish_sync(File file, std::uint64_t ticket) {
  TROTH_TRY(auto inode, inode_of(file));
  ++counters_.syncs;
  if (!alive(DiskOp::Sync, 0))
    return died();
  if (sync_errors_ > 0 || write_errors_ > 0) {
    if (sync_errors_ > 0)
      --sync_errors_;
    // As Linux does: the pages count as clean from now on. What has not reached the medium by now
    // stays visible, and never will.
    std::erase_if(inode->pending, [&](const Pending& change) {
      if (change.number > ticket)
        return false;
      if (random_.chance(kAlways / 4))
        apply(change, inode->stable);
      return true;
    });
    return fail(ErrorCode::IoError, "fsync: input/output error");
  }
  std::erase_if(inode->pending, [&](const Pending& change) {
    if (change.number > ticket)
      return false;
    apply(change, inode->stable);
    return true;
  });
  return {};
}

Status SimDisk::sync(File file) {
  TROTH_TRY(auto ticket, begin_sync(file));
  return finish_sync(file, ticket);
}

Result<std::uint64_t> SimDisk::size(File file) {
  TROTH_TRY(auto inode, inode_of(file));
  return std::uint64_t{inode->current.size()};
}

Status SimDisk::may_change_name(DiskOp op, std::string_view what, std::string_view path) {
  if (!alive(op, 0))
    return died();
  if (write_errors_ > 0)
    return fail(ErrorCode::IoError, "{} {}: input/output error", what, path);
  return {};
}

Status SimDisk::check_rename(std::string_view from, std::string_view to) const {
  const auto source = names_.find(from);
  if (source == names_.end())
    return fail(ErrorCode::NotFound, "no file {}", from);
  if (!is_directory(directory_of(to)))
    return fail(ErrorCode::NotFound, "no directory to rename {} into", to);
  const auto target = names_.find(to);
  const bool directory = source->second->directory;
  if (target != names_.end() && from != to && (directory || target->second->directory))
    return fail(ErrorCode::AlreadyExists, "{} exists", to);
  if (directory && to.size() > from.size() && to.starts_with(from) && to[from.size()] == '/')
    return fail(ErrorCode::InvalidArgument, "cannot move {} below itself", from);
  return {};
}

Status SimDisk::rename(std::string_view from, std::string_view to) {
  TROTH_TRY_VOID(may_change_name(DiskOp::Rename, "rename", from));
  TROTH_TRY_VOID(check_rename(from, to));
  if (from == to)
    return {};
  NameStep step{
      .changes = {{std::string(to), names_.find(from)->second}, {std::string(from), nullptr}},
      .own = 2};
  const std::string below = std::string(from) + '/';
  for (auto it = names_.lower_bound(below); it != names_.end() && it->first.starts_with(below);
       ++it) {
    step.changes.push_back({std::string(to) + '/' + it->first.substr(below.size()), it->second});
    step.changes.push_back({it->first, nullptr});
  }
  change_names(std::move(step));
  recount();
  return {};
}

Status SimDisk::remove(std::string_view path) {
  TROTH_TRY_VOID(may_change_name(DiskOp::Remove, "remove", path));
  if (!exists(path))
    return fail(ErrorCode::NotFound, "no file {}", path);
  if (is_directory(path))
    return fail(ErrorCode::InvalidArgument, "{} is a directory", path);
  change_names({.changes = {{std::string(path), nullptr}}});
  recount();
  return {};
}

Status SimDisk::make_directory(std::string_view path) {
  TROTH_TRY_VOID(may_change_name(DiskOp::Open, "make directory", path));
  if (exists(path))
    return fail(ErrorCode::AlreadyExists, "{} exists", path);
  if (!is_directory(directory_of(path)))
    return fail(ErrorCode::NotFound, "no directory to make {} in", path);
  if (full_ > 0)
    return fail(ErrorCode::NoSpace, "make directory {}: no space left", path);
  auto inode = std::make_shared<Inode>();
  inode->directory = true;
  change_names({.changes = {{std::string(path), std::move(inode)}}});
  return {};
}

Status SimDisk::remove_directory(std::string_view path) {
  TROTH_TRY_VOID(may_change_name(DiskOp::Remove, "remove directory", path));
  if (!exists(path))
    return fail(ErrorCode::NotFound, "no directory {}", path);
  if (!is_directory(path))
    return fail(ErrorCode::InvalidArgument, "{} is not a directory", path);
  const std::string below = std::string(path) + '/';
  const auto first = names_.lower_bound(below);
  if (first != names_.end() && first->first.starts_with(below))
    return fail(ErrorCode::AlreadyExists, "directory {} is not empty", path);
  change_names({.changes = {{std::string(path), nullptr}}});
  return {};
}

Status SimDisk::sync_directory(std::string_view directory) {
  ++counters_.syncs;
  if (!alive(DiskOp::SyncDirectory, 0))
    return died();
  if (!is_directory(directory))
    return fail(ErrorCode::NotFound, "no directory {}", directory);
  if (sync_errors_ > 0 || write_errors_ > 0) {
    if (sync_errors_ > 0)
      --sync_errors_;
    return fail(ErrorCode::IoError, "fsync {}: input/output error", directory);
  }
  std::erase_if(pending_names_, [&](const NameStep& step) {
    for (std::size_t i = 0; i < step.own; ++i) {
      if (directory_of(step.changes[i].path) != directory)
        continue;
      apply(step, stable_names_);
      return true;
    }
    return false;
  });
  return {};
}

Result<std::vector<SimDisk::Listed>> SimDisk::list(std::string_view directory) {
  if (!alive(DiskOp::Open, 0))
    return died();
  if (read_errors_ > 0)
    return fail(ErrorCode::IoError, "list {}: input/output error", directory);
  if (!exists(directory) && !directory.empty())
    return fail(ErrorCode::NotFound, "no directory {}", directory);
  if (!is_directory(directory))
    return fail(ErrorCode::InvalidArgument, "{} is not a directory", directory);
  std::vector<Listed> found;
  for (const auto& [path, inode] : names_) {
    if (directory_of(path) != directory)
      continue;
    found.push_back(
        {directory.empty() ? path : path.substr(directory.size() + 1), inode->directory});
  }
  return found;
}

bool SimDisk::exists(std::string_view path) const {
  return names_.find(path) != names_.end();
}

bool SimDisk::is_directory(std::string_view path) const {
  if (path.empty())
    return true;
  const auto entry = names_.find(path);
  return entry != names_.end() && entry->second->directory;
}

// What lies in a directory whose own name was lost cannot be reached any more.
void SimDisk::drop_orphans(Names& names) const {
  std::erase_if(names, [&](const auto& entry) {
    for (auto above = directory_of(entry.first); !above.empty(); above = directory_of(above)) {
      const auto parent = names.find(above);
      if (parent == names.end() || !parent->second->directory)
        return true;
    }
    return false;
  });
}

void SimDisk::recount() {
  used_ = 0;
  for (const auto& [path, inode] : names_)
    used_ += inode->current.size();
}

void SimDisk::kill() {
  handles_.clear();
  ++life_;
  recount();
}

// Puts part of a write onto the medium: sector by sector, and if it was to lengthen the file, with
// any length.
void SimDisk::tear(const Pending& write, Bytes& into) {
  const std::uint64_t old_size = into.size();
  const std::uint64_t end = write.offset + write.bytes.size();
  const bool junk = random_.chance(kAlways / 4);
  for (std::uint64_t at = write.offset; at < end;) {
    const std::uint64_t sector_end = std::min<std::uint64_t>((at / kSector + 1) * kSector, end);
    const auto part = std::span(write.bytes).subspan(at - write.offset, sector_end - at);
    if (random_.chance(kAlways / 2)) {
      place(into, at, part);
    } else if (at >= old_size) {
      // The length arrived, the data did not: zeros, or what the blocks held before.
      Bytes left(part.size(), std::byte{0});
      if (junk) {
        for (auto& byte : left)
          byte = static_cast<std::byte>(random_.next() & 0xFF);
      }
      place(into, at, left);
    }
    at = sector_end;
  }
  if (end > old_size && random_.chance(kAlways / 2)) {
    const std::uint64_t low = std::max(old_size, write.offset);
    into.resize(low + random_.below(end - low + 1));
  }
}

void SimDisk::cut_file(Inode& inode) {
  const auto loss = kLosses[random_.below(kLosses.size())];
  const std::size_t kept = loss == Loss::Suffix ? random_.below(inode.pending.size() + 1) : 0;
  std::size_t index = 0;
  for (const auto& change : inode.pending) {
    bool keep = false;
    switch (loss) {
      case Loss::Everything:
        break;
      case Loss::Nothing:
        keep = true;
        break;
      case Loss::Suffix:
        keep = index < kept;
        break;
      case Loss::Subset:
      case Loss::TornSubset:
        keep = random_.chance(kAlways / 2);
        break;
    }
    ++index;
    if (!keep) {
      ++counters_.writes_lost;
    } else if (loss == Loss::TornSubset && !change.truncation && random_.chance(kAlways / 2)) {
      ++counters_.writes_torn;
      tear(change, inode.stable);
    } else {
      apply(change, inode.stable);
    }
  }
  inode.pending.clear();
  inode.current = inode.stable;
}

void SimDisk::power_cut() {
  handles_.clear();
  ++life_;
  const auto loss = kLosses[random_.below(kLosses.size())];
  const std::size_t kept = random_.below(pending_names_.size() + 1);
  for (std::size_t i = 0; i < pending_names_.size(); ++i) {
    const bool keep = loss == Loss::Nothing || (loss == Loss::Suffix && i < kept) ||
                      (loss >= Loss::Subset && random_.chance(kAlways / 2));
    if (keep)
      apply(pending_names_[i], stable_names_);
  }
  pending_names_.clear();
  drop_orphans(stable_names_);
  names_ = stable_names_;
  // By name, so that the order does not depend on addresses; a second name finds nothing pending.
  for (auto& [path, inode] : names_)
    cut_file(*inode);
  recount();
}

SimDisk::Image SimDisk::stable_image() const {
  Image image;
  for (const auto& [path, inode] : stable_names_) {
    if (inode->directory) {
      image.directories.push_back(path);
    } else {
      image.files[path] = inode->stable;
    }
  }
  return image;
}

void SimDisk::restore(const Image& image) {
  handles_.clear();
  ++life_;
  pending_names_.clear();
  names_.clear();
  for (const auto& [path, bytes] : image.files) {
    auto inode = std::make_shared<Inode>();
    inode->current = inode->stable = bytes;
    names_[path] = inode;
  }
  for (const auto& path : image.directories) {
    names_[path] = std::make_shared<Inode>();
    names_[path]->directory = true;
  }
  stable_names_ = names_;
  recount();
}

bool SimDisk::corrupt(std::uint64_t choice) {
  std::uint64_t total = 0;
  for (const auto& [path, inode] : stable_names_)
    total += inode->stable.size();
  if (total == 0)
    return false;
  std::uint64_t at = mix(choice) % total;
  for (auto& [path, inode] : stable_names_) {
    if (at >= inode->stable.size()) {
      at -= inode->stable.size();
      continue;
    }
    const std::byte flip{static_cast<std::uint8_t>(1U << (choice % 8))};
    const bool same = at < inode->current.size() && inode->current[at] == inode->stable[at];
    inode->stable[at] ^= flip;
    if (same)
      inode->current[at] ^= flip;
    return true;
  }
  return false;
}

}  // namespace common::sim
