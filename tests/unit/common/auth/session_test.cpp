// Sessions over real connections: proven once, ended by the clock, moved on by a later ticket.

#include "common/auth/session.hpp"

#include "common/auth/authenticate.hpp"
#include "common/auth/service_keys.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/rpc_fixture.hpp"
#include "tests/unit/common/ticket/small_cell.hpp"

using namespace common;
using namespace common::auth;
using namespace std::chrono_literals;
using rpc::Call;
using rpc::Reply;
using test_support::RpcCell;
using ticket_test::body_at;
using ticket_test::ServiceSide;

namespace {

constexpr std::string_view kTestService = "test/one";

// A server that demands tickets for test/one, and everything to make them.
struct Cell {
  ServiceSide side{kTestService};
  RpcCell rpc;
  int touched = 0;  // handlers that ran
  Duration left{};  // of the session of the last one

  explicit Cell(bool with_auth = true) {
    rpc.demand_sessions();
    // The verifier belongs to the side, which outlives the server.
    const std::shared_ptr<const ticket::Verifier> verifier(std::shared_ptr<void>(), &side.verifier);
    if (with_auth)
      rpc.add(auth_operation("test", verifier));
    rpc.add({.service = "test", .name = "who", .handler = [this](Call& call) -> Result<Reply> {
               ++touched;
               left = call.peer().session()->left();
               const ticket::Identity* identity = identity_of(call);
               REQUIRE(identity != nullptr);
               return Reply::json(identity->client.name);
             }});
  }

  [[nodiscard]] CredentialPtr credential(std::chrono::minutes life = 600min,
                                         std::string name = "alice",
                                         std::uint32_t id = 10'000) const {
    ticket::TicketBody body = body_at(side.now());
    body.client = {std::move(name), ticket::Kind::User, ticket::PrincipalId{id}};
    body.validity.end = body.validity.start + life;
    return std::make_shared<const ticket::Credential>(side.credential(body));
  }
  [[nodiscard]] std::unique_ptr<rpc::Client> client(rpc::Authenticate authenticate) const {
    auto options = rpc.client_options();
    options.authenticate = std::move(authenticate);
    return std::make_unique<rpc::Client>(std::move(options));
  }
};

Result<Bytes> send_proof(rpc::Client& client, const ticket::ApExchange& ap) {
  rpc::Request request = RpcCell::request("test", "auth");
  request.bytes = ap.request();
  auto result = client.call(request);
  if (!result.answer)
    return tl::unexpected(result.answer.error());
  return std::move(result.answer->bytes);
}

Result<Bytes> prove(rpc::Client& client, const ticket::Credential& credential) {
  TROTH_TRY(const auto channel, client.channel_binding());
  TROTH_TRY(const auto ap, ticket::ApExchange::begin(credential, channel));
  return send_proof(client, ap);
}

}  // namespace

TEST_CASE("without a session a server that demands tickets says nothing but status and auth") {
  Cell cell;
  cell.rpc.start();
  for (const char* operation : {"who", "echo", "no-such-operation"}) {
    CAPTURE(operation);
    const auto result = cell.rpc.client()->call(RpcCell::request("test", operation));
    CHECK_FAILS(result.answer, ErrorCode::Unauthenticated);
    CHECK(result.answer.error().message == "log in on this connection first");
  }
  CHECK(cell.touched == 0);
  CHECK_OK(cell.rpc.client()->call(RpcCell::request("test", "status")).answer);
}

TEST_CASE("a ticket becomes the session of its connection, before the first call") {
  Cell cell;
  cell.rpc.start();
  auto client = cell.client(authenticate_with(cell.credential()));
  for (int i = 0; i < 3; ++i) {
    const auto result = client->call(RpcCell::request("test", "who"));
    REQUIRE_OK(result.answer);
    CHECK(result.answer->result() == "alice");
  }
  CHECK(cell.rpc.server().stats().calls == 4);  // one of them the proof
  CHECK_FAILS(client->call(RpcCell::request("test", "no-such-operation")).answer,
              ErrorCode::Unsupported);
}

TEST_CASE("a session belongs to its connection and to nobody else's") {
  Cell cell;
  cell.rpc.start();
  auto one = cell.rpc.client();
  auto other = cell.rpc.client();
  REQUIRE_OK(one->connect(rpc::now() + test_support::kPatience));
  REQUIRE_OK(other->connect(rpc::now() + test_support::kPatience));
  const auto channel = one->channel_binding();
  REQUIRE_OK(channel);
  const auto credential = cell.credential();
  const auto ap = ticket::ApExchange::begin(*credential, *channel);
  REQUIRE_OK(ap);
  CHECK_REFUSED(send_proof(*other, *ap));  // moved to another connection
  const auto reply = send_proof(*one, *ap);
  REQUIRE_OK(reply);
  CHECK_OK(ap->finish(*reply));
  CHECK_OK(one->call(RpcCell::request("test", "who")).answer);
  CHECK_FAILS(other->call(RpcCell::request("test", "who")).answer, ErrorCode::Unauthenticated);
}

