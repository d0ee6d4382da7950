#include "kdc/exchange.hpp"

#include <time.h>

#include <algorithm>

#include "common/crypto/random.hpp"
#include "common/ticket/proof.hpp"
#include "common/ticket/verifier.hpp"
#include "crypto_count.hpp"
#include "kdc/decoy.hpp"
#include "kdc/ticket_policy.hpp"
#include "tests/support/kdc_server.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::Result;
using common::crypto::Secret;
using kdc::Actor;
using kdc::Millis;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace ticket = common::ticket;

// The exchanges without a network: channels are ours to choose.
struct Fixture {
  KdcServer server;
  ticket::Channel channel{};
  std::string address = "192.0.2.1";
  Secret root_key;

  Fixture() {
    channel[0] = std::byte{1};
    root_key = key_of("root", KdcFiles::kRootPassword);
  }
  kdc::Exchanges& exchanges() { return server.kdc().exchanges(); }
  kdc::Database& database() { return server.kdc().database(); }
  Actor root() { return {*database().principals().id_of("root"), "root", address, std::nullopt}; }
  Secret key_of(std::string_view user, std::string_view password) {
    const auto preauth = exchanges().preauth(std::string(user));
    REQUIRE_OK(preauth);
    auto key = common::crypto::scrypt(Secret::copy_of(common::as_bytes(password)), preauth->salt,
                                      preauth->parameters);
    REQUIRE_OK(key);
    return *std::move(key);
  }
  // Its key is what counts, not how it was made.
  Secret add_user(const std::string& name) {
    auto key = ticket::new_key();
    REQUIRE_OK(key);
    std::array<std::byte, 16> random{};
    REQUIRE_OK(database().principals().add_user(
        root(), {.kind = kdc::Kind::User, .name = name, .id = std::nullopt, .policy = {}},
        {kdc::password_salt(KdcFiles::kCell, name, random),
         common::crypto::ScryptParameters::standard(), key->clone()}));
    return *std::move(key);
  }
  static ticket::AsWanted wanted(std::string_view client,
                                 std::string_view service = kdc::kTgsService) {
    return {.cell = std::string(KdcFiles::kCell),
            .client = std::string(client),
            .service = std::string(service),
            .client_kvno = 0,
            .life = Millis(0),
            .renew = 24h * 7};
  }
  Result<ticket::Credential> as(const ticket::AsWanted& want, const Secret& key) {
    TROTH_TRY(const Bytes request, ticket::begin_as(want, key, channel));
    TROTH_TRY(const Bytes reply, exchanges().as(request, channel, address));
    return ticket::finish_as(want, key, request, reply, server.clock.now());
  }
  Result<ticket::Credential> as(std::string_view client, const Secret& key,
                                std::string_view service = kdc::kTgsService) {
    return as(wanted(client, service), key);
  }
  Result<ticket::Credential> tgs(const ticket::Credential& tgt, std::string_view service,
                                 bool renew = false, Millis life = Millis(0)) {
    const ticket::TgsWanted want{.service = std::string(service), .life = life, .renew = renew};
    TROTH_TRY(const Bytes request, ticket::begin_tgs(want, tgt, channel));
    TROTH_TRY(const Bytes reply, exchanges().tgs(request, channel, address));
    return ticket::finish_tgs(want, tgt, request, reply, server.clock.now());
  }
  // What the service sees of it.
  Result<ticket::Accepted> shown(const ticket::Credential& credential,
                                 const ticket::Keytab& keytab) {
    ticket::Verifier verifier(std::string(KdcFiles::kCell), keytab.principal(), server.clock);
    REQUIRE_OK(verifier.set_keys(keytab));
    TROTH_TRY(const auto ap, ticket::ApExchange::begin(credential, channel));
    return verifier.accept(ap.request(), channel);
  }
  std::vector<kdc::AuditRecord> audit(const std::string& event) {
    REQUIRE_OK(database().audit().flush());
    auto records =
        database().audit().list({.after = 0, .limit = 1000, .event = event, .subject = {}});
    REQUIRE_OK(records);
    return *std::move(records);
  }
};

