// What strangers, thieves and wrong clocks get over real connections, from the KDC and from
// services that it knows.

#include "common/auth/authenticate.hpp"
#include "common/auth/session.hpp"
#include "common/crypto/random.hpp"
#include "common/ticket/exchange.hpp"
#include "tests/support/kdc_server.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using common::Bytes;
using common::ErrorCode;
using common::Result;
using nlohmann::json;
using test_support::AdminClient;
using test_support::in_a_while;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace rpc = common::rpc;
namespace ticket = common::ticket;

constexpr std::string_view kRootPassword = KdcFiles::kRootPassword;

// A service of the cell with a clock of its own.
class FileServer {
 public:
  FileServer(const KdcServer& kdc, const std::string& name) : kdc_(kdc) {
    auto verifier = std::make_shared<ticket::Verifier>(std::string(KdcFiles::kCell), name, clock);
    REQUIRE_OK(verifier->set_keys(kdc.files().keytab(name)));
    rpc::OperationTable table;
    REQUIRE_OK(table.add(common::auth::auth_operation("fileserver", verifier)));
    REQUIRE_OK(table.add({.service = "fileserver",
                          .name = "whoami",
                          .handler = [](rpc::Call& call) -> Result<rpc::Reply> {
                            const auto* me = common::auth::identity_of(call);
                            return rpc::Reply::json(json{{"name", me->client.name}});
                          },
                          .needs_session = true}));
    rpc::ServerOptions options;
    options.tls = kdc.files().server_tls();
    options.role = "fileserver";
    options.version = "0";
    auto server = rpc::Server::start(std::move(options), std::move(table));
    REQUIRE_OK(server);
    server_ = *std::move(server);
  }
  std::unique_ptr<rpc::Client> client(
      std::shared_ptr<const ticket::Credential> credential = nullptr) const {
    rpc::ClientOptions options;
    options.host = "127.0.0.1";
    options.port = server_->port();
    options.tls = kdc_.files().client_tls();
    if (credential)
      options.authenticate = common::auth::authenticate_with(std::move(credential));
    return std::make_unique<rpc::Client>(options);
  }

  test_support::OffsetClock clock;

 private:
  const KdcServer& kdc_;
  std::unique_ptr<rpc::Server> server_;
};

Result<rpc::Answer> call(rpc::Client& client, std::string_view service, std::string_view operation,
                         const Bytes& bytes = {}) {
  rpc::Request request;
  request.service = service;
  request.operation = operation;
  request.bytes = bytes;
  request.deadline = in_a_while();
  return client.call(request).answer;
}

// Shows a credential on this connection.
Result<rpc::Answer> show(rpc::Client& client, std::string_view service,
                         const ticket::Credential& credential) {
  if (!client.connected())
    TROTH_TRY_VOID(client.connect(in_a_while()));
  TROTH_TRY(const auto channel, client.channel_binding());
  TROTH_TRY(const auto ap, ticket::ApExchange::begin(credential, channel));
  TROTH_TRY(auto answer, call(client, service, "auth", ap.request()));
  TROTH_TRY_VOID(ap.finish(answer.bytes).map([](const ticket::ApExchange::Session&) {}));
  return answer;
}

struct Fixture {
  KdcServer kdc;
  FileServer fs1{kdc, "fileserver/fs1"};
  FileServer fs2{kdc, "fileserver/fs2"};
  ticket::Credential tgt = must(kdc.login("root", kRootPassword));
  ticket::Credential admin = must(kdc.login("root", kRootPassword, "kdc/admin"));
  ticket::Credential for1 = must(kdc.ticket(tgt, "fileserver/fs1"));
  ticket::Credential for2 = must(kdc.ticket(tgt, "fileserver/fs2"));

