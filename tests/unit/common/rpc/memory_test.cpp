// An allocation that fails, at each place where the server makes one on the way of a call: the call
// may fail, the server must not, and nothing may be counted twice or for ever.
//
// A program of its own, because it replaces operator new.
//
// One kind of allocation is let through and counted: nlohmann's destructor of an object or list
// allocates, and is noexcept, so its failure ends the process whatever we do.

#include <dlfcn.h>
#include <execinfo.h>
#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/rpc/health_listener.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/rpc_fixture.hpp"

namespace {

std::atomic<long> fail_in{-1};  // the server's allocation number so-and-so fails; negative: none

bool is_server_thread() {
  thread_local const bool is = [] {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    return std::strncmp(name, "rpc-", 4) == 0;
  }();
  return is;
}

// How far up the destructor may be when everything between has been inlined or has not.
constexpr int kFramesLookedAt = 12;

// The caller is (a part of) the destructor of a JSON value.
bool in_json_destructor() {
  void* frames[kFramesLookedAt];
  const int count = ::backtrace(frames, kFramesLookedAt);
  for (int i = 0; i < count; ++i) {
    Dl_info info{};
    if (::dladdr(frames[i], &info) == 0 || info.dli_sname == nullptr)
      continue;
    const std::string_view name = info.dli_sname;
    if (name.find("basic_json") == std::string_view::npos)
      continue;
    if (name.find("json_value7destroy") != std::string_view::npos || name.ends_with("D1Ev") ||
        name.ends_with("D2Ev")) {
      return true;
    }
  }
  return false;
}

std::atomic<long> let_through{0};

// What no freed memory may hold, while `looking`.
std::array<std::byte, 64> secret{};
std::atomic<bool> looking{false};
std::atomic<long> found{0};

void release(void* memory) {
  if (memory != nullptr && looking.load(std::memory_order_relaxed) &&
      ::memmem(memory, ::malloc_usable_size(memory), secret.data(), secret.size()) != nullptr)
    ++found;
  std::free(memory);
}

void* allocate(std::size_t size) {
  if (fail_in.load(std::memory_order_relaxed) >= 0 && is_server_thread() &&
      fail_in.fetch_sub(1) == 0) {
    if (!in_json_destructor())
      throw std::bad_alloc();
    ++let_through;
  }
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr)
    throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete[](void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  release(memory);
}

using namespace common::rpc;
using test_support::RpcCell;

TEST_CASE("bytes of a call that may be a password or a key are in no memory that is given back") {
  RpcCell cell;
  cell.add({.service = "t",
            .name = "secret",
            .handler = [](Call& call) -> common::Result<Reply> {
              Reply reply;
              reply.bytes.assign(call.body().begin(), call.body().end());
              return reply;
            },
            .body_cap = 64 * 1024});
  cell.start();
  for (std::size_t i = 0; i < secret.size(); ++i)
    secret[i] = static_cast<std::byte>(i * 37 + 11);
  looking = true;
  // With what is around it: together with the head, in several records, beyond the first buffer.
  for (const std::size_t size : {64, 3000, 8000, 9000, 40'000}) {
    CAPTURE(size);
    common::Bytes bytes(size, std::byte{'x'});
    std::copy(secret.begin(), secret.end(), bytes.begin());
    std::copy(secret.begin(), secret.end(), bytes.end() - 64);
    auto client = cell.client();
    for (int i = 0; i < 3; ++i) {
      auto request = RpcCell::request("t", "secret");
      request.bytes = bytes;
      request.max_reply_bytes = size;
      auto result = client->call(request);
      REQUIRE_OK(result.answer);
      CHECK(result.answer->bytes.size() == size);
      common::crypto::wipe(result.answer->bytes);
    }
    client.reset();
    common::crypto::wipe(bytes);
  }
  cell.stop();
  looking = false;
  CHECK(found == 0);
}

TEST_CASE("whichever allocation of the server fails, it serves the next caller") {
  RpcCell cell;
  cell.limits.connections_per_address = 4;  // a leaked count would soon close the door
  std::atomic<int> executed{0};
  cell.add({.service = "t", .name = "count", .handler = [&](Call&) -> common::Result<Reply> {
              ++executed;
              return Reply::text(R"({"a":"a string that is too long for its own object"})");
            }});
  cell.start();
  CHECK_OK(cell.client()->call(RpcCell::request("t", "count")).answer);
  long failures = 0;
  for (long at = 0;; ++at) {
    CAPTURE(at);
    const int before = executed;
    fail_in = at;
    auto result = cell.client()->call(RpcCell::request("t", "count"));
    const bool failed = fail_in.exchange(-1) < 0;
    // The outcome never claims less than what happened.
    if (executed != before)
      CHECK(result.outcome != Outcome::NotSent);
    if (result.answer)
      CHECK(executed == before + 1);
    else  // it is told so, and does not wait for the rest of an answer
      CHECK(result.answer.error().code != common::ErrorCode::DeadlineExceeded);
    REQUIRE_OK(cell.client()->call(RpcCell::request("t", "count")).answer);
    failures += failed ? 1 : 0;
    if (!failed)
      break;
  }
  MESSAGE(failures, " allocations failed, ", let_through.load(), " let through");
  CHECK(failures > 20);
  CHECK(let_through * 4 < failures);  // the exception stays one
}

TEST_CASE("whichever allocation of the health listener fails, it answers the next question") {
  auto listener = HealthListener::start(
      {}, [] { return std::string(200, 'm'); }, [] { return HealthReport{}; });
  REQUIRE_OK(listener);
  const auto ask = [&]() -> std::string {
    auto peer = test_support::RawPeer::dial((*listener)->port());
    if (!peer || !peer->send("GET /health HTTP/1.1\r\n\r\n"))
      return {};
    return peer->read_to_end().value_or("");
  };
  REQUIRE(ask().starts_with("HTTP/1.1 200 "));
  long failures = 0;
  for (long at = 0;; ++at) {
    CAPTURE(at);
    fail_in = at;
    (void)ask();
    const bool failed = fail_in.exchange(-1) < 0;
    REQUIRE(ask().starts_with("HTTP/1.1 200 "));
    failures += failed ? 1 : 0;
    if (!failed)
      break;
  }
  MESSAGE(failures, " allocations failed");
  CHECK(failures > 3);
}
