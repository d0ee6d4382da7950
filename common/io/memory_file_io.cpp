#include "common/io/memory_file_io.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>

#include "common/sync/mutex.hpp"

namespace common::io {
namespace {

struct Node;
using Names = std::map<std::string, std::shared_ptr<Node>, std::less<>>;

// A file or a directory: what it is now, and what a crash would leave of it.
struct Node {
  explicit Node(EntryKind k) : kind(k) {}
  const EntryKind kind;
  std::vector<std::byte> bytes, synced_bytes;
  Names names, synced_names;
};

void crash_node(Node& node) {
  node.bytes = node.synced_bytes;
  node.names = node.synced_names;
  for (auto& [name, child] : node.names)
    crash_node(*child);
}

}  // namespace

struct MemoryFileIo::Tree {
  Mutex mutex;
  std::shared_ptr<Node> root GUARDED_BY(mutex) = std::make_shared<Node>(EntryKind::Directory);
  std::uint64_t boot GUARDED_BY(mutex) = 0;  // number of crashes so far; older handles are dead

  // The node at `path`, or nullptr.
  std::shared_ptr<Node> find(std::string_view path) REQUIRES(mutex) {
    std::shared_ptr<Node> node = root;
    for (std::size_t begin = 0; node != nullptr && begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const auto child = node->names.find(path.substr(begin, end - begin));
      node = child == node->names.end() ? nullptr : child->second;
      begin = end + 1;
    }
    return node;
  }

  Result<std::shared_ptr<Node>> find_directory(std::string_view path) REQUIRES(mutex) {
    auto node = find(path);
    if (node == nullptr)
      return fail_errno(ENOENT, "looking for directory \"{}\"", path);
    if (node->kind != EntryKind::Directory) {
      return fail_errno(ENOTDIR, "looking for directory \"{}\"", path);
    }
    return node;
  }
};

class MemoryFileIo::MemoryFile final : public File {
 public:
  MemoryFile(std::shared_ptr<Tree> tree, std::shared_ptr<Node> node, std::uint64_t boot,
             OpenMode mode)
      : tree_(std::move(tree)), node_(std::move(node)), boot_(boot), mode_(mode) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    MutexLock lock(tree_->mutex);
    TROTH_TRY_VOID(check_alive());
    const std::vector<std::byte>& bytes = node_->bytes;
    if (offset >= bytes.size())
      return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(into.size(), bytes.size() - offset);
    if (count > 0)
      std::memcpy(into.data(), bytes.data() + offset, count);
    return count;
  }

  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    MutexLock lock(tree_->mutex);
    TROTH_TRY_VOID(check_writable());
    return write_locked(offset, bytes);
  }

  Result<std::uint64_t> append(std::span<const std::byte> bytes) override {
    MutexLock lock(tree_->mutex);
    TROTH_TRY_VOID(check_writable());
    const std::uint64_t end = node_->bytes.size();
    TROTH_TRY_VOID(write_locked(end, bytes));
    return end;
  }

  Status sync() override {
    MutexLock lock(tree_->mutex);
    TROTH_TRY_VOID(check_alive());
    node_->synced_bytes = node_->bytes;
    return {};
  }

  Status truncate(std::uint64_t size) override {
    MutexLock lock(tree_->mutex);
    TROTH_TRY_VOID(check_writable());
    if (size > kMaxFileSize)
      return fail_errno(EFBIG, "truncating a file in memory");
    node_->bytes.resize(size);
    return {};
  }

  Result<std::uint64_t> size() override {
    MutexLock lock(tree_->mutex);
    TROTH_TRY_VOID(check_alive());
    return node_->bytes.size();
  }

 private:
  // A test that writes further has a bug, which should fail and not fill the machine's memory.
  static constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 30;

  Status check_alive() REQUIRES(tree_->mutex) {
    if (boot_ != tree_->boot)
      return fail_errno(EIO, "a file opened before the crash");
    return {};
  }
  Status check_writable() REQUIRES(tree_->mutex) {
    TROTH_TRY_VOID(check_alive());
    if (mode_ == OpenMode::Read)
      return fail_errno(EBADF, "a file opened for reading only");
    return {};
  }
  Status write_locked(std::uint64_t offset, std::span<const std::byte> bytes)
      REQUIRES(tree_->mutex) {
    if (bytes.empty())
      return {};
    if (offset > kMaxFileSize || bytes.size() > kMaxFileSize - offset) {
      return fail_errno(EFBIG, "writing a file in memory");
    }
    if (node_->bytes.size() < offset + bytes.size())
      node_->bytes.resize(offset + bytes.size());
    std::memcpy(node_->bytes.data() + offset, bytes.data(), bytes.size());
    return {};
  }

  const std::shared_ptr<Tree> tree_;
  const std::shared_ptr<Node> node_;
  const std::uint64_t boot_;
  const OpenMode mode_;
};

