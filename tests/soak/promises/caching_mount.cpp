#include "tests/soak/promises/caching_mount.hpp"

#include <algorithm>

namespace promises_real {

using namespace std::chrono_literals;
using common::ErrorCode;
using common::MutexLock;
using fileclient::Taken;

namespace {

// Nodes that a client's cache holds; the soak has fewer, but for names that come and go.
constexpr std::size_t kMaxCached = 4096;
constexpr std::uint64_t kMostBytes = 1 << 20;
// By which who acknowledges first is late.
constexpr auto kLate = 500ms;
// Of who repeats under other ids.
constexpr auto kPause = 50ms;

fileclient::MountSessionOptions session_options(const MountOptions& options) {
  fileclient::MountSessionOptions session;
  session.name = "fileserver1";
  session.connection.host = options.server.host;
  session.connection.port = options.server.port;
  session.connection.cell_id = options.server.cell;
  session.connection.role = "fileserver";
  session.connection.tls = options.server.tls;
  session.connection.connect_limit = 2s;
  session.service = options.server.service;
  session.opener = options.server.source;
  session.mount = options.id;
  session.book.bugs = options.plants.book;
  if (options.plants.new_ids)
    session.repeats_of_call = session.repeats_beyond = 0;  // it does that itself
  session.redial = {.spread = 100ms, .longest = 500ms, .shortest = 20ms};
  return session;
}

}  // namespace

// --- begin and end ---

CachingMount::CachingMount(MountOptions options)
    : options_(std::move(options)), next_number_(options_.first_number) {}

Result<std::unique_ptr<CachingMount>> CachingMount::start(MountOptions options) {
  std::unique_ptr<CachingMount> mount(new CachingMount(std::move(options)));
  TROTH_TRY(mount->session_, fileclient::MountSession::start(session_options(mount->options_),
                                                             *mount, mount->clock_));
  return mount;
}

fileclient::CallOptions CachingMount::until(Instant deadline) const {
  return {.deadline = deadline, .cancellation = &cancellation_, .id = {}};
}

// --- what the session says ---

// What is out of reach is so at once: nothing but this object's answers is anybody's copy.
void CachingMount::withdraw(fileclient::MountSession& session, fileclient::Withdrawal id,
                            std::span<const fileclient::BrokenNode> nodes) {
  {
    const MutexLock lock(mutex_);
    for (const fileclient::BrokenNode& broken : nodes) {
      const auto cached = nodes_.find(broken.node);
      if (cached == nodes_.end())
        continue;
      const bool late = options_.plants.acknowledge_first && cached->second.trusted;
      cached->second.kept_until = late ? clock_.now() + kLate : Instant{};
      cached->second.trusted = false;
    }
  }
  session.withdrawn(id);
}

void CachingMount::withdraw_all(fileclient::MountSession& session, fileclient::Withdrawal id) {
  // Else the lease is over, or the server wants everything back.
  const bool lost = session.state() != fileclient::SessionState::Open;
  {
    const MutexLock lock(mutex_);
    for (auto& [fid, cached] : nodes_) {
      if (lost && options_.plants.keep_over_restart && cached.trusted)
        cached.kept_until = Instant::max();
      if (lost || !options_.plants.keep_cache)
        cached.trusted = false;
    }
  }
  session.withdrawn(id);
}

void CachingMount::updated(fileclient::MountSession&, const fileproto::Update& update,
                           std::span<const Taken> taken) {
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const fileproto::UpdatedNode& node = update.nodes[i];
    const Fid fid{update.volume, node.node};
    if (!node.attributes || !nodes_.contains(fid))
      continue;
    fileproto::Attributes attributes = *node.attributes;
    attributes.granted = node.granted;
    keep_late(fid, {update.epoch, attributes.version}, attributes, taken[i]);
  }
}

// --- what is remembered ---

CachingMount::Cached* CachingMount::trusted(Fid fid) {
  const auto found = nodes_.find(fid);
  if (found == nodes_.end())
    return nullptr;
  Cached& cached = found->second;
  if (options_.plants.keep_cache)
    return cached.trusted ? &cached : nullptr;
  if (clock_.now() < cached.kept_until && session_->state() == fileclient::SessionState::Open)
    return &cached;
  return session_->promised(fid, cached.version) ? &cached : nullptr;
}

