#include "tests/soak/promises/caching_mount.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/auth/authenticate.hpp"
#include "common/fileproto/frames.hpp"

namespace promises_real {

using namespace std::chrono_literals;
using common::ErrorCode;
using common::MutexLock;
namespace fileclient = common::fileclient;

namespace {

// Nodes that a client's cache holds; the soak has fewer, but for names that come and go.
constexpr std::size_t kMaxCached = 4096;
// Between attempts to get a session, or to repeat a call.
constexpr auto kPause = 100ms;
// One attempt; a change may wait for a silent holder (PROTOCOL.md 1).
constexpr auto kAttempt = 12s;
constexpr std::uint64_t kMostBytes = 1 << 20;
// By which who acknowledges first is late.
constexpr auto kLate = 500ms;

std::string text_of(common::ByteView bytes) {
  return std::string(common::as_text(bytes));
}

}  // namespace

// --- connections ---

Connection::Connection(CachingMount& mount)
    : mount_(mount), client_([&] {
        rpc::ClientOptions options = mount.client_options();
        const auto prove = options.authenticate;
        options.authenticate = [this, prove](rpc::Client& client, Instant deadline,
                                             const rpc::Cancellation* cancel) -> Result<Instant> {
          TROTH_TRY(const Instant until, prove(client, deadline, cancel));
          std::optional<CachingMount::Session> session;
          {
            const MutexLock lock(mount_.mutex_);
            if (mount_.live_)
              session = mount_.session_;
          }
          session_ = 0;
          if (!session)
            return until;
          TROTH_TRY(const auto binding, client.channel_binding());
          TROTH_TRY(const auto mine, mount_.proof(session->key, binding, fileproto::kJoinLabel));
          rpc::Request request;
          request.service = "file";
          request.operation = "session-join";
          request.args = fileproto::encode(fileproto::SessionJoinArgs{session->id, mine});
          request.deadline = deadline;
          const auto joined = client.call(request).answer;
          if (joined)
            session_ = session->id.value;
          else if (joined.error().code == ErrorCode::Stale)
            mount_.lost(session->id.value);
          else
            return tl::unexpected(joined.error());
          return until;
        };
        return options;
      }()) {}

rpc::CallResult Connection::call(const rpc::Request& request) {
  std::uint64_t present = 0;
  {
    const MutexLock lock(mount_.mutex_);
    if (mount_.live_)
      present = mount_.session_->id.value;
  }
  if (present != session_)
    client_.disconnect();
  return client_.call(request);
}

// --- begin and end ---

Result<std::unique_ptr<CachingMount>> CachingMount::start(MountOptions options) {
  std::unique_ptr<CachingMount> mount(new CachingMount(std::move(options)));
  stream::StreamClientOptions how;
  how.tls = mount->options_.server.tls;
  how.redial = {.spread = 100ms, .longest = 500ms, .shortest = 20ms};
  how.dial_deadline = 2s;
  TROTH_TRY(mount->streams_, stream::StreamClient::start(std::move(how), *mount, mount->clock_));
  mount->keeper_ = std::thread([m = mount.get()] { m->keeper_main(); });
  return mount;
}

CachingMount::CachingMount(MountOptions options)
    : options_(std::move(options)),
      book_([&] {
        fileclient::BookOptions book;
        book.bugs = options_.plants.book;
        return book;
      }()),
      next_number_(options_.first_number) {}

CachingMount::~CachingMount() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (keeper_.joinable())
    keeper_.join();
  if (streams_)
    streams_->stop();
}

rpc::ClientOptions CachingMount::client_options() const {
  rpc::ClientOptions options;
  options.host = options_.server.host;
  options.port = options_.server.port;
  options.cell_id = options_.server.cell;
  options.role = "fileserver";
  options.tls = options_.server.tls;
  options.connect_limit = 2s;
  options.authenticate =
      common::auth::authenticate_with(options_.server.source, options_.server.service);
  return options;
}