TEST_CASE("an ended session is answered expired, and a later ticket moves it on") {
  Cell cell;
  cell.rpc.start();
  auto client = cell.rpc.client();
  REQUIRE_OK(client->connect(rpc::now() + test_support::kPatience));
  REQUIRE_OK(prove(*client, *cell.credential(10min)));
  CHECK_OK(client->call(RpcCell::request("test", "who")).answer);
  const auto too_early = cell.credential(9min);
  CHECK(cell.left == 10min);
  cell.side.clock.advance(10min - 1ms);
  CHECK_OK(client->call(RpcCell::request("test", "who")).answer);
  CHECK(cell.left == 1ms);
  cell.side.clock.advance(1ms);
  for (int i = 0; i < 2; ++i) {
    const auto result = client->call(RpcCell::request("test", "who"));
    CHECK_FAILS(result.answer, ErrorCode::Expired);
    CHECK(client->connected());
  }
  CHECK(cell.touched == 2);
  CHECK_FAILS(prove(*client, *too_early), ErrorCode::Expired);
  // Somebody else on this connection, never.
  CHECK_FAILS(prove(*client, *cell.credential(60min, "mallory", 10'001)),
              ErrorCode::PermissionDenied);
  REQUIRE_OK(prove(*client, *cell.credential(60min)));
  CHECK_OK(client->call(RpcCell::request("test", "who")).answer);
  CHECK_FAILS(prove(*client, *cell.credential(30min)), ErrorCode::Stale);
  CHECK_OK(client->call(RpcCell::request("test", "who")).answer);
  CHECK(client->connected());
}

TEST_CASE("the client proves itself again by itself when its session has ended") {
  Cell cell;
  cell.rpc.start();
  int proofs = 0;
  auto client = cell.client([&](rpc::Client& connection, Instant deadline,
                                const rpc::Cancellation* cancellation) -> Result<Instant> {
    ++proofs;
    return authenticate_with(cell.credential(10min))(connection, deadline, cancellation);
  });
  REQUIRE_OK(client->call(RpcCell::request("test", "who")).answer);
  cell.side.clock.advance(10min);
  CHECK_FAILS(client->call(RpcCell::request("test", "who")).answer, ErrorCode::Expired);
  CHECK_OK(client->call(RpcCell::request("test", "who")).answer);
  CHECK(proofs == 2);
  CHECK(cell.rpc.server().stats().accepted == 1);
}

TEST_CASE("a server that cannot prove itself is sent nothing else") {
  Cell cell(false);
  // It has the certificate, and everything but the service's key.
  const auto other = std::make_shared<ServiceSide>(kTestService, 2);
  Bytes answer;
  SUBCASE("silence") {}
  SUBCASE("noise") {
    answer.assign(300, std::byte{5});
  }
  SUBCASE("a reply under another key") {
    // Its own ticket, its own proof, of another exchange.
    const auto credential = other->credential();
    const auto accepted = other->verifier.accept(
        other->request(credential, ticket_test::channel_of(1)), ticket_test::channel_of(1));
    REQUIRE_OK(accepted);
    answer = accepted->reply;
  }
  cell.rpc.add({.service = "test",
                .name = "auth",
                .handler = [&](Call&) -> Result<Reply> {
                  Reply reply;
                  reply.bytes = answer;
                  return reply;
                },
                .body_cap = 64 * 1024,
                .open_to_all = true});
  cell.rpc.start();
  auto client = cell.client(authenticate_with(cell.credential()));
  const auto result = client->call(RpcCell::request("test", "who"));
  CHECK_FAILS(result.answer, ErrorCode::Unauthenticated);
  CHECK(result.outcome == rpc::Outcome::NotSent);
  CHECK_FALSE(client->connected());
  CHECK(cell.touched == 0);
  CHECK(cell.rpc.server().stats().calls == 1);
}

TEST_CASE("what is wrong with a proof is not said, and leaves the connection as it was") {
  Cell cell;
  cell.rpc.start();
  auto client = cell.rpc.client();
  REQUIRE_OK(client->connect(rpc::now() + test_support::kPatience));
  const auto channel = client->channel_binding();
  const auto ap = ticket::ApExchange::begin(*cell.credential(), *channel);
  REQUIRE_OK(ap);
  for (const std::size_t at :
       {std::size_t{0}, ap->request().size() / 2, ap->request().size() - 1}) {
    Bytes wrong = ap->request();
    wrong[at] ^= std::byte{1};
    rpc::Request request = RpcCell::request("test", "auth");
    request.bytes = wrong;
    CHECK_REFUSED(client->call(request).answer);
  }
  CHECK_FAILS(client->call(RpcCell::request("test", "auth")).answer, ErrorCode::Unauthenticated);
  REQUIRE_OK(prove(*client, *cell.credential()));
  CHECK_OK(client->call(RpcCell::request("test", "who")).answer);
}