CachingMount::Cached& CachingMount::keep(Fid fid, fileclient::NodeVersion version,
                                         const fileproto::Attributes& node, Taken taken) {
  if (nodes_.size() >= kMaxCached && !nodes_.contains(fid))
    nodes_.clear();  // the book's promises are worth nothing without what they were given for
  Cached& cached = nodes_[fid];
  cached.node = node;
  cached.version = version;
  cached.trusted = taken == Taken::Promised;
  cached.kept_until = {};
  return cached;
}

void CachingMount::keep_late(Fid fid, fileclient::NodeVersion version,
                             const fileproto::Attributes& node, Taken taken) {
  const auto cached = nodes_.find(fid);
  if (taken != Taken::Older && (cached == nodes_.end() || cached->second.version <= version))
    keep(fid, version, node, taken);
}

CachingMount::Cached* CachingMount::learn(const fileclient::CallInFlight& call,
                                          const fileproto::VolumeState& state,
                                          common::VolumeId volume,
                                          const fileproto::Attributes& node) {
  const Taken taken = session_->learn(call, state, volume, node);
  if (taken == Taken::Older)
    return nullptr;
  return &keep({volume, node.node}, {state.epoch, node.version}, node, taken);
}

std::optional<fileproto::Attributes> CachingMount::cached_attributes(Fid fid) {
  const MutexLock lock(mutex_);
  const Cached* const cached = trusted(fid);
  return cached != nullptr ? std::optional(cached->node) : std::nullopt;
}

std::optional<CachingMount::Bytes> CachingMount::cached_bytes(Fid fid) {
  const MutexLock lock(mutex_);
  const Cached* const cached = trusted(fid);
  if (cached == nullptr || !cached->bytes || cached->bytes_of != cached->node.data_version)
    return std::nullopt;
  return Bytes{cached->node, *cached->bytes};
}

std::optional<CachingMount::Names> CachingMount::cached_names(Fid directory) {
  const MutexLock lock(mutex_);
  const Cached* const cached = trusted(directory);
  if (cached == nullptr || !cached->all_names || cached->names_of != cached->node.data_version)
    return std::nullopt;
  return Names{cached->node, cached->names};
}

std::optional<std::uint64_t> CachingMount::cached_name(Fid directory, const std::string& name) {
  const MutexLock lock(mutex_);
  const Cached* const cached = trusted(directory);
  if (cached == nullptr || cached->names_of != cached->node.data_version)
    return std::nullopt;
  const auto found = cached->names.find(name);
  if (found != cached->names.end())
    return found->second;
  return cached->all_names ? std::optional<std::uint64_t>(0) : std::nullopt;
}

// --- calls ---

Changed CachingMount::send_change(std::vector<Fid> named, Instant deadline, const Send& send) {
  const common::VolumeId volume = named.front().volume;
  fileclient::SessionChange how;
  how.named = std::move(named);
  for (;;) {
    how.number = next_number_++;
    if (!options_.plants.book.has(fileclient::BookBug::OwnChangeKept)) {
      const MutexLock lock(mutex_);
      for (const Fid node : how.named) {
        if (const auto cached = nodes_.find(node); cached != nodes_.end()) {
          cached->second.trusted = false;
          cached->second.kept_until = {};
        }
      }
    }
    auto sent = send(how, until(deadline));
    Changed changed;
    if (sent) {
      const fileproto::ChangeResult& result = sent->result;
      const MutexLock lock(mutex_);
      for (std::size_t i = 0; i < result.nodes.size(); ++i) {
        const fileproto::Attributes& node = result.nodes[i].node;
        keep_late({volume, node.node}, {result.state.epoch, node.version}, node, sent->taken[i]);
      }
      changed.how = Changed::How::Done;
      changed.result = std::move(sent->result);
      return changed;
    }
    changed.error = std::move(sent).error();
    const ErrorCode code = changed.error.code;
    if (options_.plants.new_ids && code == ErrorCode::OutcomeUnknown &&
        clock_.now() + kPause < deadline && !cancellation_.cancelled()) {
      const MutexLock lock(mutex_);
      pause_.wait_for(mutex_, kPause);
      continue;
    }
    // Of an answer that cannot be read nobody knows what it said.
    const bool unknown = code == ErrorCode::OutcomeUnknown || code == ErrorCode::Protocol;
    changed.how = unknown ? Changed::How::Unknown : Changed::How::Refused;
    return changed;
  }
}

Result<fileproto::Attributes> CachingMount::attributes(Fid fid, Instant deadline) {
  TROTH_TRY(const auto asked,
            session_->ask(*session_->opener(), fileproto::GetattrArgs{{}, {fid}}, until(deadline)));
  TROTH_TRY(const fileproto::Attributes node, asked.result.nodes.at(0));
  const MutexLock lock(mutex_);
  learn(asked.call, asked.result.state, fid.volume, node);
  return node;
}