Result<fileproto::Proof> CachingMount::proof(common::ByteView key, common::ByteView binding,
                                             std::string_view label) const {
  TROTH_TRY(const auto ticket,
            options_.server.source->for_service(options_.server.service, clock_.now() + 5s));
  return fileproto::session_proof(key, label, binding, ticket->client.name);
}

std::uint64_t CachingMount::sessions() {
  const MutexLock lock(mutex_);
  return sessions_;
}

// --- session ---

void CachingMount::keeper_main() {
  for (;;) {
    bool wanted = false;
    {
      const MutexLock lock(mutex_);
      if (stopped_)
        return;
      step();
      wanted = !live_ && may_open_;
      if (!wanted)
        changed_.wait_for(mutex_, kPause);
    }
    if (wanted && !begin_session()) {
      const MutexLock lock(mutex_);
      changed_.wait_for(mutex_, kPause);
    }
  }
}

Result<rpc::Answer> CachingMount::open_or_resume(rpc::Client& client,
                                                 const std::optional<Session>& old) {
  fileproto::SessionOpenArgs args{.mount = options_.id, .resume = {}};
  const Instant deadline = clock_.now() + 5s;
  if (old) {
    TROTH_TRY_VOID(client.connect(deadline));
    TROTH_TRY(const auto binding, client.channel_binding());
    TROTH_TRY(const auto mine, proof(old->key, binding, fileproto::kResumeLabel));
    args.resume = {old->id, mine};
  }
  rpc::Request request;
  request.service = "file";
  request.operation = "session-open";
  request.args = fileproto::encode(args);
  request.deadline = deadline;
  return client.call(request).answer;
}

Status CachingMount::begin_session() {
  std::optional<Session> old;
  stream::StreamId stream;
  {
    const MutexLock lock(mutex_);
    old = session_;
    stream = std::exchange(stream_, {});
  }
  if (stream != stream::StreamId{})
    static_cast<void>(streams_->hang_up(stream));
  rpc::Client client(client_options());
  auto answer = open_or_resume(client, old);
  if (!answer && old && answer.error().code == ErrorCode::Stale)
    answer = open_or_resume(client, std::nullopt);
  if (!answer)
    return tl::unexpected(answer.error());
  TROTH_TRY(const auto opened, fileproto::decode<fileproto::SessionOpenResult>(answer->result()));
  const MutexLock lock(mutex_);
  session_ = Session{opened.session, opened.key, opened.lease, opened.stream_port, answer->epoch};
  book_.opened();
  live_ = true;
  may_open_ = false;
  proved_ = false;
  ++sessions_;
  TROTH_TRY(stream_, streams_->dial({options_.server.host, opened.stream_port, {}, {}}));
  changed_.notify_all();
  return {};
}

void CachingMount::lost(std::uint64_t session) {
  const MutexLock lock(mutex_);
  if (live_ && session_->id.value == session)
    lost_locked();
}

void CachingMount::lost_locked() {
  if (!live_)
    return;
  live_ = false;
  if (options_.plants.keep_over_restart) {
    for (auto& [fid, cached] : nodes_) {
      if (cached.trusted)
        cached.kept_until = Instant::max();
    }
  }
  fileclient::BookEffects effects;
  book_.session_lost(clock_.now(), effects);
  act(effects);
  changed_.notify_all();
}

std::optional<CachingMount::Session> CachingMount::wait_session(Instant deadline) {
  const MutexLock lock(mutex_);
  while (!live_ && !stopped_ && clock_.now() < at_most(deadline))
    changed_.wait_for(mutex_, std::min<common::Duration>(kPause, deadline - clock_.now()));
  return live_ ? session_ : std::nullopt;
}

// --- stream ---

stream::Bytes CachingMount::credential(stream::StreamId, const std::array<std::byte, 32>& binding) {
  Session session;
  {
    const MutexLock lock(mutex_);
    if (!live_)
      return {};
    session = *session_;
    binding_ = binding;
  }
  const auto mine = proof(session.key, binding, fileproto::kStreamLabel);
  if (!mine)
    return {};
  return fileproto::encode_stream_credential({session.id, *mine});
}

