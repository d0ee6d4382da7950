// Sessions over real streams.

#include "common/fileproto/sessions.hpp"

#include "common/failpoint/failpoint.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/stream/client.hpp"
#include "fileserver/sessions/sessions.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/test_cell.hpp"
#include "tests/unit/fileserver/volumes/volume_set_fixture.hpp"

using common::ErrorCode;
using common::SessionId;
using common::ticket::Kind;
using common::ticket::Principal;
using common::ticket::PrincipalId;
using fileserver::Sessions;
namespace fileproto = common::fileproto;
namespace stream = common::stream;

namespace {

const Principal kAlice{"alice", Kind::User, PrincipalId{10'001}};
const Principal kBob{"bob", Kind::User, PrincipalId{10'002}};

fileserver::store::MountId mount_id(std::uint8_t number) {
  fileserver::store::MountId mount;
  mount.bytes[15] = std::byte{number};
  return mount;
}

// A mount's stream: proves the session's key, notes what it hears.
class Mount final : public stream::ClientHandler {
 public:
  Mount(SessionId session, common::ByteView key, std::string opener)
      : session_(session), key_(key.begin(), key.end()), opener_(std::move(opener)) {}
  ~Mount() override {
    if (client_)
      client_->stop();
  }

  void dial(std::shared_ptr<common::tls::ReloadableContext> tls, std::uint16_t port) {
    stream::StreamClientOptions options;
    options.tls = std::move(tls);
    auto started = stream::StreamClient::start(options, *this, clock_);
    REQUIRE_OK(started);
    client_ = *std::move(started);
    REQUIRE_OK(client_->dial({"127.0.0.1", port, {}, {}}));
  }

  stream::Bytes credential(stream::StreamId, const std::array<std::byte, 32>& binding) override {
    fileproto::StreamCredential credential;
    credential.session = session_;
    const auto proof = fileproto::session_proof(key_, fileproto::kStreamLabel, binding, opener_);
    if (proof)
      credential.proof = *proof;
    const common::MutexLock lock(mutex_);
    binding_ = binding;
    return fileproto::encode_stream_credential(credential);
  }
  void on_message(stream::StreamId, stream::BytesView bytes) override {
    const auto message = fileproto::decode_server_message(bytes);
    if (!message)
      return;
    {
      const common::MutexLock lock(mutex_);
      messages_.push_back(*message);
    }
    heard_.notify_all();
  }
  void on_close(stream::StreamId, const stream::CloseInfo& why) override {
    {
      const common::MutexLock lock(mutex_);
      closed_ = why.error.message;
      ++closes_;
    }
    heard_.notify_all();
  }
  // The n-th message, from 0; waits for it.
  std::optional<fileproto::ServerMessage> message(std::size_t n) {
    return wait<std::optional<fileproto::ServerMessage>>(
        [&]() REQUIRES(mutex_) -> std::optional<fileproto::ServerMessage> {
          return n < messages_.size() ? std::optional(messages_[n]) : std::nullopt;
        });
  }
  bool closed() {
    return wait<bool>([&]() REQUIRES(mutex_) { return closes_ > 0; });
  }
  std::array<std::byte, 32> binding() {
    const common::MutexLock lock(mutex_);
    return binding_;
  }

 private:
  template <typename T, typename F>
  T wait(F&& what) NO_THREAD_SAFETY_ANALYSIS {
    const common::MutexLock lock(mutex_);
    const common::SystemClock clock;
    const auto deadline = clock.now() + test_support::kPatience;
    for (;;) {
      if (auto value = what(); value || clock.now() >= deadline)
        return value;
      heard_.wait_for(mutex_, deadline - clock.now());
    }
  }

  common::SystemClock clock_;
  std::unique_ptr<stream::StreamClient> client_;
  const SessionId session_;
  const common::Bytes key_;
  const std::string opener_;
  common::Mutex mutex_;
  common::CondVar heard_;
  std::vector<fileproto::ServerMessage> messages_;
  std::string closed_;
  int closes_ = 0;
  std::array<std::byte, 32> binding_{};
};

class SessionsFixture : public test_support::VolumeSetFixture {
 public:
  SessionsFixture() {
    start();
    const std::string ca = certificates.ca();
    auto client =
        common::tls::ReloadableContext::make([ca] { return common::tls::make_client({.ca = ca}); });
    REQUIRE_OK(client);
    client_tls = *std::move(client);
    serve();
  }
  ~SessionsFixture() { sessions.reset(); }

  void serve(std::chrono::milliseconds lease = std::chrono::seconds(10),
             std::optional<std::chrono::milliseconds> between_opens = std::nullopt) {
    sessions.reset();
    auto server = common::tls::ReloadableContext::make([this] {
      const auto files = certificates.issue("server");
      return common::tls::make_server(
          {files.certificate, files.key, certificates.ca(), common::tls::ClientCertificates::None});
    });
    REQUIRE_OK(server);
    fileserver::SessionsOptions options;
    options.streams.tls = *std::move(server);
    options.promises.lease = lease;
    options.caps.per_user = 3;
    if (between_opens)
      options.caps.between_opens = *between_opens;
    auto started = Sessions::start(options, *set, clock);
    REQUIRE_OK(started);
    sessions = *std::move(started);
  }
  void dial(Mount& mount) { mount.dial(client_tls, sessions->stream_port()); }

  test_support::TestCell certificates;
  std::shared_ptr<common::tls::ReloadableContext> client_tls;
  std::unique_ptr<Sessions> sessions;
};

}  // namespace

TEST_CASE_FIXTURE(SessionsFixture, "a stream begins with the server's own proof") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  Mount mount((*session)->id, (*session)->key->bytes(), "alice");
  dial(mount);
  const auto first = mount.message(0);
  REQUIRE(first);
  REQUIRE(std::holds_alternative<fileproto::ServerProof>(*first));
  CHECK(fileproto::is_session_proof((*session)->key->bytes(), fileproto::kServerLabel,
                                    mount.binding(), "alice",
                                    std::get<fileproto::ServerProof>(*first).proof));
}

TEST_CASE_FIXTURE(SessionsFixture, "who does not know the key gets no stream") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  const common::Bytes wrong(32);
  Mount mount((*session)->id, wrong, "alice");
  dial(mount);
  CHECK(mount.closed());
  CHECK(sessions->stream_stats().opened.load() == 0);
}

TEST_CASE_FIXTURE(SessionsFixture,
                  "a mount id belongs to who opened it first, and its older session "
                  "ends") {
  const auto first = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(first);
  CHECK_FAILS(sessions->open(kBob, mount_id(1)), ErrorCode::PermissionDenied);
  CHECK_FAILS(sessions->open(kAlice, mount_id(1)), ErrorCode::Overloaded);
  CHECK_OK(sessions->open(kBob, mount_id(2)));
  fileserver::store::MountId foreign;
  foreign.bytes[0] = std::byte{0x80};
  CHECK_FAILS(sessions->open(kAlice, foreign), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(SessionsFixture,
                  "of two sessions that a mount opens at once, only the later one goes on") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  serve(std::chrono::seconds(10), std::chrono::milliseconds(0));
  // While the disk takes the first, another one is opened.
  common::Result<fileserver::FileSessionPtr> within = common::fail(ErrorCode::Internal, "not yet");
  bool begun = false;
  common::failpoint::arm_call("registry.change.before_stable", [&]() -> common::Status {
    if (!std::exchange(begun, true))
      within = sessions->open(kAlice, mount_id(1));
    return {};
  });
  const auto first = sessions->open(kAlice, mount_id(1));
  common::failpoint::disarm_all();
  REQUIRE_OK(first);
  REQUIRE_OK(within);
  CHECK((*within)->over.load());
  CHECK_FALSE((*first)->over.load());
  CHECK_FALSE(sessions->lives((*within)->id));
}

TEST_CASE_FIXTURE(SessionsFixture, "a session that could not be stored leaves nothing behind") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  {
    const common::failpoint::Armed once("registry.change.before_stable=error(io_error)@1");
    CHECK_FAILS(sessions->open(kAlice, mount_id(1)), ErrorCode::IoError);
  }
  static_cast<void>(sessions->stop());  // ends what its thread has to do
  sessions.reset();
  set.reset();
  start();
  CHECK(set->registry().former().sessions.empty());
}

TEST_CASE_FIXTURE(SessionsFixture,
                  "who was away while a volume was deleted is told when it is back") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  const auto volume = make("a")->id;
  sessions->volume_deleted(volume);
  Mount mount((*session)->id, (*session)->key->bytes(), "alice");
  dial(mount);
  const auto ended = mount.message(1);
  REQUIRE(ended);
  REQUIRE(std::holds_alternative<fileproto::Ended>(*ended));
  CHECK(std::get<fileproto::Ended>(*ended).volume == volume);
}

TEST_CASE_FIXTURE(SessionsFixture, "F41: sessions of whoever is disabled end, and say why") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  const auto others = sessions->open(kBob, mount_id(2));
  REQUIRE_OK(others);
  Mount mount((*session)->id, (*session)->key->bytes(), "alice");
  dial(mount);
  REQUIRE(mount.message(0));
  const PrincipalId newly[] = {kAlice.id};
  sessions->revoke([](PrincipalId id) { return id == kAlice.id; }, newly);
  CHECK((*session)->over.load());
  const auto ended = mount.message(1);
  REQUIRE(ended);
  REQUIRE(std::holds_alternative<fileproto::Ended>(*ended));
  CHECK(std::get<fileproto::Ended>(*ended).why == fileproto::EndedWhy::Revoked);
  CHECK(mount.closed());
  CHECK_FALSE((*others)->over.load());
  CHECK(sessions->lives((*others)->id));
}