MemoryFileIo::MemoryFileIo() : tree_(std::make_shared<Tree>()) {}
MemoryFileIo::~MemoryFileIo() = default;

Result<std::unique_ptr<File>> MemoryFileIo::open(std::string_view path, OpenMode mode) {
  TROTH_TRY_VOID(check_path(path));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto parent, tree_->find_directory(parent_of(path)));
  auto& node = parent->names[std::string(name_of(path))];
  const bool existed = node != nullptr;
  if (!existed && (mode == OpenMode::Read || mode == OpenMode::ReadWrite)) {
    parent->names.erase(parent->names.find(name_of(path)));
    return fail_errno(ENOENT, "opening {}", path);
  }
  if (existed && mode == OpenMode::CreateNew)
    return fail_errno(EEXIST, "opening {}", path);
  if (!existed)
    node = std::make_shared<Node>(EntryKind::File);
  if (node->kind != EntryKind::File) {
    return fail(ErrorCode::InvalidArgument, "{} is not a regular file", path);
  }
  return std::make_unique<MemoryFile>(tree_, node, tree_->boot, mode);
}

Status MemoryFileIo::rename(std::string_view from, std::string_view to) {
  TROTH_TRY_VOID(check_path(from));
  TROTH_TRY_VOID(check_path(to));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto from_parent, tree_->find_directory(parent_of(from)));
  TROTH_TRY(const auto to_parent, tree_->find_directory(parent_of(to)));
  const auto source = from_parent->names.find(name_of(from));
  if (source == from_parent->names.end())
    return fail_errno(ENOENT, "renaming {}", from);
  const std::shared_ptr<Node> node = source->second;
  const auto target = to_parent->names.find(name_of(to));
  if (target != to_parent->names.end()) {
    if (node->kind == EntryKind::Directory)
      return fail_errno(EEXIST, "renaming to {}", to);
    if (target->second->kind == EntryKind::Directory) {
      return fail_errno(EISDIR, "renaming to {}", to);
    }
  }
  // A directory cannot become its own descendant.
  if (node->kind == EntryKind::Directory && to.starts_with(std::string(from) + "/")) {
    return fail_errno(EINVAL, "renaming {} to {}", from, to);
  }
  from_parent->names.erase(source);
  to_parent->names[std::string(name_of(to))] = node;
  return {};
}

Status MemoryFileIo::unlink(std::string_view path) {
  TROTH_TRY_VOID(check_path(path));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto parent, tree_->find_directory(parent_of(path)));
  const auto entry = parent->names.find(name_of(path));
  if (entry == parent->names.end())
    return fail_errno(ENOENT, "removing {}", path);
  if (entry->second->kind == EntryKind::Directory)
    return fail_errno(EISDIR, "removing {}", path);
  parent->names.erase(entry);
  return {};
}

Status MemoryFileIo::make_directory(std::string_view path) {
  TROTH_TRY_VOID(check_path(path));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto parent, tree_->find_directory(parent_of(path)));
  const auto [entry, made] = parent->names.try_emplace(std::string(name_of(path)), nullptr);
  if (!made)
    return fail_errno(EEXIST, "making directory {}", path);
  entry->second = std::make_shared<Node>(EntryKind::Directory);
  return {};
}

Status MemoryFileIo::remove_directory(std::string_view path) {
  TROTH_TRY_VOID(check_path(path));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto directory, tree_->find_directory(path));
  if (!directory->names.empty())
    return fail_errno(ENOTEMPTY, "removing directory {}", path);
  TROTH_TRY(const auto parent, tree_->find_directory(parent_of(path)));
  parent->names.erase(parent->names.find(name_of(path)));
  return {};
}

Result<std::vector<Entry>> MemoryFileIo::list(std::string_view path) {
  TROTH_TRY_VOID(check_path(path, RootPath::Allowed));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto directory, tree_->find_directory(path));
  if (directory->names.size() > kMaxListedEntries) {
    return fail(ErrorCode::TooLarge, "more than {} entries in directory {}", kMaxListedEntries,
                path);
  }
  std::vector<Entry> entries;
  entries.reserve(directory->names.size());
  for (const auto& [name, node] : directory->names)
    entries.push_back({name, node->kind});
  return entries;
}

Status MemoryFileIo::sync_directory(std::string_view path) {
  TROTH_TRY_VOID(check_path(path, RootPath::Allowed));
  MutexLock lock(tree_->mutex);
  TROTH_TRY(const auto directory, tree_->find_directory(path));
  directory->synced_names = directory->names;
  return {};
}

void MemoryFileIo::crash() {
  MutexLock lock(tree_->mutex);
  ++tree_->boot;
  crash_node(*tree_->root);
}

}  // namespace common::io