void CachingMount::on_open(stream::StreamId stream, std::uint64_t, Instant lease_until) {
  const MutexLock lock(mutex_);
  if (stream != stream_)
    return;
  proved_ = false;
  welcome_until_ = lease_until;
}

// The lease counts from when it was asked for.
void CachingMount::lease_until(Instant until) {
  fileclient::BookEffects effects;
  const Instant now = clock_.now();
  if (!options_.plants.keep_cache)
    book_.on_time(now, effects);
  book_.hello_sent(until - session_->lease);
  book_.on_welcome(session_->lease, now, effects);
  act(effects);
}

void CachingMount::on_renewed(stream::StreamId stream, Instant until) {
  const MutexLock lock(mutex_);
  if (stream == stream_ && proved_ && live_)
    lease_until(until);
}

void CachingMount::on_message(stream::StreamId stream, stream::BytesView bytes) {
  const auto message = fileproto::decode_server_message(bytes);
  const MutexLock lock(mutex_);
  if (stream != stream_ || !live_)
    return;
  if (!message) {
    std::fprintf(stderr, "on the stream: %s\n", message.error().message.c_str());
    return lost_locked();
  }
  if (const auto* const proven = std::get_if<fileproto::ServerProof>(&*message)) {
    const auto ticket =
        options_.server.source->for_service(options_.server.service, clock_.now() + 1s);
    if (!ticket || !fileproto::is_session_proof(session_->key, fileproto::kServerLabel, binding_,
                                                (*ticket)->client.name, proven->proof)) {
      std::fprintf(stderr, "the server of the stream has not proved itself\n");
      return lost_locked();
    }
    proved_ = true;
    return lease_until(welcome_until_);
  }
  if (proved_)
    hear(*message);
}

void CachingMount::hear(const fileproto::ServerMessage& message) {
  if (const auto* const broken = std::get_if<fileproto::Break>(&message)) {
    std::vector<fileclient::BrokenNode> nodes;
    for (const auto& node : broken->nodes) {
      nodes.push_back({node.fid, node.what});
      if (const auto cached = nodes_.find(node.fid); cached != nodes_.end()) {
        const bool late = options_.plants.acknowledge_first && cached->second.trusted;
        cached->second.kept_until = late ? clock_.now() + kLate : Instant{};
      }
    }
    fileclient::BookEffects effects;
    book_.on_break(broken->number, broken->grant_clock, nodes, effects);
    act(effects);
  } else if (const auto* const update = std::get_if<fileproto::Update>(&message)) {
    learn_update(*update);
  } else if (const auto* const ended = std::get_if<fileproto::Ended>(&message)) {
    if (ended->volume == common::VolumeId{})
      lost_locked();
  }
}

void CachingMount::on_close(stream::StreamId stream, const stream::CloseInfo& why) {
  const MutexLock lock(mutex_);
  if (stream != stream_)
    return;
  proved_ = false;
  book_.stream_down();
  if (why.by_peer_goodbye && why.reason == stream::GoodbyeReason::Refused)
    lost_locked();
}

// --- books ---

void CachingMount::step() {
  if (options_.plants.keep_cache)
    return;
  fileclient::BookEffects effects;
  book_.on_time(clock_.now(), effects);
  act(effects);
}

// What is out of reach is so at once: nothing but this object's answers is anybody's copy.
void CachingMount::act(fileclient::BookEffects& effects) {
  while (!effects.empty()) {
    fileclient::BookEffects next;
    for (const fileclient::BookEffect& effect : effects) {
      if (const auto* const some = std::get_if<fileclient::Withdraw>(&effect)) {
        for (const auto& broken : some->nodes) {
          if (const auto cached = nodes_.find(broken.node); cached != nodes_.end())
            cached->second.trusted = false;
        }
        book_.withdrawn(some->id, next);
      } else if (const auto* const all = std::get_if<fileclient::WithdrawAll>(&effect)) {
        for (auto& [fid, cached] : nodes_)
          cached.trusted = false;
        book_.withdrawn(all->id, next);
      } else if (const auto* const sent = std::get_if<fileclient::SendAcknowledge>(&effect)) {
        const auto message = fileproto::encode_message(
            fileproto::MountMessage(fileproto::Acknowledge{sent->number}));
        if (message && stream_ != stream::StreamId{})
          static_cast<void>(streams_->send(stream_, *message));
      } else if (std::holds_alternative<fileclient::MayOpen>(effect)) {
        may_open_ = true;
        changed_.notify_all();
      }  // renewals the stream sends by itself
    }
    effects = std::move(next);
  }
}