TEST_CASE_FIXTURE(SessionsFixture,
                  "F41: where a disabled one has joined, all that was promised is asked for once") {
  const auto session = sessions->open(kBob, mount_id(1));
  REQUIRE_OK(session);
  (*session)->callers.lock()->add(kBob.id);
  (*session)->callers.lock()->add(kAlice.id);
  Mount mount((*session)->id, (*session)->key->bytes(), "bob");
  dial(mount);
  REQUIRE(mount.message(0));
  const common::Fid node{common::VolumeId{1}, common::NodeId{7}};
  const auto grant = [&]() -> bool {
    return sessions->keeper()
        .grant((*session)->id, std::span(&node, 1), sessions->keeper().begin_read())
        .nodes[0];
  };
  REQUIRE(test_support::eventually(grant));
  const auto revoke = [&](std::span<const PrincipalId> newly) {
    sessions->revoke([](PrincipalId id) { return id == kAlice.id; }, newly);
  };
  const PrincipalId newly[] = {kAlice.id};
  revoke(newly);
  const auto told = mount.message(1);
  REQUIRE(told);
  REQUIRE(std::holds_alternative<fileproto::Break>(*told));
  REQUIRE(std::get<fileproto::Break>(*told).nodes.size() == 1);
  CHECK(std::get<fileproto::Break>(*told).nodes[0].fid == node);
  CHECK_FALSE((*session)->over.load());
  // Later answers, in which he is disabled still, ask for nothing.
  REQUIRE(grant());
  revoke({});
  CHECK(sessions->counts().breaks_sent == 1);
}