Result<CachingMount::Bytes> CachingMount::bytes(Fid fid, std::uint64_t handle, Instant deadline) {
  fileclient::SessionCaller& caller = *session_->opener();
  fileproto::FetchArgs args;
  args.fid = fid;
  args.ranges = {{0, kMostBytes}};
  std::optional<fileproto::Attributes> opened;
  if (handle != 0) {
    fileproto::OpenArgs open;
    open.fid = fid;
    open.handle = handle;
    TROTH_TRY(const auto asked, session_->ask_in_session(caller, open, until(deadline)));
    opened = asked.result.node;
    args.version = opened->version;
    const MutexLock lock(mutex_);
    learn(asked.call, asked.result.state, fid.volume, *opened);
  }
  TROTH_TRY(
      const fileclient::Heard heard,
      session_->send(caller,
                     {.operation = "fetch", .args = fileproto::encode(args), .bytes = {}, .id = {}},
                     until(deadline)));
  const rpc::Answer& answer = heard.answer;
  TROTH_TRY(const auto result, fileproto::decode<fileproto::FetchResult>(answer.result()));
  if (handle != 0)
    static_cast<void>(session_->ask(caller, fileproto::ReleaseArgs{{}, fid.volume, {handle}},
                                    until(clock_.now() + 2s)));
  if (result.raw_bytes() != answer.bytes.size() || result.node.size > kMostBytes)
    return common::fail(ErrorCode::Protocol, "{} raw bytes, and {} were said", answer.bytes.size(),
                        result.raw_bytes());
  Bytes whole{result.node, std::string(result.node.size, '\0')};
  std::size_t at = 0;
  for (const auto& range : result.ranges) {
    if (range.offset + range.length > whole.bytes.size())
      return common::fail(ErrorCode::Protocol, "bytes beyond the end of the file");
    const auto part = common::ByteView(answer.bytes).subspan(at, range.length);
    whole.bytes.replace(range.offset, range.length, common::as_text(part));
    at += range.length;
  }
  if (opened && opened->data_version != result.node.data_version)
    return common::fail(ErrorCode::Corrupt, "opened at {}, and {} was fetched",
                        opened->data_version.value, result.node.data_version.value);
  const MutexLock lock(mutex_);
  if (Cached* const cached = learn(heard.call, result.state, fid.volume, result.node)) {
    cached->bytes = whole.bytes;
    cached->bytes_of = result.node.data_version;
  }
  return whole;
}

Result<std::uint64_t> CachingMount::name(Fid directory, const std::string& name, Instant deadline) {
  fileproto::LookupArgs args;
  args.dir = directory;
  args.name = name;
  TROTH_TRY(const auto asked, session_->ask(*session_->opener(), args, until(deadline)));
  const fileproto::LookupResult& result = asked.result;
  const std::uint64_t node = result.node ? result.node->node.value : 0;
  const MutexLock lock(mutex_);
  if (result.node)
    learn(asked.call, result.state, directory.volume, *result.node);
  if (Cached* const cached = learn(asked.call, result.state, directory.volume, result.dir)) {
    if (cached->names_of != result.dir.data_version) {
      cached->names.clear();
      cached->all_names = false;
      cached->names_of = result.dir.data_version;
    }
    if (node != 0 || !cached->all_names)
      cached->names[name] = node;
  }
  return node;
}

Result<CachingMount::Names> CachingMount::names(Fid directory, Instant deadline) {
  fileproto::ListArgs args;
  args.dir = directory;
  Names names;
  for (;;) {
    TROTH_TRY(const auto asked, session_->ask(*session_->opener(), args, until(deadline)));
    const fileproto::ListResult& result = asked.result;
    if (args.after.empty()) {
      names.directory = result.dir;
    } else if (names.directory.data_version != result.dir.data_version) {
      names = {};  // pages of two versions are no listing: once more
      args.after.clear();
      continue;
    }
    for (const auto& entry : result.entries)
      names.entries[entry.name] = entry.node.node.value;
    if (result.next) {
      args.after = *result.next;
      continue;
    }
    const MutexLock lock(mutex_);
    if (Cached* const cached = learn(asked.call, result.state, directory.volume, result.dir)) {
      cached->names = names.entries;
      cached->names_of = result.dir.data_version;
      cached->all_names = true;
    }
    return names;
  }
}

}  // namespace promises_real