Secret other_key() {
  auto key = ticket::new_key();
  REQUIRE_OK(key);
  return *std::move(key);
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a password becomes a TGT, that a service's ticket, that an identity") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->client.name == "root");
  CHECK(tgt->client.kind == ticket::Kind::User);
  CHECK(tgt->validity.initial);
  CHECK(tgt->validity.end - tgt->validity.start == 10h);
  REQUIRE(tgt->validity.renew_till);
  CHECK(*tgt->validity.renew_till - tgt->validity.start == 24h * 7);

  const auto credential = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  CHECK(!credential->validity.initial);
  CHECK(!credential->validity.renew_till);
  CHECK(credential->validity.end == tgt->validity.end);
  CHECK(credential->validity.authenticated == tgt->validity.authenticated);

  const auto accepted = shown(*credential, server.files().keytab("fileserver/fs1"));
  REQUIRE_OK(accepted);
  CHECK(accepted->identity.client.name == "root");
  CHECK(accepted->identity.in_group(ticket::kAdministrators));
  CHECK(accepted->identity.directory == *database().groups().directory_version());
}

TEST_CASE_FIXTURE(Fixture, "a service and a host log in with their keytabs, without renewal") {
  for (const std::string name : {"fileserver/fs1", "host/desk7"}) {
    CAPTURE(name);
    const auto keytab = server.files().keytab(name);
    const auto tgt = as(name, keytab.newest()->key);
    REQUIRE_OK(tgt);
    CHECK(!tgt->validity.renew_till);
    CHECK_OK(tgs(*tgt, "fileserver/fs2"));
  }
}

TEST_CASE_FIXTURE(Fixture, "session keys and ticket ids are fresh for every ticket") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto one = tgs(*tgt, "fileserver/fs1");
  const auto two = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(one);
  REQUIRE_OK(two);
  CHECK(!common::crypto::constant_time_equal(one->session_key.bytes(), two->session_key.bytes()));
  const auto keytab = server.files().keytab("fileserver/fs1");
  const auto first = shown(*one, keytab);
  const auto second = shown(*two, keytab);
  REQUIRE_OK(first);
  REQUIRE_OK(second);
  CHECK(first->identity.ticket != second->identity.ticket);
}

