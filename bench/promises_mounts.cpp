#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "bench/promises.hpp"
#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/fileproto/codec.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/wire/hex.hpp"

namespace bench {

using namespace common;
using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 300s;
// Each opening waits for the disk; many wait for it together.
constexpr int kOpeners = 16;
// A machine has one mount or a few: so many addresses share them.
constexpr std::size_t kAddresses = 40;
// Streams that are dialled and not up yet.
constexpr std::size_t kDialling = 400;

}  // namespace

void die(const std::string& why) {
  std::fprintf(stderr, "bench_promises: %s\n", why.c_str());
  std::exit(1);
}

std::unique_ptr<rpc::Client> Target::client() const {
  rpc::ClientOptions options;
  options.host = "127.0.0.1";
  options.port = calls;
  options.tls = tls;
  options.authenticate = auth::authenticate_with(ticket);
  return std::make_unique<rpc::Client>(std::move(options));
}

rpc::Answer call(rpc::Client& client, std::string_view operation, std::string args,
                 OperationId id) {
  rpc::Request request;
  request.service = "file";
  request.operation = operation;
  request.args = std::move(args);
  request.head.id = id;
  request.deadline = SystemClock().now() + 60s;
  return must(client.call(request).answer, operation);
}

Mounts::Mounts(const Target& target) : target_(target) {
  stream::StreamClientOptions options;
  options.tls = target.tls;
  options.streams = 20'000;
  streams_ = must(stream::StreamClient::start(std::move(options), *this, clock_), "streams");
}

Mounts::~Mounts() {
  leaving_.store(true);
  streams_->stop();
}

Mounts::Mount Mounts::open_one(rpc::Client& client) const {
  fileproto::SessionOpenArgs args;
  must(crypto::random_bytes(args.mount), "random bytes");
  args.mount[0] &= std::byte{0x7F};
  const auto answer = call(client, "session-open", fileproto::encode(args));
  const auto opened =
      must(fileproto::decode<fileproto::SessionOpenResult>(answer.result()), "session-open");
  return {opened.session, {opened.key.begin(), opened.key.end()}, 0};
}

void Mounts::open(int count) {
  std::vector<Mount> opened(static_cast<std::size_t>(count));
  std::vector<std::thread> openers;
  for (int i = 0; i < std::min(count, kOpeners); ++i) {
    openers.emplace_back([&, i] {
      const auto client = target_.client();
      for (std::size_t next = static_cast<std::size_t>(i); next < opened.size(); next += kOpeners)
        opened[next] = open_one(*client);
    });
  }
  for (auto& opener : openers)
    opener.join();
  const MutexLock lock(mutex_);
  const Instant give_up = clock_.now() + kPatience;
  for (Mount& mount : opened) {
    const std::size_t index = mounts_.size();
    mounts_.push_back(std::move(mount));
    // Under the lock, so that its credential is asked for when it is known.
    const auto stream =
        must(streams_->dial({.address = "127.0.0.1",
                             .port = target_.streams,
                             .server_name = {},
                             .from_address = fmt::format("127.0.1.{}", 1 + index % kAddresses)}),
             "dialling");
    by_stream_[stream.value] = index;
    while (proven_ + kDialling < mounts_.size() && clock_.now() < give_up)
      heard_.wait_for(mutex_, 100ms);
  }
  while (proven_ < mounts_.size() && clock_.now() < give_up)
    heard_.wait_for(mutex_, 100ms);
  if (proven_ < mounts_.size())
    die("not all streams came up");
}

SessionId Mounts::session(std::size_t mount) {
  const MutexLock lock(mutex_);
  return mounts_[mount].session;
}

std::uint64_t Mounts::next_number(std::size_t mount) {
  const MutexLock lock(mutex_);
  return ++mounts_[mount].number;
}

void Mounts::join(rpc::Client& client, std::size_t mount) {
  must(client.connect(clock_.now() + 60s), "connecting");
  fileproto::SessionJoinArgs args;
  const auto binding = must(client.channel_binding(), "binding");
  {
    const MutexLock lock(mutex_);
    args.session = mounts_[mount].session;
    args.proof = must(fileproto::session_proof(mounts_[mount].key, fileproto::kJoinLabel, binding,
                                               target_.ticket->client.name),
                      "a proof");
  }
  call(client, "session-join", fileproto::encode(args));
}

std::uint64_t Mounts::breaks() {
  const MutexLock lock(mutex_);
  return breaks_;
}

// --- the streams' thread ---

stream::Bytes Mounts::credential(stream::StreamId stream,
                                 const std::array<std::byte, 32>& binding) {
  const MutexLock lock(mutex_);
  const Mount& mount = mounts_[by_stream_.at(stream.value)];
  fileproto::StreamCredential credential;
  credential.session = mount.session;
  credential.proof = must(fileproto::session_proof(mount.key, fileproto::kStreamLabel, binding,
                                                   target_.ticket->client.name),
                          "a proof");
  return fileproto::encode_stream_credential(credential);
}

void Mounts::on_message(stream::StreamId stream, stream::BytesView bytes) {
  const auto message = must(fileproto::decode_server_message(bytes), "a message");
  if (std::holds_alternative<fileproto::ServerProof>(message)) {
    const MutexLock lock(mutex_);
    ++proven_;
    heard_.notify_all();
  } else if (const auto* const broken = std::get_if<fileproto::Break>(&message)) {
    const fileproto::MountMessage answer(fileproto::Acknowledge{broken->number});
    must(streams_->send(stream, must(fileproto::encode_message(answer), "an answer")), "sending");
    const MutexLock lock(mutex_);
    ++breaks_;
  }
}

void Mounts::on_close(stream::StreamId, const stream::CloseInfo& why) {
  if (!leaving_.load())
    std::fprintf(stderr, "bench_promises: a stream closed: %s\n", why.error.message.c_str());
}

}  // namespace bench
