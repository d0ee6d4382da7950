#include "tests/scenario/file/herd.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/fileproto/reads.hpp"

namespace herd {

using namespace std::chrono_literals;
using common::Error;
using common::ErrorCode;
using common::fail;
using common::MutexLock;
using common::Result;
using common::Status;

namespace {

// Calls of the whole herd that are under way at a time.
constexpr std::size_t kThreads = 24;
// Longer than a loaded machine takes for all of them.
constexpr auto kCallPatience = 60s;
constexpr auto kLook = 100ms;
// A machine has one mount or a few: so many addresses share them.
constexpr std::size_t kAddresses = 40;
constexpr std::size_t kMostFailures = 20;
// When they come back: all within a second or two.
constexpr stream::RedialOptions kRedial{.spread = 1'000ms, .longest = 2'000ms, .shortest = 50ms};

std::uint64_t random_bits() {
  return common::crypto::random_u64().value_or(0);
}

// The server has said its proof, and does not count the stream yet.
Status not_yet() {
  return fail(ErrorCode::Unavailable, "nothing is promised yet");
}

}  // namespace

Herd::Mount::Mount() : redial(kRedial) {}

// --- beginning and ending ---

Result<std::unique_ptr<Herd>> Herd::start(HerdOptions options) {
  std::unique_ptr<Herd> herd(new Herd(std::move(options)));
  stream::StreamClientOptions how;
  how.tls = herd->options_.openers.front().tls;
  how.streams = 2 * herd->options_.mounts;  // one that is hung up counts until it is gone
  how.redial = kRedial;
  TROTH_TRY(herd->streams_, stream::StreamClient::start(std::move(how), *herd, herd->clock_));
  herd->mounts_ = std::vector<Mount>(herd->options_.mounts);
  {
    const MutexLock lock(herd->mutex_);
    for (std::size_t i = 0; i < herd->mounts_.size(); ++i) {
      Mount& mount = herd->mounts_[i];
      mount.opener = i % herd->options_.openers.size();
      TROTH_TRY_VOID(common::crypto::random_bytes(mount.id));
      mount.id[0] &= std::byte{0x7F};
      herd->after({i, Job::Open}, 0ms);
    }
  }
  for (std::size_t i = 0; i < kThreads; ++i)
    herd->threads_.emplace_back([h = herd.get()] { h->drive(); });
  return herd;
}

Herd::~Herd() {
  {
    const MutexLock lock(mutex_);
    ended_ = true;
  }
  ending_.cancel();
  changed_.notify_all();
  for (std::thread& thread : threads_)
    thread.join();
  if (streams_)
    streams_->stop();
}

void Herd::hold_back(std::size_t count) {
  const MutexLock lock(mutex_);
  held_back_ = count;
}

void Herd::let_go() {
  const MutexLock lock(mutex_);
  held_back_ = counts_.held_back = 0;
  for (const Due due : std::exchange(waiting_, {}))
    after(due, 0ms);
}

HerdCounts Herd::counts() {
  const MutexLock lock(mutex_);
  return counts_;
}

// --- what is done in turn ---

void Herd::after(Due due, common::Duration pause) {
  due_.emplace(clock_.now() + pause, due);
  changed_.notify_one();
}

void Herd::drive() {
  const MutexLock lock(mutex_);
  while (!ended_) {
    const auto first = due_.begin();
    if (first == due_.end() || first->first > clock_.now()) {
      const common::Duration until =
          first == due_.end() ? common::Duration(kLook) : first->first - clock_.now();
      changed_.wait_for(mutex_, std::min<common::Duration>(until, kLook));
      continue;
    }
    const Due due = first->second;
    due_.erase(first);
    if (due.job == Job::Resume && due.mount + held_back_ >= mounts_.size()) {
      waiting_.push_back(due);
      counts_.held_back = waiting_.size();
      continue;
    }
    Status done;
    {
      const common::MutexUnlock unlock(mutex_);
      done = carry_out(due);
    }
    if (!done)
      failed(due, done.error());
  }
}

// What a mount does about it: it comes again, later, and not before it was told to.
void Herd::failed(Due due, const Error& error) {
  switch (error.code) {
    case ErrorCode::Overloaded:
      ++counts_.refused;
      if (error.retry_after <= 0ms)
        ++counts_.refused_without_time;
      [[fallthrough]];
    case ErrorCode::Unavailable:
    case ErrorCode::DeadlineExceeded:
    case ErrorCode::OutcomeUnknown:
    case ErrorCode::Cancelled:
      return after(
          due, mounts_[due.mount].redial.failed(
                   random_bits(), std::chrono::ceil<std::chrono::milliseconds>(error.retry_after)));
    default:
      complain(due.mount, fmt::format("job {}: {}: {}", static_cast<int>(due.job),
                                      to_string(error.code), error.message));
  }
}

void Herd::complain(std::size_t index, std::string_view what) {
  if (counts_.failures.size() < kMostFailures)
    counts_.failures.push_back(fmt::format("mount {}: {}", index, what));
}

Status Herd::carry_out(Due due) {
  switch (due.job) {
    case Job::Open:
      return open(due.mount);
    case Job::Resume:
      return resume(due.mount);
    case Job::Hold:
      return hold(due.mount);
  }
  return {};
}

Result<std::string> Herd::name_of(const Mount& mount) const {
  const auto& opener = options_.openers[mount.opener];
  TROTH_TRY(const auto ticket,
            opener.source->for_service(opener.service, clock_.now() + kCallPatience));
  return ticket->client.name;
}

void Herd::connect(Mount& mount) const {
  const auto& opener = options_.openers[mount.opener];
  rpc::ClientOptions options;
  options.host = opener.host;
  options.port = opener.port;
  options.cell_id = opener.cell;
  options.role = "fileserver";
  options.tls = opener.tls;
  options.connect_limit = 30s;
  options.authenticate = common::auth::authenticate_with(opener.source, opener.service);
  mount.client = std::make_unique<rpc::Client>(std::move(options));
}

Result<rpc::Answer> Herd::call(Mount& mount, std::string_view operation, const std::string& args) {
  rpc::Request request;
  request.service = "file";
  request.operation = operation;
  request.args = args;
  request.deadline = clock_.now() + kCallPatience;
  request.cancellation = &ending_;
  return mount.client->call(request).answer;
}

Status Herd::open(std::size_t index) {
  Mount& mount = mounts_[index];
  connect(mount);
  TROTH_TRY(const auto answer,
            call(mount, "session-open",
                 fileproto::encode(fileproto::SessionOpenArgs{.mount = mount.id, .resume = {}})));
  return begun(index, answer);
}

Status Herd::resume(std::size_t index) {
  Mount& mount = mounts_[index];
  connect(mount);
  TROTH_TRY_VOID(mount.client->connect(clock_.now() + kCallPatience, &ending_));
  TROTH_TRY(const auto binding, mount.client->channel_binding());
  TROTH_TRY(const auto name, name_of(mount));
  TROTH_TRY(const auto proof,
            fileproto::session_proof(mount.key, fileproto::kResumeLabel, binding, name));
  {
    const MutexLock lock(mutex_);
    counts_.resumes_begun += std::exchange(mount.resuming, true) ? 0 : 1;
  }
  const fileproto::SessionOpenArgs args{.mount = mount.id,
                                        .resume = fileproto::Resume{mount.session, proof}};
  TROTH_TRY(const auto answer, call(mount, "session-open", fileproto::encode(args)));
  return begun(index, answer);
}

Status Herd::begun(std::size_t index, const rpc::Answer& answer) {
  Mount& mount = mounts_[index];
  TROTH_TRY(const auto opened, fileproto::decode<fileproto::SessionOpenResult>(answer.result()));
  const auto& opener = options_.openers[mount.opener];
  const MutexLock lock(mutex_);
  if (mount.resuming) {
    counts_.resumed += std::exchange(mount.resumed, true) ? 0 : 1;
    if (opened.session != mount.session)
      complain(index, "its session is another one");
  }
  mount.session = opened.session;
  mount.key = opened.key;
  mount.redial.succeeded();
  // Under the lock, so that its credential is asked for when it is known.
  TROTH_TRY(mount.stream,
            streams_->dial({.address = opener.host,
                            .port = opened.stream_port,
                            .server_name = {},
                            .from_address = fmt::format("127.0.1.{}", 1 + index % kAddresses)}));
  by_stream_[mount.stream->value] = index;
  return {};
}

Result<rpc::Answer> Herd::ask(std::size_t index, std::string_view operation,
                              const std::string& args) {
  Mount& mount = mounts_[index];
  if (!mount.client->connected()) {
    TROTH_TRY_VOID(mount.client->connect(clock_.now() + kCallPatience, &ending_));
    TROTH_TRY(const auto binding, mount.client->channel_binding());
    TROTH_TRY(const auto name, name_of(mount));
    TROTH_TRY(const auto proof,
              fileproto::session_proof(mount.key, fileproto::kJoinLabel, binding, name));
    TROTH_TRY_VOID(call(mount, "session-join",
                        fileproto::encode(fileproto::SessionJoinArgs{mount.session, proof})));
  }
  return call(mount, operation, args);
}

// The first time it asks for all nodes, then whether they are as they were: in one call.
Status Herd::hold(std::size_t index) {
  Mount& mount = mounts_[index];
  const auto& nodes = options_.nodes;
  if (mount.versions.empty()) {
    fileproto::GetattrArgs args;
    args.fids = nodes;
    TROTH_TRY(const auto answer, ask(index, "getattr", fileproto::encode(args)));
    TROTH_TRY(const auto result, fileproto::decode<fileproto::GetattrResult>(answer.result()));
    std::vector<common::Seq> versions;
    for (const auto& node : result.nodes) {
      TROTH_TRY(const fileproto::Attributes attributes, node);
      if (!attributes.granted)
        return not_yet();
      versions.push_back(attributes.version);
    }
    mount.versions = std::move(versions);
  } else {
    fileproto::RevalidateArgs args;
    for (std::size_t i = 0; i < nodes.size(); ++i)
      args.nodes.push_back({nodes[i], mount.versions[i]});
    TROTH_TRY(const auto answer, ask(index, "revalidate", fileproto::encode(args)));
    TROTH_TRY(const auto result, fileproto::decode<fileproto::RevalidateResult>(answer.result()));
    for (const fileproto::Attributes& node : result.changed) {
      const auto asked = std::find_if(args.nodes.begin(), args.nodes.end(),
                                      [&](const auto& one) { return one.fid.node == node.node; });
      if (asked == args.nodes.end() || asked->version != node.version)
        return fail(ErrorCode::Internal, "node {} is another one", node.node.value);
    }
    if (!result.gone.empty())
      return fail(ErrorCode::Internal, "{} nodes are gone", result.gone.size());
    if (!result.changed.empty() || !result.state.grants)
      return not_yet();
  }
  mount.client.reset();
  const MutexLock lock(mutex_);
  mount.promised = true;
  ++counts_.promised;
  return {};
}

// --- streams ---

stream::Bytes Herd::credential(stream::StreamId stream, const std::array<std::byte, 32>& binding) {
  const MutexLock lock(mutex_);
  const auto found = by_stream_.find(stream.value);
  if (found == by_stream_.end())
    return {};
  Mount& mount = mounts_[found->second];
  mount.binding = binding;
  const auto name = name_of(mount);
  if (!name)
    return {};
  const auto proof = fileproto::session_proof(mount.key, fileproto::kStreamLabel, binding, *name);
  return proof ? fileproto::encode_stream_credential({mount.session, *proof}) : stream::Bytes{};
}

void Herd::on_message(stream::StreamId stream, stream::BytesView bytes) {
  const auto message = fileproto::decode_server_message(bytes);
  const MutexLock lock(mutex_);
  const auto found = by_stream_.find(stream.value);
  if (found == by_stream_.end())
    return;
  const std::size_t index = found->second;
  Mount& mount = mounts_[index];
  if (!message)
    return complain(index, message.error().message);
  if (const auto* const proven = std::get_if<fileproto::ServerProof>(&*message)) {
    const auto name = name_of(mount);
    if (!name || !fileproto::is_session_proof(mount.key, fileproto::kServerLabel, mount.binding,
                                              *name, proven->proof))
      return complain(index, "the server has not proved itself");
    if (!mount.promised)
      after({index, Job::Hold}, 0ms);
  } else if (const auto* const broken = std::get_if<fileproto::Break>(&*message)) {
    const auto answer =
        fileproto::encode_message(fileproto::MountMessage(fileproto::Acknowledge{broken->number}));
    if (answer)
      static_cast<void>(streams_->send(stream, *answer));
    counts_.broken += mount.breaks == 0 ? 1 : 0;
    counts_.again += mount.breaks++ == 0 ? 0 : 1;
  } else if (std::holds_alternative<fileproto::Update>(*message)) {
    counts_.updated += mount.updates == 0 ? 1 : 0;
    counts_.again += mount.updates++ == 0 ? 0 : 1;
  } else if (std::holds_alternative<fileproto::Ended>(*message)) {
    complain(index, "its session was ended");
  }
}

// A stream that breaks is dialled again by itself. A server that has started anew refuses it until
// the session has been resumed: nothing that was promised is trusted from here on.
void Herd::on_close(stream::StreamId stream, const stream::CloseInfo& why) {
  const MutexLock lock(mutex_);
  const auto found = by_stream_.find(stream.value);
  if (found == by_stream_.end() || ended_)
    return;
  if (!why.by_peer_goodbye || why.reason != stream::GoodbyeReason::Refused)
    return;
  const std::size_t index = found->second;
  by_stream_.erase(found);
  static_cast<void>(streams_->hang_up(stream));
  Mount& mount = mounts_[index];
  mount.stream.reset();
  counts_.promised -= std::exchange(mount.promised, false) ? 1 : 0;
  after({index, Job::Resume}, mount.redial.failed(random_bits(), why.retry_after));
}

}  // namespace herd