TEST_CASE_FIXTURE(Fixture, "unknown name, wrong password and wrong keytab are answered alike") {
  const auto refusal = [&](std::string_view client, std::uint32_t kvno) {
    auto want = wanted(client);
    want.client_kvno = kvno;
    const auto answer = as(want, other_key());
    REQUIRE(!answer);
    CHECK(answer.error().code == ErrorCode::Unauthenticated);
    return answer.error().message;
  };
  const std::string wrong = refusal("root", 0);
  for (const std::uint32_t kvno : {0U, 1U, 7U}) {
    for (const char* name : {"root", "nobody-here", "fileserver/fs1", "fileserver/none",
                             "host/desk7", "kdc/tgs", "kdc/admin"}) {
      CAPTURE(name);
      server.clock.advance(1min);
      CHECK(refusal(name, kvno) == wrong);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "preauth tells the same kind of salt for every name, again and again") {
  add_user("alice");
  const auto shape = [&](const std::string& name) {
    const auto one = exchanges().preauth(name);
    const auto two = exchanges().preauth(name);
    REQUIRE_OK(one);
    REQUIRE_OK(two);
    CHECK(one->salt == two->salt);
    CHECK(one->parameters.log2_n() == two->parameters.log2_n());
    return one->salt.size() - name.size();
  };
  const auto known = shape("alice");
  for (const char* name : {"nobody-here", "root", "fileserver/fs1", "host/other", "kdc/tgs"})
    CHECK(shape(name) == known);
  CHECK_FAILS(exchanges().preauth("No Such Form"), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Fixture, "refusing takes the same work whether or not the name exists") {
  add_user("alice");
  const Secret wrong = other_key();
  struct Sample {
    const char* name;
    std::vector<std::int64_t> cpu;
    kdc_test::CryptoCount work{};
  };
  std::array<Sample, 4> samples{
      {{"alice", {}}, {"nobody", {}}, {"fileserver/fs1", {}}, {"fileserver/none", {}}}};
  const auto cpu_now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  };
  // Interleaved, so that what else this machine does meets all.
  for (int i = 0; i < 200; ++i) {
    for (Sample& sample : samples) {
      server.clock.advance(12s);
      const auto want = wanted(sample.name);
      const auto request = ticket::begin_as(want, wrong, channel);
      REQUIRE_OK(request);
      const auto counted = kdc_test::crypto_count();
      const auto before = cpu_now();
      CHECK_FAILS(exchanges().as(*request, channel, address), ErrorCode::Unauthenticated);
      sample.cpu.push_back(cpu_now() - before);
      const auto now = kdc_test::crypto_count();
      for (std::size_t k = 0; k < now.size(); ++k)
        sample.work[k] += now[k] - counted[k];
    }
  }
  const auto median = [](std::vector<std::int64_t>& all) {
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2),
                     all.end());
    return static_cast<double>(all[all.size() / 2]);
  };
  for (Sample& sample : samples) {
    CAPTURE(std::string(sample.name));
    CHECK(sample.work == samples[0].work);
    const double ratio = median(sample.cpu) / median(samples[0].cpu);
    CHECK(ratio > 0.8);
    CHECK(ratio < 1.25);
  }
  CHECK(samples[0].work[0] > 0);
  CHECK(samples[0].work[1] > 0);
  CHECK(samples[0].work[3] > 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "preauth, and a kvno that nobody has, take the same work for all names") {
  add_user("alice");
  const Secret wrong = other_key();
  const auto work_of = [&](auto&& run) {
    const auto before = kdc_test::crypto_count();
    run();
    auto now = kdc_test::crypto_count();
    for (std::size_t k = 0; k < now.size(); ++k)
      now[k] -= before[k];
    return now;
  };
  for (const std::uint32_t kvno : {0U, 1U, 7U}) {
    const auto refuse = [&](const char* name) {
      server.clock.advance(1min);
      auto want = wanted(name);
      want.client_kvno = kvno;
      const auto request = ticket::begin_as(want, wrong, channel);
      REQUIRE_OK(request);
      return work_of([&] {
        CHECK_FAILS(exchanges().as(*request, channel, address), ErrorCode::Unauthenticated);
      });
    };
    const auto ask = [&](const char* name) {
      return work_of([&] { CHECK_OK(exchanges().preauth(name)); });
    };
    const auto refused = refuse("alice");
    const auto asked = ask("alice");
    CHECK(refused[3] == 1);  // one key is opened
    CHECK(asked[1] > 0);
    CHECK(asked[3] == 0);
    for (const char* name :
         {"root", "nobody", "fileserver/fs1", "fileserver/none", "host/desk7", "kdc/tgs"}) {
      CAPTURE(name);
      CAPTURE(kvno);
      CHECK(refuse(name) == refused);
      CHECK(ask(name) == asked);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "refused attempts do no cryptography but for counting them") {
  const Secret wrong = other_key();
  const auto work_of = [&](bool& refused) {
    const auto request = ticket::begin_as(wanted("root"), wrong, channel);
    REQUIRE_OK(request);
    const auto before = kdc_test::crypto_count();
    const auto answer = exchanges().as(*request, channel, address);
    refused = answer.error().code == ErrorCode::Overloaded;
    auto now = kdc_test::crypto_count();
    for (std::size_t k = 0; k < now.size(); ++k)
      now[k] -= before[k];
    return now;
  };
  bool refused = false;
  kdc_test::CryptoCount work{};
  for (int i = 0; i < 20 && !refused; ++i)
    work = work_of(refused);
  REQUIRE(refused);
  CHECK(work == kdc_test::CryptoCount{3, 0, 0, 0, 0});  // the names of the three counters
}

TEST_CASE_FIXTURE(Fixture, "F43: ten thousand guesses get a handful of tries, known name or not") {
  const Secret alice = add_user("alice");
  const Secret wrong = other_key();
  struct Tally {
    int tried = 0;
    int refused = 0;
  };
  const auto guess = [&](std::string_view name, int times) {
    Tally tally;
    const auto want = wanted(name);
    for (int i = 0; i < times; ++i) {
      // A source of its own for every guess: only the name is limited.
      address = fmt::format("198.51.{}.{}", i / 250 % 250, i % 250);
      const auto request = ticket::begin_as(want, wrong, channel);
      REQUIRE_OK(request);
      const auto answer = exchanges().as(*request, channel, address);
      REQUIRE(!answer);
      if (answer.error().code == ErrorCode::Unauthenticated) {
        ++tally.tried;
      } else {
        CHECK(answer.error().code == ErrorCode::Overloaded);
        CHECK(answer.error().retry_after > 0ms);
        CHECK(answer.error().retry_after <= 60s);
        ++tally.refused;
      }
    }
    return tally;
  };
  const Tally known = guess("alice", 5000);
  const Tally unknown = guess("nobody", 5000);
  CHECK(known.tried + known.refused == 5000);
  // Ten, and what the time that it took refilled.
  CHECK(known.tried >= 10);
  CHECK(known.tried <= 14);
  CHECK(std::abs(known.tried - unknown.tried) <= 2);

  // A source is limited, too, over all names.
  address = "203.0.113.9";
  int tried = 0;
  for (int i = 0; i < 300; ++i) {
    const auto want = wanted(fmt::format("user{}", i));
    const auto request = ticket::begin_as(want, wrong, channel);
    REQUIRE_OK(request);
    tried += exchanges().as(*request, channel, address).error().code == ErrorCode::Unauthenticated;
  }
  CHECK(tried >= 60);
  CHECK(tried <= 70);

  // Nobody is locked out for good; and after that a right password is right.
  address = "203.0.113.77";
  server.clock.advance(70s);
  CHECK_OK(as("alice", alice));
}

TEST_CASE_FIXTURE(Fixture, "nobody can lock somebody else out of his own machine") {
  const Secret alice = add_user("alice");
  address = "192.0.2.50";
  REQUIRE_OK(as("alice", alice));
  const Secret wrong = other_key();
  for (int i = 0; i < 100; ++i) {
    address = fmt::format("198.51.100.{}", i);
    CHECK(!as("alice", wrong));
  }
  address = "198.51.100.200";
  CHECK_FAILS(as("alice", alice), ErrorCode::Overloaded);
  address = "192.0.2.50";
  CHECK_OK(as("alice", alice));
}

TEST_CASE_FIXTURE(Fixture, "refused attempts forgive nothing over a restart") {
  add_user("alice");
  const Secret wrong = other_key();
  int tried = 0;
  for (int i = 0; i < 20; ++i)
    tried += as("alice", wrong).error().code == ErrorCode::Unauthenticated;
  CHECK(tried <= 12);
  server.stop();
  server.start();
  CHECK_FAILS(as("alice", wrong), ErrorCode::Overloaded);
}

TEST_CASE_FIXTURE(Fixture, "a proof is worth nothing on another connection") {
  const auto want = wanted("root");
  const auto request = ticket::begin_as(want, root_key, channel);
  REQUIRE_OK(request);
  ticket::Channel other = channel;
  other[31] = std::byte{9};
  CHECK_FAILS(exchanges().as(*request, other, address), ErrorCode::Unauthenticated);
  CHECK_OK(exchanges().as(*request, channel, address));

  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto tgs_request = ticket::begin_tgs({.service = "fileserver/fs1"}, *tgt, channel);
  REQUIRE_OK(tgs_request);
  CHECK_FAILS(exchanges().tgs(*tgs_request, other, address), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Fixture,
                  "a disabled principal learns so with the right key only, and gets nothing") {
  const Secret alice = add_user("alice");
  const auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  REQUIRE_OK(database().principals().set_disabled(root(), "alice", true));
  const auto answer = as("alice", alice);
  CHECK_FAILS(answer, ErrorCode::PermissionDenied);
  CHECK(test_support::said(answer) == "permission_denied: alice is disabled; ask an administrator");
  CHECK_FAILS(as("alice", other_key()), ErrorCode::Unauthenticated);
  // Nor by the ticket from before.
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::PermissionDenied);
  CHECK_FAILS(tgs(*tgt, "kdc/tgs", true), ErrorCode::PermissionDenied);
  REQUIRE_OK(database().principals().set_disabled(root(), "alice", false));
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
  REQUIRE_OK(database().principals().remove(root(), "alice"));
  CHECK(!tgs(*tgt, "fileserver/fs1"));
}

TEST_CASE_FIXTURE(Fixture,
                  "with a password that has ended, setting a new one is all that is left") {
  const Secret alice = add_user("alice");
  const auto end = kdc::time_now(server.clock) + 24h * 20;
  REQUIRE_OK(database().principals().set_password_end(root(), "alice", end));
  auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  CHECK(tgt->password_end == end);
  CHECK(!tgt->password_ends_soon);
  server.clock.advance(24h * 7);
  tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  CHECK(tgt->password_ends_soon);
  server.clock.advance(24h * 14);
  const auto answer = as("alice", alice);
  CHECK_FAILS(answer, ErrorCode::Expired);
  CHECK(test_support::said(answer) ==
        "expired: the password of alice has ended; set a new one: troth passwd alice");
  CHECK_OK(as("alice", alice, kdc::kAdminService));
}

TEST_CASE_FIXTURE(Fixture,
                  "a long-term key gives TGTs and tickets for administration, nothing else") {
  CHECK_FAILS(as("root", root_key, "fileserver/fs1"), ErrorCode::InvalidArgument);
  CHECK_FAILS(as("root", root_key, "fileserver/none"), ErrorCode::InvalidArgument);
  const auto admin = as("root", root_key, kdc::kAdminService);
  REQUIRE_OK(admin);
  CHECK(admin->validity.initial);
  CHECK(admin->validity.end - admin->validity.start == 5min);
  // One from a TGT is not fresh.
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto later = tgs(*tgt, kdc::kAdminService);
  REQUIRE_OK(later);
  CHECK(!later->validity.initial);
}

TEST_CASE_FIXTURE(Fixture,
                  "tickets are given for services only: no user's or host's key seals one") {
  add_user("alice");
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK_FAILS(tgs(*tgt, "fileserver/none"), ErrorCode::NotFound);
  CHECK(!tgs(*tgt, "host/desk7"));
  CHECK(!tgs(*tgt, "alice"));
}

TEST_CASE_FIXTURE(Fixture,
                  "a TGT is renewed until its time, and what follows from it ends with it") {
  auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto till = *tgt->validity.renew_till;
  for (int i = 0; i < 33; ++i) {
    server.clock.advance(5h);
    if (kdc::time_now(server.clock) >= till)
      break;
    auto renewed = tgs(*tgt, "kdc/tgs", true);
    REQUIRE_OK(renewed);
    CHECK(renewed->validity.end <= till);
    CHECK(renewed->validity.renew_till == till);
    CHECK(!renewed->validity.initial);
    tgt = std::move(renewed);
    const auto credential = tgs(*tgt, "fileserver/fs1");
    REQUIRE_OK(credential);
    CHECK(credential->validity.end <= tgt->validity.end);
  }
  CHECK(tgt->validity.end == till);
  server.clock.advance(5h);
  CHECK_FAILS(tgs(*tgt, "kdc/tgs", true), ErrorCode::Expired);
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::Expired);
}

TEST_CASE_FIXTURE(Fixture, "what asks for a renewal must mean the TGT, and nothing else may") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(!tgs(*tgt, "kdc/tgs", false));
  CHECK(!tgs(*tgt, "fileserver/fs1", true));
  const auto host = server.files().keytab("host/desk7");
  const auto theirs = as("host/desk7", host.newest()->key);
  REQUIRE_OK(theirs);
  CHECK_FAILS(tgs(*theirs, "kdc/tgs", true), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Fixture,
                  "F42: only a TGT is a TGT, and only a service's own tickets are its own") {
  const auto tgt = as("root", root_key);
  const auto admin = as("root", root_key, kdc::kAdminService);
  REQUIRE_OK(tgt);
  REQUIRE_OK(admin);
  const auto one = tgs(*tgt, "fileserver/fs1");
  const auto two = tgs(*tgt, "fileserver/fs2");
  REQUIRE_OK(one);
  REQUIRE_OK(two);
  // As a TGT.
  for (const auto* credential : {&*one, &*two, &*admin})
    CHECK_FAILS(tgs(*credential, "fileserver/fs1"), ErrorCode::Unauthenticated);
  // At a service.
  const auto fs1 = server.files().keytab("fileserver/fs1");
  const auto fs2 = server.files().keytab("fileserver/fs2");
  CHECK_OK(shown(*one, fs1));
  CHECK_OK(shown(*two, fs2));
  for (const auto* credential : {&*tgt, &*admin, &*two})
    CHECK_FAILS(shown(*credential, fs1), ErrorCode::Unauthenticated);
  for (const auto* credential : {&*tgt, &*admin, &*one})
    CHECK_FAILS(shown(*credential, fs2), ErrorCode::Unauthenticated);
  // At the KDC's own session.
  const auto at_admin = [&](const ticket::Credential& credential) {
    const auto ap = ticket::ApExchange::begin(credential, channel);
    REQUIRE_OK(ap);
    return server.kdc().own_keys().admin()->accept(ap->request(), channel);
  };
  CHECK_OK(at_admin(*admin));
  for (const auto* credential : {&*tgt, &*one, &*two})
    CHECK_FAILS(at_admin(*credential), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Fixture, "F42: no message of one exchange is taken for one of another") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto credential = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  const auto as_want = wanted("root");
  const ticket::TgsWanted tgs_want{.service = "fileserver/fs1"};
  const auto as_request = ticket::begin_as(as_want, root_key, channel);
  const auto tgs_request = ticket::begin_tgs(tgs_want, *tgt, channel);
  REQUIRE_OK(as_request);
  REQUIRE_OK(tgs_request);
  const auto as_reply = exchanges().as(*as_request, channel, address);
  const auto tgs_reply = exchanges().tgs(*tgs_request, channel, address);
  const auto ap = ticket::ApExchange::begin(*credential, channel);
  const auto proof =
      ticket::make_travelling_proof(*credential, {}, {}, kdc::time_now(server.clock));
  REQUIRE_OK(as_reply);
  REQUIRE_OK(tgs_reply);
  REQUIRE_OK(ap);
  REQUIRE_OK(proof);
  ticket::Verifier verifier(std::string(KdcFiles::kCell), "fileserver/fs1", server.clock);
  REQUIRE_OK(verifier.set_keys(server.files().keytab("fileserver/fs1")));
  const std::vector<std::pair<const char*, Bytes>> all{
      {"as-req", *as_request},   {"as-rep", *as_reply},
      {"tgs-req", *tgs_request}, {"tgs-rep", *tgs_reply},
      {"ap-req", ap->request()}, {"proof", *proof},
      {"ticket", tgt->ticket},   {"service ticket", credential->ticket}};
  const auto now = server.clock.now();
  for (const auto& row : all) {
    const Bytes& bytes = row.second;
    const std::string_view is(row.first);
    CAPTURE(is);
    CHECK(exchanges().as(bytes, channel, address).has_value() == (is == "as-req"));
    CHECK(exchanges().tgs(bytes, channel, address).has_value() == (is == "tgs-req"));
    CHECK(verifier.accept(bytes, channel).has_value() == (is == "ap-req"));
    CHECK(ticket::finish_as(as_want, root_key, *as_request, bytes, now).has_value() ==
          (is == "as-rep"));
    CHECK(ticket::finish_tgs(tgs_want, *tgt, *tgs_request, bytes, now).has_value() ==
          (is == "tgs-rep"));
    CHECK(!ap->finish(bytes));
  }
}

TEST_CASE_FIXTURE(Fixture, "every bit of an AS or TGS request counts, and so does its length") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto want = wanted("root");
  const auto as_request = ticket::begin_as(want, root_key, channel);
  const auto tgs_request = ticket::begin_tgs({.service = "fileserver/fs1"}, *tgt, channel);
  REQUIRE_OK(as_request);
  REQUIRE_OK(tgs_request);
  const auto try_all = [&](const Bytes& request, auto&& run) {
    for (std::size_t size = 0; size < request.size(); ++size)
      CHECK(!run(ByteView(request).first(size)));
    for (std::size_t bit = 0; bit < request.size() * 8; ++bit) {
      Bytes changed = request;
      changed[bit / 8] ^= std::byte{1} << (bit % 8);
      CAPTURE(bit);
      CHECK(!run(changed));
    }
  };
  try_all(*as_request, [&](ByteView bytes) {
    server.clock.advance(15s);  // so that no limit ends the test
    return exchanges().as(bytes, channel, address);
  });
  // The clock has moved on: a ticket of the same age again.
  const auto fresh = as("root", root_key);
  REQUIRE_OK(fresh);
  const auto again = ticket::begin_tgs({.service = "fileserver/fs1"}, *fresh, channel);
  REQUIRE_OK(again);
  CHECK_OK(exchanges().tgs(*again, channel, address));
  try_all(*again, [&](ByteView bytes) { return exchanges().tgs(bytes, channel, address); });
}

TEST_CASE_FIXTURE(Fixture,
                  "F27: the KDC's clock rules, and a service off by an hour does as designed") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto credential = tgs(*tgt, "fileserver/fs1", false, 2h);
  REQUIRE_OK(credential);
  // What the client learns is the KDC's time, whatever its own wall clock shows.
  CHECK(credential->kdc_time(server.clock.now()) - kdc::time_now(server.clock) < 1s);
  const auto at = [&](Millis offset) {
    test_support::OffsetClock clock;
    clock.advance(offset);
    ticket::Verifier verifier(std::string(KdcFiles::kCell), "fileserver/fs1", clock);
    REQUIRE_OK(verifier.set_keys(server.files().keytab("fileserver/fs1")));
    const auto ap = ticket::ApExchange::begin(*credential, channel);
    REQUIRE_OK(ap);
    return verifier.accept(ap->request(), channel).map([](const ticket::Accepted&) {});
  };
  CHECK_OK(at(0h));
  CHECK_OK(at(-4min));
  const auto slow = at(-1h);
  CHECK_FAILS(slow, ErrorCode::Unauthenticated);
  CHECK(test_support::said(slow).find("clock") != std::string::npos);
  CHECK_OK(at(1h));  // and ends sessions an hour early
  CHECK_FAILS(at(2h), ErrorCode::Expired);

  // The KDC's own clock set ahead and back: what it gave ends by it.
  server.clock.advance(1h);
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
  server.clock.advance(-2h);
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::Unauthenticated);
  CHECK_OK(as("root", root_key));
  server.clock.advance(24h * 365 * 10);
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::Expired);
  CHECK_OK(as("root", root_key));
}

