#include "common/crypto/secret.hpp"

#include <fmt/core.h>
#include <fmt/ostream.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <type_traits>

#include "common/crypto/hash.hpp"
#include "common/crypto/process_secrets.hpp"
#include "common/log/log.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::crypto;

// What must not compile. A mistake in Secret shows here as a failed build.
template <typename T>
concept Streamable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
concept EqualityComparable = requires(const T& a, const T& b) {
  a == b;
};
template <typename T>
concept Iterable = requires(const T& value) {
  value.begin();
};

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret> &&
              std::is_nothrow_move_assignable_v<Secret>);
static_assert(!fmt::is_formattable<Secret>::value);
static_assert(!Streamable<Secret> && Streamable<std::string>);
static_assert(!EqualityComparable<Secret>);
static_assert(!Iterable<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<Secret, const char*>);
static_assert(!std::is_convertible_v<Secret, bool>);
static_assert(!std::is_convertible_v<Secret, ByteView>);
static_assert(!std::is_constructible_v<log::Field, std::string_view, Secret>);
static_assert(!std::is_constructible_v<log::Field, std::string_view, const Secret&>);

TEST_CASE("a secret holds its bytes and moves them") {
  Secret a = Secret::copy_of(as_bytes("hunter2"));
  CHECK(as_text(a.bytes()) == "hunter2");
  const std::byte* where = a.bytes().data();
  Secret b = std::move(a);
  CHECK(b.bytes().data() == where);
  CHECK(a.empty());  // NOLINT: the moved-from state is part of the contract
  a = b.clone();
  CHECK(constant_time_equal(a.bytes(), b.bytes()));
  CHECK(a.bytes().data() != b.bytes().data());
  CHECK(Secret().empty());
  CHECK(as_text(Secret(3).bytes()) == std::string_view("\0\0\0", 3));
}

TEST_CASE("a dead secret's bytes are gone from memory") {
  const std::byte* where = nullptr;
  const Secret neighbour = Secret::copy_of(as_bytes("keeps its slab mapped"));
  {
    const Secret secret = Secret::copy_of(Bytes(64, std::byte{0xA5}));
    where = secret.bytes().data();
  }
  // The slab is ours and stays mapped; its first bytes link free slots.
  Bytes left(64);
  std::memcpy(left.data(), where, left.size());
  for (std::size_t i = sizeof(void*); i < left.size(); ++i)
    CHECK(left[i] == std::byte{0});
}

TEST_CASE("assigning over a secret wipes the old one") {
  Secret secret = Secret::copy_of(Bytes(64, std::byte{0x5A}));
  const std::byte* where = secret.bytes().data();
  secret = Secret::copy_of(as_bytes("new"));
  Bytes left(64);
  std::memcpy(left.data(), where, left.size());
  for (std::size_t i = sizeof(void*); i < left.size(); ++i)
    CHECK(left[i] == std::byte{0});
}

TEST_CASE("many secrets, small and large, never share memory") {
  // More than all locked slabs hold, so that the heap is used too.
  constexpr std::size_t kMany = 40'000;
  std::vector<Secret> all;
  all.reserve(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    const std::size_t size = i % 1000 == 0 ? 5000 : 1 + i % 64;
    all.push_back(Secret::copy_of(Bytes(size, std::byte(i % 251))));
  }
  bool intact = true;
  for (std::size_t i = 0; i < kMany; ++i) {
    for (const std::byte b : all[i].bytes())
      intact = intact && b == std::byte(i % 251);
  }
  CHECK(intact);
}

TEST_CASE("secrets are made and destroyed by many threads at once") {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([t, &wrong] {
      for (int i = 0; i < 3000; ++i) {
        const Secret mine = Secret::copy_of(Bytes(32, std::byte(t)));
        for (const std::byte b : mine.bytes())
          wrong[t] += b != std::byte(t);
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  for (const int n : wrong)
    CHECK(n == 0);
}

TEST_CASE("a process can make its memory private") {
  // In a child: the leak checker of this process needs to stay able to attach to it.
  const pid_t child = ::fork();
  if (child == 0) {
    rlimit core{};
    const bool done = keep_memory_private().has_value() && ::prctl(PR_GET_DUMPABLE) == 0 &&
                      ::getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
    ::_exit(done ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
