// What can be learnt or guessed about names and passwords by asking.

#include <time.h>

#include <algorithm>

#include "crypto_count.hpp"
#include "exchange_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Exchanging, "unknown name, wrong password and wrong keytab are answered alike") {
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

TEST_CASE_FIXTURE(Exchanging,
                  "preauth tells the same kind of salt for every name, again and again") {
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

TEST_CASE_FIXTURE(Exchanging, "refusing takes the same work whether or not the name exists") {
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

TEST_CASE_FIXTURE(Exchanging,
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

TEST_CASE_FIXTURE(Exchanging, "refused attempts do no cryptography but for counting them") {
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

TEST_CASE_FIXTURE(Exchanging,
                  "F43: ten thousand guesses get a handful of tries, known name or not") {
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

TEST_CASE_FIXTURE(Exchanging, "nobody can lock somebody else out of his own machine") {
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

TEST_CASE_FIXTURE(Exchanging, "refused attempts forgive nothing over a restart") {
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