TEST_CASE_FIXTURE(Fixture,
                  "the TGS key is rotated by age while tickets under the old one stay good") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->kvno == 1);
  server.clock.advance(24h * 30);
  const auto late = as("root", root_key);
  REQUIRE_OK(late);
  CHECK(late->kvno == 1);
  server.kdc().housekeeping();
  const auto fresh = as("root", root_key);
  REQUIRE_OK(fresh);
  CHECK(fresh->kvno == 2);
  CHECK_OK(tgs(*fresh, "fileserver/fs1"));
  CHECK_OK(tgs(*late, "fileserver/fs1"));
  const auto renewed = tgs(*late, "kdc/tgs", true);
  REQUIRE_OK(renewed);
  CHECK(renewed->kvno == 2);
  server.clock.advance(24h);
  server.kdc().housekeeping();
  CHECK_FAILS(tgs(*late, "fileserver/fs1"), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Fixture, "a TGT under a key that was made this moment is good") {
  server.clock.advance(24h * 30);
  // As housekeeping does it, stopped in the middle.
  REQUIRE_OK(database().keys().rotate_own_keys());
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->kvno == 2);
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
}

TEST_CASE_FIXTURE(Fixture,
                  "rotating a service's key moves new tickets to it, and --now ends the old") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto before = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(before);
  const auto id = *database().principals().id_of("fileserver/fs1");
  const auto kvno = database().keys().rotate(root(), id);
  REQUIRE_OK(kvno);
  CHECK(tgs(*tgt, "fileserver/fs1")->kvno == 1);  // not yet
  REQUIRE_OK(database().keys().activate(root(), id, *kvno, kdc::Overlap::LongestTicket));
  CHECK(tgs(*tgt, "fileserver/fs1")->kvno == 2);
}