  static ticket::Credential must(Result<ticket::Credential> credential) {
    REQUIRE_OK(credential);
    return *std::move(credential);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "F42: over the wire, too, each ticket opens its own service's door only") {
  struct Door {
    const char* role;
    std::unique_ptr<rpc::Client> (*open)(Fixture&);
    const ticket::Credential* key;
  };
  const Door doors[] = {
      {"kdc", [](Fixture& f) { return f.kdc.stranger(); }, &admin},
      {"fileserver", [](Fixture& f) { return f.fs1.client(); }, &for1},
      {"fileserver", [](Fixture& f) { return f.fs2.client(); }, &for2},
  };
  for (const Door& door : doors) {
    for (const ticket::Credential* credential : {&tgt, &admin, &for1, &for2}) {
      CAPTURE(door.key->service);
      CAPTURE(credential->service);
      const auto client = door.open(*this);
      const auto answer = show(*client, door.role, *credential);
      if (credential == door.key)
        CHECK_OK(answer);
      else
        CHECK_FAILS(answer, ErrorCode::Unauthenticated);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "no captured request is worth anything on another connection") {
  const auto mine = fs1.client();
  REQUIRE_OK(mine->connect(in_a_while()));
  const auto channel = mine->channel_binding();
  REQUIRE_OK(channel);
  const auto ap = ticket::ApExchange::begin(for1, *channel);
  REQUIRE_OK(ap);
  const auto answer = call(*mine, "fileserver", "auth", ap->request());
  REQUIRE_OK(answer);
  CHECK_OK(ap->finish(answer->bytes));
  const auto thief = fs1.client();
  CHECK_FAILS(call(*thief, "fileserver", "auth", ap->request()), ErrorCode::Unauthenticated);
  CHECK_FAILS(call(*thief, "fileserver", "whoami"), ErrorCode::Unauthenticated);
  CHECK_OK(call(*mine, "fileserver", "whoami"));

  const auto door = kdc.stranger();
  REQUIRE_OK(door->connect(in_a_while()));
  const auto at_kdc = door->channel_binding();
  REQUIRE_OK(at_kdc);
  const auto tgs = ticket::begin_tgs({.service = "fileserver/fs1"}, tgt, *at_kdc);
  REQUIRE_OK(tgs);
  CHECK_OK(call(*door, "kdc", "tgs", *tgs));
  const auto other = kdc.stranger();
  CHECK_FAILS(call(*other, "kdc", "tgs", *tgs), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Fixture, "a connection speaks for one principal for its whole life") {
  kdc.add_user("alice", "alices long word");
  const auto alices = kdc.login("alice", "alices long word");
  REQUIRE_OK(alices);
  const auto theirs = kdc.ticket(*alices, "fileserver/fs1");
  REQUIRE_OK(theirs);
  const auto client = fs1.client();
  REQUIRE_OK(show(*client, "fileserver", for1));
  CHECK_FAILS(show(*client, "fileserver", *theirs), ErrorCode::PermissionDenied);
  const auto me = call(*client, "fileserver", "whoami");
  REQUIRE_OK(me);
  CHECK(me->result()["name"] == "root");
}

TEST_CASE_FIXTURE(Fixture, "F27: sessions at services whose clocks are an hour slow or fast") {
  fs1.clock.advance(-1h);
  auto client = fs1.client();
  const auto slow = show(*client, "fileserver", for1);
  CHECK_FAILS(slow, ErrorCode::Unauthenticated);
  CHECK(test_support::said(slow).find("clock") != std::string::npos);

  fs2.clock.advance(1h);
  client = fs2.client();
  CHECK_OK(show(*client, "fileserver", for2));
  CHECK_OK(call(*client, "fileserver", "whoami"));
  // Ten hours by the ticket, nine by everybody else's clock.
  fs2.clock.advance(9h);
  CHECK_FAILS(call(*client, "fileserver", "whoami"), ErrorCode::Expired);
  CHECK_FAILS(show(*client, "fileserver", for2), ErrorCode::Expired);
}

TEST_CASE_FIXTURE(Fixture, "services go on while the KDC is down") {
  kdc.stop();
  const auto client = fs1.client();
  CHECK_OK(show(*client, "fileserver", for1));
  CHECK_OK(call(*client, "fileserver", "whoami"));
  kdc.start();
  CHECK_OK(kdc.ticket(tgt, "fileserver/fs2"));
}

TEST_CASE_FIXTURE(Fixture,
                  "F43: a stranger cannot tell a name that exists by any answer's text or size") {
  kdc.add_user("alice", "alices long word");
  AdminClient stranger(kdc.client().client_options(0));
  const auto preauth = [&](const char* name) {
    return stranger.must("preauth", {{"client", name}});
  };
  // All of one length, so that only what the KDC adds can differ.
  const json known = preauth("alice");
  for (const char* name : {"alicf", "bobby", "zzzzz"}) {
    const json unknown = preauth(name);
    CHECK(unknown.dump().size() == known.dump().size());
    CHECK(unknown["log2_n"] == known["log2_n"]);
    CHECK(unknown == preauth(name));
  }
  const auto told = [&](const char* name) {
    const auto answer = kdc.login(name, "not the password");
    CHECK_FAILS(answer, ErrorCode::Unauthenticated);
    return answer ? std::string() : answer.error().message;
  };
  const std::string wrong = told("alice");
  CHECK(told("bobby") == wrong);
  CHECK(wrong.find("alice") == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "too many attempts are told how long to wait, known name or not") {
  kdc.add_user("alice", "alices long word");
  const auto door = kdc.stranger();
  REQUIRE_OK(door->connect(in_a_while()));
  const auto channel = door->channel_binding();
  REQUIRE_OK(channel);
  const auto key = ticket::new_key();
  REQUIRE_OK(key);
  const auto guess_until_refused = [&](const char* name) {
    ticket::AsWanted wanted;
    wanted.cell = KdcFiles::kCell;
    wanted.client = name;
    for (int i = 0; i < 20; ++i) {
      const auto request = ticket::begin_as(wanted, *key, *channel);
      REQUIRE_OK(request);
      auto answer = call(*door, "kdc", "as", *request);
      REQUIRE(!answer);
      if (answer.error().code != ErrorCode::Unauthenticated)
        return std::move(answer).error();
    }
    return common::Error{};
  };
  const common::Error known = guess_until_refused("alice");
  const common::Error unknown = guess_until_refused("bobby");
  for (const common::Error& error : {known, unknown}) {
    CHECK(error.code == ErrorCode::Overloaded);
    CHECK(error.message.starts_with("too many attempts for this name or from this address; wait "));
    CHECK(error.retry_after > 0ms);
    CHECK(error.retry_after <= 60s);
  }
  // root, from here, is another name.
  CHECK_OK(kdc.login("root", kRootPassword));
}

TEST_CASE("a login, the tickets after it and administration go over one connection") {
  KdcServer kdc;
  const auto client = kdc.client();
  const auto password = common::crypto::Secret::copy_of(common::as_bytes(kRootPassword));
  const auto log_in = [&](std::string_view service) {
    ticket::AsWanted wanted;
    wanted.client = "root";
    wanted.service = service;
    return client.login(std::move(wanted), password, in_a_while());
  };
  const auto before = kdc.stats().accepted;
  const auto tgt = log_in("kdc/tgs");
  REQUIRE_OK(tgt);
  // A copy has the same one, and what was refused leaves it open.
  const auto copy = client;
  CHECK_FAILS(copy.ticket({.service = "fileserver/none"}, *tgt, in_a_while()), ErrorCode::NotFound);
  CHECK_OK(copy.ticket({.service = "fileserver/fs1"}, *tgt, in_a_while()));
  CHECK_OK(client.login({}, kdc.files().keytab("fileserver/fs1"), in_a_while()));
  const auto fresh = log_in("kdc/admin");
  REQUIRE_OK(fresh);
  auto as_root = client.connect(
      in_a_while(),
      common::auth::authenticate_with(std::make_shared<const ticket::Credential>(fresh->clone())));
  REQUIRE_OK(as_root);
  CHECK_OK(call(**as_root, "kdc", "whoami"));
  CHECK(kdc.stats().accepted == before + 1);
  // Whoever has become somebody on it keeps it; the next exchange has another one.
  CHECK_OK(client.ticket({.service = "fileserver/fs1"}, *tgt, in_a_while()));
  CHECK(kdc.stats().accepted == before + 2);
  // One that the KDC has ended is not used.
  const auto limit = in_a_while();
  while (kdc.stats().connections > 0 && rpc::now() < limit)
    kdc.hang_up();
  REQUIRE(kdc.stats().connections == 0);
  CHECK_OK(client.ticket({.service = "fileserver/fs1"}, *tgt, in_a_while()));
  CHECK(kdc.stats().accepted == before + 3);
}

TEST_CASE("a connection that ends as it is used again costs an exchange nothing") {
  KdcServer kdc;
  rpc::OperationTable whole;
  REQUIRE_OK(kdc.kdc().add_operations(whole));
  rpc::OperationTable cutting;
  std::atomic<bool> cut{false};
  for (const char* name : {"preauth", "as", "tgs"}) {
    rpc::Operation operation = *whole.find("kdc", name);
    operation.handler = [&cut, answer = operation.handler](rpc::Call& call) -> Result<rpc::Reply> {
      if (!cut.exchange(false))
        return answer(call);
      // Half way through, as a KDC that is restarted does it.
      rpc::Reply half;
      half.source_size = 1000;
      half.source = [](std::span<std::byte>) -> Result<std::span<const std::byte>> {
        return common::fail(ErrorCode::Internal, "cut");
      };
      return half;
    };
    REQUIRE_OK(cutting.add(std::move(operation)));
  }
  rpc::ServerOptions options;
  options.tls = kdc.files().server_tls();
  options.role = "kdc";
  options.version = "0";
  const auto server = rpc::Server::start(std::move(options), std::move(cutting));
  REQUIRE_OK(server);
  const auto client = kdc.files().client((*server)->port());
  const auto password = common::crypto::Secret::copy_of(common::as_bytes(kRootPassword));
  ticket::AsWanted wanted;
  wanted.client = "root";
  const auto tgt = client.login(wanted, password, in_a_while());
  REQUIRE_OK(tgt);
  for (int i = 0; i < 2; ++i) {
    cut = true;
    CHECK_OK(client.ticket({.service = "fileserver/fs1"}, *tgt, in_a_while()));
    CHECK_FALSE(cut);
    cut = true;
    CHECK_OK(client.login(wanted, password, in_a_while()));
    CHECK_FALSE(cut);
  }
  // A connection of its own that ends says more, and is the caller's to judge.
  const auto another = kdc.files().client((*server)->port());
  cut = true;
  CHECK_FAILS(another.login(wanted, password, in_a_while()), ErrorCode::Unavailable);
}