CachingMount::Cached* CachingMount::trusted(Fid fid) {
  const auto cached = nodes_.find(fid);
  if (cached == nodes_.end())
    return nullptr;
  if (options_.plants.keep_cache)
    return cached->second.trusted ? &cached->second : nullptr;
  if (live_ && clock_.now() < cached->second.kept_until)
    return &cached->second;
  if (!options_.plants.book.has(fileclient::BookBug::LeaseNotChecked))
    step();
  return book_.promised(fid, clock_.now()) ? &cached->second : nullptr;
}

CachingMount::Cached* CachingMount::learn(const CallInFlight& call,
                                          const fileproto::VolumeState& state,
                                          common::VolumeId volume,
                                          const fileproto::Attributes& node) {
  using Taken = fileclient::PromiseBook::Taken;
  const Fid fid{volume, node.node};
  const Taken taken =
      book_.take(call, state.grants.value_or(0), fid, {state.epoch, node.version}, node.granted);
  if (taken == Taken::Older)
    return nullptr;
  if (nodes_.size() >= kMaxCached && !nodes_.contains(fid))
    nodes_.clear();  // the book's promises are worth nothing without what they were given for
  Cached& cached = nodes_[fid];
  cached.node = node;
  cached.trusted = taken == Taken::Promised;
  cached.kept_until = {};
  return &cached;
}

void CachingMount::learn_update(const fileproto::Update& update) {
  for (const fileproto::UpdatedNode& node : update.nodes) {
    if (!node.attributes)
      continue;
    fileproto::Attributes attributes = *node.attributes;
    attributes.granted = node.granted;
    const Fid fid{update.volume, node.node};
    using Taken = fileclient::PromiseBook::Taken;
    const Taken taken = book_.take_update(update.grant_clock, fid,
                                          {update.epoch, attributes.version}, node.granted);
    if (taken == Taken::Older || !nodes_.contains(fid))
      continue;
    Cached& cached = nodes_[fid];
    cached.node = attributes;
    cached.trusted = taken == Taken::Promised;
  }
}