TEST_CASE_FIXTURE(Fixture, "groups are in the ticket as the directory has them when it is made") {
  const Secret alice = add_user("alice");
  const auto friends = database().groups().create(root(), "system:friends");
  const auto wide = database().groups().create(root(), "system:wide");
  REQUIRE_OK(friends);
  REQUIRE_OK(wide);
  const auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  const auto groups_now = [&] {
    const auto credential = tgs(*tgt, "fileserver/fs1");
    REQUIRE_OK(credential);
    const auto accepted = shown(*credential, server.files().keytab("fileserver/fs1"));
    REQUIRE_OK(accepted);
    return accepted->identity.groups.size();
  };
  CHECK(groups_now() == 0);
  REQUIRE_OK(
      database().groups().add_member(root(), *friends, *database().principals().id_of("alice")));
  CHECK(groups_now() == 1);
  REQUIRE_OK(database().groups().add_member(root(), *wide, *friends));
  CHECK(groups_now() == 2);
  REQUIRE_OK(
      database().groups().remove_member(root(), *friends, *database().principals().id_of("alice")));
  CHECK(groups_now() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a ticket of very many groups carries the cell's") {
  const Secret alice = add_user("alice");
  const auto friends = database().groups().create(root(), "system:friends");
  REQUIRE_OK(friends);
  const auto id = *database().principals().id_of("alice");
  REQUIRE_OK(database().groups().add_member(root(), *friends, id));
  REQUIRE_OK(database().core().db().commit([&](common::db::WriteTx& tx) -> common::Status {
    for (std::uint32_t group = 1'000; group < 1'000 + ticket::kMaxGroups; ++group) {
      TROTH_TRY_VOID(tx.run("INSERT INTO user_group VALUES (?1, ?2, ?3, 0, 0)", group,
                            fmt::format("bob:g{}", group), id.value));
      TROTH_TRY_VOID(tx.run("INSERT INTO membership VALUES (?1, ?2)", id.value, group));
    }
    return {};
  }));
  const auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  const auto credential = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  const auto accepted = shown(*credential, server.files().keytab("fileserver/fs1"));
  REQUIRE_OK(accepted);
  CHECK(accepted->identity.groups.size() == ticket::kMaxGroups);
  CHECK(accepted->identity.in_group(*friends));
}

TEST_CASE_FIXTURE(Fixture, "every login and ticket is in the audit log, and every refusal") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(!as("root", other_key()));
  CHECK(!as("nobody-here", other_key()));
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
  CHECK(!tgs(*tgt, "fileserver/none"));
  CHECK(!exchanges().tgs(tgt->ticket, channel, address));
  const auto logins = audit("as");
  REQUIRE(logins.size() == 3);
  CHECK(logins[0].outcome == "ok");
  CHECK(logins[0].actor_name == "root");
  CHECK(logins[0].source == address);
  CHECK(logins[0].subject == "kdc/tgs");
  CHECK(logins[1].outcome == "unauthenticated");
  CHECK(logins[2].outcome == "unauthenticated");
  CHECK(logins[2].actor_name == "nobody-here");
  CHECK(logins[1].actor == logins[2].actor);  // nothing tells them apart but the name
  std::vector<std::string> outcomes;
  for (const auto& record : audit("tgs"))
    outcomes.push_back(record.outcome);
  std::sort(outcomes.begin(), outcomes.end());
  CHECK(outcomes == std::vector<std::string>{"not_found", "ok", "unauthenticated"});
  const auto verdict = database().audit().verify();
  REQUIRE_OK(verdict);
  CHECK(verdict->ok);
}

