#include "fileserver/store/blocks/block_store.hpp"

#include "fileserver/store/blocks/block_store_state.hpp"

namespace fileserver::store {

namespace {

// Less than this is done before a helper has woken up.
constexpr std::size_t kWorthHelpers = 64 * 1024;

}  // namespace

Upload::Upload(std::shared_ptr<BlockPins> pins) : pins_(std::move(pins)) {}
Upload::Upload(Upload&& other) noexcept
    : pins_(std::move(other.pins_)),
      written_(std::exchange(other.written_, {})),
      reused_(std::exchange(other.reused_, {})),
      names_(std::exchange(other.names_, {})) {}

Upload& Upload::operator=(Upload&& other) noexcept {
  Upload taken(std::move(other));
  std::swap(pins_, taken.pins_);
  std::swap(written_, taken.written_);
  std::swap(reused_, taken.reused_);
  std::swap(names_, taken.names_);
  return *this;
}

Upload::~Upload() {
  for (const BlockName& name : names_)
    pins_->unpin(name);
}

Status BlockStore::State::for_each(std::size_t count, std::size_t bytes,
                                   const std::function<Status(std::size_t)>& task) {
  if (bytes >= kWorthHelpers)
    return pool.run(count, task);
  for (std::size_t i = 0; i < count; ++i)
    TROTH_TRY_VOID(task(i));
  return {};
}

BlockStore::BlockStore(Segments& segments, BlockIndex& index, WorkPool& pool,
                       BlockStoreOptions options)
    : state_(std::make_unique<State>(segments, index, pool, std::move(options))) {}
BlockStore::~BlockStore() = default;

Upload BlockStore::begin_upload() {
  return Upload(state_->pins);
}

void BlockStore::begin_round() {
  state_->pins->begin_round();
}
std::vector<BlockName> BlockStore::condemn(std::span<const BlockName> names) {
  return state_->pins->condemn(names);
}
void BlockStore::end_round() {
  state_->pins->end_round();
}
bool BlockStore::is_condemned(const BlockName& name) const {
  return state_->pins->is_condemned(name);
}
std::vector<BlockName> BlockStore::pinned() const {
  return state_->pins->pinned();
}
std::vector<std::uint32_t> BlockStore::segments_in_use() const {
  return state_->pins->segments_in_use(state_->segments.newest());
}

}  // namespace fileserver::store
