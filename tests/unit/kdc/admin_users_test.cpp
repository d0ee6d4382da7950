// Users and their passwords.

#include <thread>

#include "admin_fixture.hpp"
#include "kdc/password_rules.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Administering, "a user is added, listed, disabled, enabled and deleted") {
  const json added = root->must("user-add", {{"name", "alice"}, {"id", 1234}}, kAlicesPassword);
  CHECK(added["id"] == 1234);
  CHECK_OK(server.login("alice", kAlicesPassword));
  CHECK_FAILS(root->call("user-add", {{"name", "alice"}}, kAlicesPassword),
              ErrorCode::AlreadyExists);
  const json all = root->must("user-list");
  CHECK(all["users"].size() == 2);
  CHECK(all["users"][0]["name"] == "alice");
  CHECK(all["more"] == false);
  const json first = root->must("user-list", {{"limit", 1}});
  CHECK(first["more"] == true);
  CHECK(root->must("user-list", {{"limit", 1}, {"after", "alice"}})["users"][0]["name"] == "root");

  root->must("user-disable", {{"name", "alice"}});
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::PermissionDenied);
  root->must("user-enable", {{"name", "alice"}});
  CHECK_OK(server.login("alice", kAlicesPassword));
  root->must("user-delete", {{"name", "alice"}});
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Unauthenticated);
  CHECK_FAILS(root->call("user-delete", {{"name", "fileserver/fs1"}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(root->call("user-disable", {{"name", "root"}}), ErrorCode::Conflict);
}

TEST_CASE_FIXTURE(Administering, "a password is changed by whoever has just proven it") {
  auto alice = add_and_login("alice", kAlicesPassword);
  const json changed = alice->must("passwd", json::object(), "another long word");
  CHECK(changed["kvno"] == 2);
  CHECK(changed["password_end_ms"].is_null());
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Unauthenticated);
  CHECK_OK(server.login("alice", "another long word"));
  // The ticket proved the old key, so it changes nothing any more.
  CHECK_FAILS(alice->call("passwd", json::object(), "a third long word"), ErrorCode::Conflict);
  CHECK_OK(server.login("alice", "another long word"));
}

TEST_CASE_FIXTURE(Administering,
                  "a password must be what the policy asks for, and never comes back") {
  root->must("policy-set", {{"name", "user"}, {"min_length", 10}, {"history", 3}});
  auto alice = add_and_login("alice", kAlicesPassword);
  const auto refusal = [&](std::string_view password) {
    const auto answer = alice->call("passwd", json::object(), password);
    CHECK_FAILS(answer, ErrorCode::InvalidArgument);
    CHECK(test_support::said(answer).find(password) == std::string::npos);
  };
  refusal("shortword");
  refusal("aaaaaaaaaaaaaaaa");
  refusal("a\nb with a control");
  refusal("\xff\xfe is no utf-8 text");
  refusal(std::string(1025, 'x'));
  refusal(kAlicesPassword);
  CHECK(!alice->call("passwd", json::object(), ""));
  alice->must("passwd", json::object(), "another long word");
  alice = server.admin("alice", "another long word");
  refusal(kAlicesPassword);
  refusal("another long word");
  CHECK_OK(alice->call("passwd", json::object(), "a third long word"));
}

TEST_CASE_FIXTURE(Administering,
                  "an administrator's new password for a user needs the kvno he saw") {
  root->must("user-add", {{"name", "alice"}}, kAlicesPassword);
  CHECK_FAILS(root->call("user-passwd", {{"name", "alice"}, {"kvno", 7}}, "chosen by root now"),
              ErrorCode::Conflict);
  CHECK(root->must("user-passwd", {{"name", "alice"}, {"kvno", 1}}, "chosen by root now")["kvno"] ==
        2);
  CHECK_OK(server.login("alice", "chosen by root now"));
  CHECK_FAILS(root->call("user-passwd", {{"name", "fileserver/fs1"}, {"kvno", 1}}, "some password"),
              ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Administering,
                  "weaker parameters are raised with the same password, and only with it") {
  server.stop();
  server.options.scrypt = *common::crypto::ScryptParameters::make(16, 8, 1);
  server.start();
  root = server.admin("root", kRoot);
  CHECK_FAILS(root->call("passwd", {{"rekey", true}}, "not the password"),
              ErrorCode::InvalidArgument);
  CHECK(root->must("passwd", {{"rekey", true}}, kRoot)["kvno"] == 2);
  const auto login = server.login("root", kRoot);
  REQUIRE_OK(login);
  CHECK(!login->raise_parameters);
  CHECK(server.kdc().database().keys().preauth("root")->parameters.log2_n() == 16);
}

TEST_CASE_FIXTURE(Administering,
                  "guessing a password by changing it takes attempts as a login does") {
  root->must("user-add", {{"name", "alice"}}, kAlicesPassword);
  auto alice = server.admin("alice", kAlicesPassword);
  const auto until_overloaded = [&](AdminClient& client, auto&& guess) {
    int told = 0;
    for (; told < 30; ++told) {
      const auto answer = guess(client, told);
      REQUIRE(!answer);
      if (answer.error().code == ErrorCode::Overloaded) {
        CHECK(answer.error().retry_after > 0ms);
        return told;
      }
      CHECK(answer.error().code == ErrorCode::InvalidArgument);
    }
    return told;
  };
  // Whether it is the present one.
  const int present = until_overloaded(*alice, [](AdminClient& client, int i) {
    return client.call("passwd", {{"rekey", true}}, fmt::format("a guess, the {}th", i));
  });
  CHECK(present >= 10);
  CHECK(present < 20);  // some more for the time that it took
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Overloaded);
  // Whether it was in use: of the administrator's own attempts, and nobody is locked out by them.
  server.clock.advance(3min);
  root = server.admin("root", kRoot);
  const int history = until_overloaded(*root, [](AdminClient& client, int) {
    return client.call("user-passwd", {{"name", "alice"}, {"kvno", 1}}, kAlicesPassword);
  });
  CHECK(history >= 10);
  CHECK(history < 20);
  CHECK_OK(server.login("alice", kAlicesPassword));
  // What tells nothing costs nothing.
  server.clock.advance(1min);
  root = server.admin("root", kRoot);
  for (int i = 0; i < 20; ++i) {
    CHECK_FAILS(root->call("user-passwd", {{"name", "alice"}, {"kvno", 1}}, "short"),
                ErrorCode::InvalidArgument);
  }
  CHECK_OK(root->call("user-passwd", {{"name", "alice"}, {"kvno", 1}}, "chosen by root now"));
}

TEST_CASE_FIXTURE(Administering, "with a password that has ended only a new one can be set") {
  root->must("policy-set", {{"name", "short"}, {"max_age_ms", 86'400'000}});
  root->must("user-add", {{"name", "alice"}, {"policy", "short"}}, kAlicesPassword);
  server.clock.advance(48h);
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Expired);
  auto alice = server.admin("alice", kAlicesPassword);
  CHECK_FAILS(alice->call("group-create", {{"group", "alice:x"}}), ErrorCode::Expired);
  CHECK_OK(alice->call("whoami"));
  const json changed = alice->must("passwd", json::object(), "another long word");
  CHECK(changed["password_end_ms"].is_number());
  CHECK_OK(server.login("alice", "another long word"));
}

