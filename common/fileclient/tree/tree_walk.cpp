#include "common/fileclient/tree/tree_walk.hpp"

#include <algorithm>
#include <memory>

namespace common::fileclient {
namespace {

// Entries asked for at a time: 256 KiB of packed attributes.
constexpr std::uint32_t kPage = 2'048;
// Directories on the way down that keep the page they are at; those above ask for it anew when the
// walk comes back.
constexpr std::size_t kFull = 32;

struct WalkLevel {
  Fid fid;
  Fid dir;
  std::string name;
  fileproto::Attributes node;
  std::size_t path_length = 0;  // of the walk's path up to here
  std::unique_ptr<Listing> listing;
};

class Walk {
 public:
  Walk(FileClient& client, TreeVisitor& visitor, const WalkOptions& options)
      : client_(client), visitor_(visitor), options_(options) {}

  Status run(const Found& top) {
    path_ = top.path;
    TROTH_TRY_VOID(take({top.fid, top.dir, top.name, top.node, path_.size(), nullptr}));
    while (!levels_.empty())
      TROTH_TRY_VOID(step());
    return {};
  }

 private:
  [[nodiscard]] TreeEntry entry_of(const WalkLevel& level, std::size_t depth) const {
    return {level.fid, level.dir, level.name, path_, level.node, depth};
  }

  Status take(WalkLevel level) {
    TROTH_TRY(const bool into, visitor_.enter(entry_of(level, levels_.size())));
    if (!into || level.node.kind != fileproto::NodeKind::Directory)
      return {};
    level.listing = std::make_unique<Listing>(client_, level.fid, options_.calls);
    levels_.push_back(std::move(level));
    if (levels_.size() > kFull)
      levels_[levels_.size() - kFull - 1].listing->shrink();
    return {};
  }

  Status step() {
    const std::size_t depth = levels_.size() - 1;
    path_.resize(levels_.back().path_length);
    auto next = levels_.back().listing->next();
    if (!next)
      TROTH_TRY_VOID(visitor_.trouble(path_, next.error()));
    if (!next || *next == nullptr) {
      const WalkLevel level = std::move(levels_.back());
      levels_.pop_back();
      return visitor_.leave(entry_of(level, depth));
    }
    const fileproto::ListEntry& found = **next;
    WalkLevel level{{levels_.back().fid.volume, found.node.node},
                    levels_.back().fid,
                    found.name,
                    found.node,
                    0,
                    nullptr};
    path_ = joined(path_, found.name);
    level.path_length = path_.size();
    if (level.node.attached != VolumeId{} && options_.enter_volumes) {
      if (Status entered = enter_volume(level); !entered)
        return visitor_.trouble(path_, entered.error());
    }
    return take(std::move(level));
  }

  Status enter_volume(WalkLevel& level) const {
    TROTH_TRY(const VolumeInfo volume, client_.volumes().find(level.node.attached, options_.calls));
    // A volume that is attached within itself has no end.
    if (std::any_of(levels_.begin(), levels_.end(),
                    [&](const WalkLevel& above) { return above.fid == volume.root(); }))
      return fail(ErrorCode::InvalidArgument, "the volume {} is attached within itself",
                  volume.entry.name);
    fileproto::GetattrArgs args;
    args.fids = {volume.root()};
    TROTH_TRY(auto result, client_.ask(args, options_.calls));
    if (result.nodes.size() != 1)
      return fail(ErrorCode::Protocol, "the file server answered for another node");
    if (!result.nodes[0])
      return tl::unexpected(result.nodes[0].error());
    level.fid = volume.root();
    level.node = *result.nodes[0];
    return {};
  }

  FileClient& client_;
  TreeVisitor& visitor_;
  const WalkOptions& options_;
  std::string path_;
  std::vector<WalkLevel> levels_;
};

}  // namespace

Status Listing::fill() {
  fileproto::ListArgs args;
  args.dir = dir_;
  args.after = after_;
  args.limit = kPage;
  TROTH_TRY(auto result, client_.list(std::move(args), client_.filled(calls_)));
  page_ = std::move(result.entries);
  at_ = 0;
  ended_ = !result.next || page_.empty();
  if (!page_.empty() && !after_.empty() && page_.front().name <= after_)
    return fail(ErrorCode::Protocol, "the file server lists names that it has listed before");
  if (!ended_)
    after_ = *result.next;
  return {};
}

Result<const fileproto::ListEntry*> Listing::next() {
  if (at_ >= page_.size()) {
    if (ended_)
      return nullptr;
    TROTH_TRY_VOID(fill());
    if (page_.empty())
      return nullptr;
  }
  return &page_[at_++];
}

Result<const fileproto::ListEntry*> Listing::find(std::string_view name) {
  for (;;) {
    TROTH_TRY(const auto* entry, next());
    if (entry == nullptr || entry->name == name)
      return entry;
    if (entry->name > name) {
      --at_;
      return nullptr;
    }
  }
}

void Listing::shrink() {
  if (page_.empty() || at_ == 0)
    return;
  // What has been given out ends at the last entry taken.
  if (at_ < page_.size() || !ended_) {
    after_ = page_[at_ - 1].name;
    ended_ = false;
  }
  page_ = {};
  at_ = 0;
}

Status walk_tree(FileClient& client, const Found& top, TreeVisitor& visitor,
                 const WalkOptions& options) {
  return Walk(client, visitor, options).run(top);
}

}  // namespace common::fileclient
