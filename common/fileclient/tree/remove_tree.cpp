#include "common/fileclient/tree/remove_tree.hpp"

namespace common::fileclient {
namespace {

// Names removed with one call. One commit breaks the promises of all of them at once.
constexpr std::size_t kAtOnce = 256;

class Remover final : public TreeVisitor {
 public:
  Remover(FileClient& client, TreeReport& report, CallOptions calls)
      : client_(client), report_(report), calls_(calls) {}

  Result<bool> enter(const TreeEntry& entry) override {
    if (entry.node.attached != VolumeId{}) {
      report_.problem(entry.path,
                      {ErrorCode::Busy, "a volume is attached here: troth volume detach it first"});
      return false;
    }
    if (entry.is_directory())
      return true;
    if (entry.dir != dir_ || waiting_.size() >= kAtOnce)
      TROTH_TRY_VOID(flush());
    dir_ = entry.dir;
    waiting_.push_back({entry.name, entry.path});
    return false;
  }

  Status leave(const TreeEntry& directory) override {
    TROTH_TRY_VOID(flush());
    if (directory.name.empty())
      return {};  // a volume's root
    fileproto::Rmdir rmdir;
    rmdir.dir = directory.dir;
    rmdir.name = directory.name;
    const auto gone = client_.change(rmdir, client_.filled(calls_));
    if (gone)
      ++report_.directories;
    return settle(directory.path, gone);
  }

  Status trouble(const std::string& path, const Error& error) override {
    if (ends_everything(error))
      return tl::unexpected(error);
    report_.problem(path, error);
    return {};
  }

  Status flush() {
    std::vector<Waiting> names;
    names.swap(waiting_);
    if (names.empty())
      return {};
    fileproto::BatchArgs batch;
    for (const Waiting& each : names)
      batch.changes.emplace_back(unlink_of(each.name));
    const auto all = client_.batch(batch, client_.filled(calls_));
    if (all) {
      report_.files += names.size();
      return {};
    }
    if (ends_everything(all.error()))
      return tl::unexpected(all.error());
    // All or nothing: find out whose fault it was.
    for (const Waiting& each : names) {
      const auto one = client_.change(unlink_of(each.name), client_.filled(calls_));
      if (one)
        ++report_.files;
      TROTH_TRY_VOID(settle(each.path, one));
    }
    return {};
  }

 private:
  struct Waiting {
    std::string name;
    std::string path;
  };

  [[nodiscard]] fileproto::Unlink unlink_of(const std::string& name) const {
    fileproto::Unlink unlink;
    unlink.dir = dir_;
    unlink.name = name;
    return unlink;
  }
  Status settle(const std::string& path, const Result<fileproto::ChangeResult>& result) {
    // Somebody else has removed it: what was wanted.
    if (result || result.error().code == ErrorCode::NotFound)
      return {};
    return trouble(path, result.error());
  }

  FileClient& client_;
  TreeReport& report_;
  const CallOptions calls_;
  Fid dir_;
  std::vector<Waiting> waiting_;
};

}  // namespace

Status remove_tree(FileClient& client, const Found& top, TreeReport& report,
                   const CallOptions& calls) {
  Remover remover(client, report, calls);
  TROTH_TRY_VOID(walk_tree(client, top, remover, {.calls = calls, .enter_volumes = false}));
  return remover.flush();
}

}  // namespace common::fileclient