TEST_CASE_FIXTURE(Administering, "logins do not wait for passwords that are being set") {
  root->must("user-add", {{"name", "alice"}}, kAlicesPassword);
  // All of the room for scrypt is taken.
  std::vector<kdc::ScryptGate::Place> taken;
  for (std::size_t i = 0; i < kdc::scrypt_at_once(); ++i) {
    auto place = server.kdc().scrypt_gate().enter(test_support::in_a_while(), [] { return false; });
    REQUIRE_OK(place);
    taken.push_back(*std::move(place));
  }
  std::vector<std::thread> waiting;
  std::atomic<int> overloaded{0};
  std::atomic<int> changed{0};
  // As many as may wait, and some more.
  std::vector<std::unique_ptr<AdminClient>> clients;
  for (std::size_t i = 0; i < kdc::kMostScryptWaiting + 4; ++i)
    clients.push_back(server.admin("root", kRoot));
  for (std::size_t i = 0; i < clients.size(); ++i) {
    waiting.emplace_back([&, i] {
      const auto answer =
          clients[i]->call("user-add", {{"name", fmt::format("user{}", i)}}, "a long password");
      if (answer)
        ++changed;
      else if (answer.error().code == ErrorCode::Overloaded)
        ++overloaded;
    });
  }
  const auto limit = test_support::in_a_while();
  const common::SystemClock clock;
  while ((overloaded < 4 || server.kdc().scrypt_gate().waiting() < kdc::kMostScryptWaiting) &&
         clock.now() < limit)
    std::this_thread::yield();
  CHECK(overloaded == 4);
  CHECK_OK(server.login("alice", kAlicesPassword));
  taken.clear();
  for (std::thread& thread : waiting)
    thread.join();
  CHECK(changed == kdc::kMostScryptWaiting);
}