void CachingMount::learn_change(const CallInFlight& call, common::VolumeId volume,
                                const fileproto::ChangeResult& result) {
  std::vector<Fid> touched;
  for (const auto& node : result.nodes)
    touched.push_back({volume, node.node.node});
  for (const common::NodeId gone : result.gone)
    touched.push_back({volume, gone});
  book_.change_answered(call, result.state.grants.value_or(0), touched);
  for (const auto& node : result.nodes)
    learn(call, result.state, volume, node.node);
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

void CachingMount::after_failure(const common::Error& error, std::uint64_t session,
                                 Instant deadline) {
  const auto detail = fileproto::detail_of(error);
  const bool of_session =
      error.code == ErrorCode::Stale && (!detail || detail->why == fileproto::FailureWhy::Session);
  if (of_session && session != 0)
    lost(session);
  const MutexLock lock(mutex_);
  if (!stopped_)
    changed_.wait_for(mutex_, std::clamp<common::Duration>(deadline - clock_.now(), 0ms, kPause));
}

// Reads need no session: without one they are answered, and grant nothing.
Result<rpc::Answer> CachingMount::ask(Connection& connection, std::string_view operation,
                                      const std::string& args, Instant deadline,
                                      CallInFlight& call) {
  for (;;) {
    rpc::Request request;
    request.service = "file";
    request.operation = operation;
    request.args = args;
    request.deadline = std::min(deadline, clock_.now() + 3s);
    request.cancellation = &cancellation_;
    std::uint64_t session = 0;
    std::uint64_t epoch = 0;
    {
      const MutexLock lock(mutex_);
      call = book_.begin_call();
      if (live_) {
        session = session_->id.value;
        epoch = session_->epoch;
      }
    }
    auto answered = connection.call(request);
    if (answered.answer) {
      if (session != 0 && answered.answer->epoch != epoch)
        lost(session);
      return std::move(answered.answer);
    }
    switch (answered.answer.error().code) {
      case ErrorCode::NotFound:
      case ErrorCode::PermissionDenied:
      case ErrorCode::InvalidArgument:
      case ErrorCode::Unsupported:
      case ErrorCode::Corrupt:
      case ErrorCode::Protocol:
      case ErrorCode::Internal:
        return std::move(answered.answer);
      default:
        after_failure(answered.answer.error(), session, deadline);
    }
    if (clock_.now() >= at_most(deadline))
      return std::move(answered.answer);
  }
}

Changed CachingMount::send_change(Connection& connection, std::string_view operation,
                                  const MakeArgs& args, const std::vector<Fid>& named,
                                  Instant deadline, common::ByteView bytes) {
  Changed changed;
  changed.how = Changed::How::Refused;  // nothing was sent
  std::uint64_t number = 0;
  while (clock_.now() < at_most(deadline)) {
    const auto session = wait_session(deadline);
    if (!session)
      break;
    fileproto::ChangeScope scope;
    scope.session = session->id;
    CallInFlight call;
    {
      const MutexLock lock(mutex_);
      if (number == 0 || options_.plants.new_ids)
        number = next_number_++;
      scope.seen = book_.begin_change(named);
      for (const Fid node : named) {
        if (const auto cached = nodes_.find(node);
            cached != nodes_.end() &&
            !options_.plants.book.has(fileclient::BookBug::OwnChangeKept)) {
          cached->second.trusted = false;
          cached->second.kept_until = {};
        }
      }
      call = book_.begin_call();
    }
    rpc::Request request;
    request.service = "file";
    request.operation = operation;
    request.head.id = {0, number};
    request.args = args(scope);
    request.bytes = bytes;
    request.deadline = std::min(deadline, clock_.now() + kAttempt);
    request.cancellation = &cancellation_;
    const auto answered = connection.call(request);
    if (answered.answer) {
      auto result = fileproto::decode<fileproto::ChangeResult>(answered.answer->result());
      if (!result) {
        changed.how = Changed::How::Unknown;
        changed.error = result.error();
        return changed;
      }
      const MutexLock lock(mutex_);
      learn_change(call, named.front().volume, *result);
      if (live_ && answered.answer->epoch != session_->epoch)
        lost_locked();
      changed.how = Changed::How::Done;
      changed.result = *std::move(result);
      return changed;
    }
    changed.error = answered.answer.error();
    if (answered.outcome == rpc::Outcome::Unknown ||
        changed.error.code == ErrorCode::OutcomeUnknown)
      changed.repeated = true;
    const auto detail = fileproto::detail_of(changed.error);
    const bool of_session = changed.error.code == ErrorCode::Stale &&
                            (!detail || detail->why == fileproto::FailureWhy::Session);
    switch (changed.error.code) {
      case ErrorCode::Unavailable:
      case ErrorCode::Overloaded:
      case ErrorCode::DeadlineExceeded:
      case ErrorCode::OutcomeUnknown:
      case ErrorCode::Cancelled:
      case ErrorCode::IoError:
      case ErrorCode::Unauthenticated:
        break;
      default:
        if (of_session)
          break;
        changed.how = changed.repeated ? Changed::How::Unknown : Changed::How::Refused;
        return changed;
    }
    after_failure(changed.error, session->id.value, deadline);
  }
  if (changed.repeated)
    changed.how = Changed::How::Unknown;
  return changed;
}

Result<fileproto::Attributes> CachingMount::attributes(Connection& connection, Fid fid,
                                                       Instant deadline) {
  CallInFlight call;
  TROTH_TRY(const auto answer,
            ask(connection, "getattr", fileproto::encode(fileproto::GetattrArgs{{}, {fid}}),
                deadline, call));
  TROTH_TRY(const auto result, fileproto::decode<fileproto::GetattrResult>(answer.result()));
  TROTH_TRY(const fileproto::Attributes node, result.nodes.at(0));
  const MutexLock lock(mutex_);
  learn(call, result.state, fid.volume, node);
  return node;
}

Result<CachingMount::Bytes> CachingMount::bytes(Connection& connection, Fid fid,
                                                std::uint64_t handle, Instant deadline) {
  CallInFlight call;
  fileproto::FetchArgs args;
  args.fid = fid;
  args.ranges = {{0, kMostBytes}};
  std::optional<fileproto::Attributes> opened;
  if (handle != 0) {
    fileproto::OpenArgs open;
    open.fid = fid;
    open.handle = handle;
    TROTH_TRY(const auto answer, ask(connection, "open", fileproto::encode(open), deadline, call));
    TROTH_TRY(const auto result, fileproto::decode<fileproto::OpenResult>(answer.result()));
    opened = result.node;
    args.version = result.node.version;
    const MutexLock lock(mutex_);
    learn(call, result.state, fid.volume, result.node);
  }
  TROTH_TRY(const auto answer, ask(connection, "fetch", fileproto::encode(args), deadline, call));
  TROTH_TRY(const auto result, fileproto::decode<fileproto::FetchResult>(answer.result()));
  if (handle != 0) {
    CallInFlight ignored;
    const fileproto::ReleaseArgs release{{}, fid.volume, {handle}};
    static_cast<void>(
        ask(connection, "release", fileproto::encode(release), clock_.now() + 2s, ignored));
  }
  if (result.raw_bytes() != answer.bytes.size() || result.node.size > kMostBytes)
    return common::fail(ErrorCode::Protocol, "{} raw bytes, and {} were said", answer.bytes.size(),
                        result.raw_bytes());
  Bytes whole{result.node, std::string(result.node.size, '\0')};
  std::size_t at = 0;
  for (const auto& range : result.ranges) {
    if (range.offset + range.length > whole.bytes.size())
      return common::fail(ErrorCode::Protocol, "bytes beyond the end of the file");
    whole.bytes.replace(range.offset, range.length,
                        text_of(common::ByteView(answer.bytes).subspan(at, range.length)));
    at += range.length;
  }
  if (opened && opened->data_version != result.node.data_version)
    return common::fail(ErrorCode::Corrupt, "opened at {}, and {} was fetched",
                        opened->data_version.value, result.node.data_version.value);
  const MutexLock lock(mutex_);
  Cached* cached = learn(call, result.state, fid.volume, result.node);
  if (cached != nullptr) {
    cached->bytes = whole.bytes;
    cached->bytes_of = result.node.data_version;
  }
  return whole;
}

Result<std::uint64_t> CachingMount::name(Connection& connection, Fid directory,
                                         const std::string& name, Instant deadline) {
  CallInFlight call;
  fileproto::LookupArgs args;
  args.dir = directory;
  args.name = name;
  TROTH_TRY(const auto answer, ask(connection, "lookup", fileproto::encode(args), deadline, call));
  TROTH_TRY(const auto result, fileproto::decode<fileproto::LookupResult>(answer.result()));
  const std::uint64_t node = result.node ? result.node->node.value : 0;
  const MutexLock lock(mutex_);
  if (result.node)
    learn(call, result.state, directory.volume, *result.node);
  if (Cached* const cached = learn(call, result.state, directory.volume, result.dir)) {
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

Result<CachingMount::Names> CachingMount::names(Connection& connection, Fid directory,
                                                Instant deadline) {
  CallInFlight call;
  fileproto::ListArgs args;
  args.dir = directory;
  Names names;
  for (;;) {
    TROTH_TRY(const auto answer, ask(connection, "list", fileproto::encode(args), deadline, call));
    TROTH_TRY(const auto result, fileproto::decode<fileproto::ListResult>(answer.result()));
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
    if (Cached* const cached = learn(call, result.state, directory.volume, result.dir)) {
      cached->names = names.entries;
      cached->names_of = result.dir.data_version;
      cached->all_names = true;
    }
    return names;
  }
}

}  // namespace promises_real