TEST_CASE_FIXTURE(Fixture, "nobody can push others' records out of the audit log") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto request = ticket::begin_tgs({.service = "fileserver/fs1"}, *tgt, channel);
  REQUIRE_OK(request);
  int given = 0;
  ErrorCode last = ErrorCode::Internal;
  for (int i = 0; i < 20'000; ++i) {
    const auto reply = exchanges().tgs(*request, channel, address);
    if (!reply) {
      last = reply.error().code;
      break;
    }
    ++given;
  }
  CHECK(last == ErrorCode::Overloaded);
  CHECK(given >= 9'990);
  CHECK_FAILS(as("root", root_key), ErrorCode::Overloaded);
  const auto records = [&] { return database().audit().verify()->last; };
  REQUIRE_OK(database().audit().flush());
  const auto before = records();
  for (int i = 0; i < 1'000; ++i)
    static_cast<void>(exchanges().tgs(*request, channel, address));
  REQUIRE_OK(database().audit().flush());
  CHECK(records() - before < 200);  // what the time that passed gave, and one for the rest
  server.clock.advance(1min);
  CHECK_OK(as("root", root_key));
}

TEST_CASE_FIXTURE(Fixture, "names that somebody makes up do not fill the audit log (F73)") {
  const auto records = [&] {
    REQUIRE_OK(database().audit().flush());
    return database().audit().verify()->last;
  };
  ErrorCode last = ErrorCode::Internal;
  for (int i = 0; i < 200 && last != ErrorCode::Overloaded; ++i)
    last = as(fmt::format("made-up-{}", i), other_key()).error().code;
  REQUIRE(last == ErrorCode::Overloaded);
  auto before = records();
  for (int i = 0; i < 1'000; ++i)
    CHECK_FAILS(as(fmt::format("more-{}", i), other_key()), ErrorCode::Overloaded);
  CHECK(records() - before <= 1);

  address = "192.0.2.77";
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  before = records();
  for (int i = 0; i < 1'000; ++i)
    CHECK_FAILS(tgs(*tgt, fmt::format("fileserver/none{}", i)), ErrorCode::NotFound);
  CHECK(records() - before <= 1);
}

TEST_CASE_FIXTURE(Fixture, "a key made with weaker parameters than wanted is told so") {
  auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(!tgt->raise_parameters);
  server.stop();
  server.options.scrypt = *common::crypto::ScryptParameters::make(16, 8, 1);
  server.start();
  tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->raise_parameters);
}

TEST_CASE_FIXTURE(Fixture, "another cell's requests are refused whatever they ask") {
  auto want = wanted("root");
  want.cell = "cell-0002";
  CHECK_FAILS(as(want, root_key), ErrorCode::InvalidArgument);
}