TEST_CASE("F41: more callers of one session than are remembered count as everybody") {
  fileserver::JoinedCallers callers;
  for (std::uint32_t i = 0; i < fileserver::kMaxJoinedCallers; ++i) {
    callers.add(PrincipalId{20'000 - i});
    callers.add(PrincipalId{20'000 - i});
  }
  const PrincipalId stranger[] = {PrincipalId{5}};
  const PrincipalId known[] = {PrincipalId{5}, PrincipalId{19'999}};
  CHECK_FALSE(callers.has_any(stranger));
  CHECK(callers.has_any(known));
  CHECK_FALSE(callers.has_any({}));
  callers.add(PrincipalId{6});
  CHECK(callers.has_any(stranger));
  CHECK_FALSE(callers.has_any({}));
}

TEST_CASE_FIXTURE(SessionsFixture, "one user has so many sessions") {
  for (std::uint8_t i = 1; i <= 3; ++i)
    REQUIRE_OK(sessions->open(kAlice, mount_id(i)));
  CHECK_FAILS(sessions->open(kAlice, mount_id(4)), ErrorCode::ResourceExhausted);
  CHECK_OK(sessions->open(kBob, mount_id(5)));
}

TEST_CASE_FIXTURE(SessionsFixture, "joining and resuming take the key, on that very connection") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  const auto key = (*session)->key->bytes();
  Sessions::Proof binding{};
  binding[0] = std::byte{7};
  const auto proof = fileproto::session_proof(key, fileproto::kJoinLabel, binding, "bob");
  REQUIRE_OK(proof);
  CHECK_OK(sessions->join("bob", (*session)->id, *proof, binding));
  CHECK_FAILS(sessions->join("alice", (*session)->id, *proof, binding), ErrorCode::Unauthenticated);
  Sessions::Proof elsewhere = binding;
  elsewhere[1] = std::byte{1};
  CHECK_FAILS(sessions->join("bob", (*session)->id, *proof, elsewhere), ErrorCode::Unauthenticated);
  CHECK_FAILS(sessions->resume("bob", mount_id(1), (*session)->id, *proof, binding),
              ErrorCode::Unauthenticated);
  CHECK_FAILS(sessions->join("bob", SessionId{12345}, *proof, binding), ErrorCode::Stale);
}

TEST_CASE_FIXTURE(SessionsFixture,
                  "R10: a session is stable before it is used, and comes back after "
                  "a crash") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  const SessionId id = (*session)->id;
  const common::Bytes key((*session)->key->bytes().begin(), (*session)->key->bytes().end());
  sessions.reset();
  set.reset();  // without a clean stop
  start();
  CHECK_FALSE(set->registry().former().clean);
  REQUIRE(set->registry().former().sessions.size() == 1);
  CHECK(set->registry().former().longest_lease == std::chrono::seconds(10));
  serve();
  CHECK(sessions->lives(id));
  CHECK(sessions->keeper().counts().grace);
  const Sessions::Proof binding{};
  const auto proof = fileproto::session_proof(key, fileproto::kResumeLabel, binding, "alice");
  REQUIRE_OK(proof);
  CHECK_OK(sessions->resume("alice", mount_id(1), id, *proof, binding));
  CHECK_FALSE(sessions->keeper().counts().grace);
}

TEST_CASE_FIXTURE(SessionsFixture,
                  "a session that was closed is forgotten, and its stream hears why") {
  const auto session = sessions->open(kAlice, mount_id(1));
  REQUIRE_OK(session);
  Mount mount((*session)->id, (*session)->key->bytes(), "alice");
  dial(mount);
  REQUIRE(mount.message(0));
  sessions->close(*session);
  CHECK((*session)->over.load());
  const auto ended = mount.message(1);
  REQUIRE(ended);
  CHECK(std::holds_alternative<fileproto::Ended>(*ended));
  CHECK_FALSE(sessions->lives((*session)->id));
  CHECK(sessions->stop());
  sessions.reset();
  set.reset();
  start();
  CHECK(set->registry().former().sessions.empty());
}
