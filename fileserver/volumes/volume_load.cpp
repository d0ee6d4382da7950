// Volumes out of dumps.

#include "fileserver/volumes/volume_load.hpp"

#include "common/log/log.hpp"
#include "fileserver/dump/loader.hpp"
#include "fileserver/volumes/volume_set_state.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Instant;
using common::crypto::Secret;

// How often somebody who waits for maintenance to pause looks.
constexpr std::chrono::milliseconds kLookForPause{10};

dump::LoadOptions::Then then(bool serve) {
  return serve ? dump::LoadOptions::Then::Serve : dump::LoadOptions::Then::Follow;
}

}  // namespace

// A volume that nobody has before it is whole: until then its slot is one that is being deleted,
// and its row in the registry says that it is being made, so that a start removes what is left.
class VolumeSet::NewLoad final : public VolumeLoad {
 public:
  NewLoad(State& state, VolumeEntry entry) : state_(state), entry_(std::move(entry)) {}
  ~NewLoad() override {
    if (there_)
      return;
    loader_.reset();
    state_.give_up_making(entry_.id);
  }

  Status begin(Secret dump_key, bool serve) {
    dump_key_ = std::move(dump_key);
    TROTH_TRY_VOID(state_.registry->add_volume(entry_));
    if (entry_.sealed) {
      TROTH_TRY(own_.key, state_.files->make_key(entry_.id));
    }
    dump::LoadOptions how;
    how.key = dump_key_.empty() ? nullptr : &dump_key_;
    how.volume = state_.volume_options(own_);
    how.id = entry_.id;
    how.then = then(serve);
    TROTH_TRY(loader_, dump::Loader::into_new(state_.files->path_of(entry_.id), how, state_.clock));
    return {};
  }

  Status feed(common::ByteView bytes) override { return loader_->feed(bytes); }

  Result<Loaded> finish() override {
    TROTH_TRY(const dump::LoadReport report, loader_->finish());
    loader_.reset();
    auto open = std::make_shared<OpenVolume>(1);
    if (entry_.sealed) {
      TROTH_TRY(open->key, state_.files->read_key(entry_.id));
    }
    TROTH_TRY(open->volume, store::Volume::open(state_.files->path_of(entry_.id),
                                                state_.volume_options(*open), state_.clock));
    entry_.uuid = open->volume->uuid();
    TROTH_TRY_VOID(state_.registry->update_volume(entry_));
    TROTH_TRY_VOID(state_.registry->set_stage(entry_.id, Registry::Stage::There));
    there_ = true;
    state_.is_made(entry_, std::move(open));
    return Loaded{entry_.id, report.seq};
  }

 private:
  State& state_;
  VolumeEntry entry_;
  Secret dump_key_;
  OpenVolume own_{1};  // its key, while the volume is made
  std::unique_ptr<dump::Loader> loader_;
  bool there_ = false;
};

// A copy that follows, brought forward. Its maintenance rests meanwhile.
class VolumeSet::OntoLoad final : public VolumeLoad {
 public:
  OntoLoad(State& state, VolumeRef copy) : state_(state), copy_(std::move(copy)) {}
  ~OntoLoad() override {
    loader_.reset();
    const common::MutexLock lock(state_.mutex);
    if (const auto found = state_.slots.find(copy_.id()); found != state_.slots.end())
      found->second.loading = false;
  }

  Status begin(bool serve) {
    serve_ = serve;
    dump::LoadOptions how;
    how.key = copy_.key();
    TROTH_TRY(loader_, dump::Loader::onto(*copy_, how, state_.clock));
    return {};
  }

  Status feed(common::ByteView bytes) override {
    fed_ = fed_ || !bytes.empty();
    return loader_->feed(bytes);
  }

  Result<Loaded> finish() override {
    // Nothing came: it shall only go its own way from where it stands.
    if (fed_ || !serve_)
      TROTH_TRY_VOID(loader_->finish());
    if (serve_)
      TROTH_TRY_VOID(copy_->begin_epoch(common::Epoch{copy_->epoch().value + 1}));
    return Loaded{copy_.id(), copy_->visible_seq()};
  }

 private:
  State& state_;
  const VolumeRef copy_;
  std::unique_ptr<dump::Loader> loader_;
  bool serve_ = false;
  bool fed_ = false;
};

Result<std::unique_ptr<VolumeLoad>> VolumeSet::load_new(const std::string& name,
                                                        const dump::Begin& begin, bool serve) {
  State& state = *state_;
  TROTH_TRY_VOID(check_volume_name(name));
  Secret dump_key;
  if (begin.sealed) {
    auto key = state.files->read_key(begin.volume);
    if (!key)
      return fail(ErrorCode::InvalidArgument,
                  "the dump is sealed, and this server does not have the key of the volume that it "
                  "is of: {}",
                  key.error().message);
    dump_key = *std::move(key);
  }
  Creation wanted;
  wanted.name = name;
  wanted.sealed = begin.sealed;
  TROTH_TRY(const VolumeId id, state.reserve_id(wanted));
  VolumeEntry entry;
  entry.id = id;
  entry.name = name;
  entry.sealed = wanted.sealed;
  auto load = std::make_unique<NewLoad>(state, std::move(entry));
  TROTH_TRY_VOID(load->begin(std::move(dump_key), serve));
  return std::unique_ptr<VolumeLoad>(std::move(load));
}

Result<std::unique_ptr<VolumeLoad>> VolumeSet::load_onto(VolumeRef copy, bool serve,
                                                         Instant deadline) {
  State& state = *state_;
  if (!copy->follows())
    return fail(ErrorCode::Conflict,
                "volume \"{}\" goes its own way: a dump of commits needs a copy that was loaded to "
                "follow",
                copy.entry().name);
  {
    const common::MutexLock lock(state.mutex);
    VolumeSlot& slot = state.slots.find(copy.id())->second;
    if (slot.loading)
      return fail(ErrorCode::Busy, "another dump is being loaded onto volume \"{}\"",
                  copy.entry().name);
    slot.loading = true;
    while (slot.maintained && state.clock.now() < deadline)
      state.changed.wait_for(state.mutex, kLookForPause);
    if (slot.maintained) {
      slot.loading = false;
      return fail(ErrorCode::Busy, "volume \"{}\" is being maintained: try again",
                  copy.entry().name);
    }
  }
  auto load = std::make_unique<OntoLoad>(state, std::move(copy));
  TROTH_TRY_VOID(load->begin(serve));
  return std::unique_ptr<VolumeLoad>(std::move(load));
}

}  // namespace fileserver
