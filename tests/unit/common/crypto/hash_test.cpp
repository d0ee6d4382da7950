#include "common/crypto/hash.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "common/crypto/hash_many.hpp"
#include "tests/support/test.hpp"
#include "vectors.hpp"

using namespace common;
using namespace common::crypto;

TEST_CASE("SHA-256 gives the published digests, whole and in pieces") {
  for (const Vector& v : load_vectors("sha256.txt")) {
    const Bytes message = from_hex(v.at("message"));
    const auto whole = sha256(message);
    REQUIRE_OK(whole);
    CHECK(to_hex(*whole) == v.at("digest"));

    auto pieces = Sha256::create();
    REQUIRE_OK(pieces);
    for (int round = 0; round < 2; ++round) {  // the second uses the finished object again
      for (const std::byte& b : message)
        REQUIRE_OK(pieces->update({&b, 1}));
      const auto digest = pieces->finish();
      REQUIRE_OK(digest);
      CHECK(*digest == *whole);
    }
  }
}

TEST_CASE("SHA-256 of a million letters is the published digest") {
  auto hash = Sha256::create();
  REQUIRE_OK(hash);
  const std::string piece(1000, 'a');
  for (int i = 0; i < 1000; ++i)
    REQUIRE_OK(hash->update(as_bytes(piece)));
  const auto digest = hash->finish();
  REQUIRE_OK(digest);
  CHECK(to_hex(*digest) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("HMAC-SHA256 gives the published tags, once and with a kept key") {
  for (const Vector& v : load_vectors("hmac_sha256.txt")) {
    const Bytes key = from_hex(v.at("key"));
    const Bytes data = from_hex(v.at("data"));
    const std::string& expected = v.at("mac");
    const auto once = hmac_sha256(key, data);
    REQUIRE_OK(once);
    CHECK(to_hex(*once).substr(0, expected.size()) == expected);

    auto kept = HmacSha256::create(Secret::copy_of(key));
    REQUIRE_OK(kept);
    for (int round = 0; round < 3; ++round) {
      const auto tag = kept->mac(data);
      REQUIRE_OK(tag);
      CHECK(*tag == *once);
    }
  }
}

TEST_CASE("an empty key and an empty message have a tag") {
  const auto tag = hmac_sha256({}, {});
  REQUIRE_OK(tag);
  CHECK(to_hex(*tag) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  auto kept = HmacSha256::create(Secret());
  REQUIRE_OK(kept);
  CHECK(kept->mac({}).value() == *tag);
}

TEST_CASE("comparing in constant time sees every difference") {
  Bytes a(33);
  Bytes b(33);
  CHECK(constant_time_equal(a, b));
  CHECK(constant_time_equal({}, {}));
  for (std::size_t bit = 0; bit < a.size() * 8; ++bit) {
    b[bit / 8] ^= std::byte(1 << (bit % 8));
    CHECK_FALSE(constant_time_equal(a, b));
    b[bit / 8] ^= std::byte(1 << (bit % 8));
  }
  CHECK_FALSE(constant_time_equal(a, ByteView(b).first(32)));
}

TEST_CASE("many threads hash at once without disturbing each other") {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  std::vector<int> wrong(kThreads, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &wrong] {
      const Bytes message(static_cast<std::size_t>(t) * 100 + 1, std::byte(t));
      const auto digest = sha256(message);
      const auto tag = hmac_sha256(message, message);
      for (int i = 0; i < kRounds; ++i) {
        if (sha256(message).value() != digest.value())
          ++wrong[static_cast<std::size_t>(t)];
        if (hmac_sha256(message, message).value() != tag.value()) {
          ++wrong[static_cast<std::size_t>(t)];
        }
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(std::all_of(wrong.begin(), wrong.end(), [](int n) { return n == 0; }));
}

TEST_CASE("a MAC over pieces is the MAC over their whole") {
  const Bytes key(32, std::byte{1});
  const ByteView whole = as_bytes("one two three");
  CHECK(hmac_sha256(key, {whole.first(4), ByteView{}, whole.subspan(4)}).value() ==
        hmac_sha256(key, whole).value());
  CHECK(hmac_sha256(key, {}).value() == hmac_sha256(key, ByteView{}).value());
  CHECK(hmac_sha256(key, {whole}).value() != hmac_sha256(key, {whole, whole}).value());
}

namespace {

Bytes some_bytes(std::size_t count, unsigned seed) {
  Bytes bytes(count);
  for (std::byte& b : bytes)
    b = static_cast<std::byte>((seed = seed * 1'664'525 + 1'013'904'223) >> 24);
  return bytes;
}

Digest one_by_one(const Message& message) {
  Bytes whole(message.head.begin(), message.head.end());
  whole.insert(whole.end(), message.body.begin(), message.body.end());
  const auto digest = sha256(whole);
  REQUIRE_OK(digest);
  return *digest;
}

void check_as_one_by_one(const std::vector<Message>& messages) {
  std::vector<Digest> digests(messages.size());
  REQUIRE_OK(sha256_many(messages, digests));
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CAPTURE(i);
    CAPTURE(messages[i].head.size());
    CAPTURE(messages[i].body.size());
    CHECK(digests[i] == one_by_one(messages[i]));
  }
}

}  // namespace

TEST_CASE("SHA-256 of many messages is that of each, whatever their lengths") {
  const Bytes bytes = some_bytes(140'000, 1);
  const ByteView all(bytes);
  // Every place that an end can have in a block, with heads that move it, and unlike neighbours.
  for (std::size_t head = 0; head < 70; head += 3) {
    std::vector<Message> messages;
    for (std::size_t more = 0; more < 130; ++more) {
      messages.push_back({all.first(head), all.subspan(more, 1024 + more)});
      messages.push_back({all.subspan(more, head / 2), all.subspan(7, 1024 + 64 * (more % 5))});
    }
    check_as_one_by_one(messages);
  }
  // Lengths far apart, too short ones between, an odd number.
  check_as_one_by_one({{all.first(18), all.first(131'072)},
                       {all.first(18), all.subspan(3, 131'072)},
                       {all.first(18), all.subspan(1, 2'000)},
                       {all.first(18), all.subspan(5, 131'071)},
                       {{}, {}},
                       {all.first(18), all.subspan(9, 131'065)},
                       {{}, all.first(1'023)},
                       {all.first(200), all.first(5'000)},
                       {{}, all.first(5'000)}});
  check_as_one_by_one({});
}

TEST_CASE("SHA-256 of messages side by side is that of each, however many and whoever ends first") {
  const Bytes bytes = some_bytes(140'000, 2);
  const ByteView all(bytes);
  for (std::size_t count = 1; count < 40; ++count) {
    std::vector<Message> alike;
    std::vector<Message> shrinking;
    std::vector<Message> mixed;
    for (std::size_t i = 0; i < count; ++i) {
      alike.push_back({all.first(18), all.subspan(i, 4'096)});
      shrinking.push_back({all.first(18), all.subspan(2 * i, 8'192 - 200 * i)});
      mixed.push_back({all.first(i), all.subspan(i, i % 5 == 3 ? 70'000 : 1'024 + 640 * (i % 7))});
    }
    check_as_one_by_one(alike);
    check_as_one_by_one(shrinking);
    check_as_one_by_one(mixed);
    // One that is too short among them.
    alike[count / 2].body = all.first(100);
    check_as_one_by_one(alike);
  }
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512f") != 0)
    CHECK(sha256_at_once() == 16);
#endif
}

TEST_CASE("SHA-256 side by side reads not a byte beyond its messages, on any thread") {
  // Messages that end where memory ends.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const mapped =
      ::mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(mapped != MAP_FAILED);
  auto* const memory = static_cast<std::byte*>(mapped);
  REQUIRE(::mprotect(memory + 2 * page, page, PROT_NONE) == 0);
  const Bytes bytes = some_bytes(2 * page, 3);
  std::ranges::copy(bytes, memory);
  const ByteView all(memory, 2 * page);
  for (const std::size_t length : {1'024UL, 1'055UL, 1'087UL, 2'048UL, 4'095UL, 4'096UL}) {
    std::vector<Message> messages;
    for (std::size_t i = 0; i < 33; ++i)
      messages.push_back({all.first(18), all.last(length + i)});
    check_as_one_by_one(messages);
    std::thread([&] { check_as_one_by_one(messages); }).join();
  }
  ::munmap(mapped, 3 * page);
}

TEST_CASE("SHA-256 of published messages at once gives the published digests") {
  // A million letters, twice and often.
  const std::string letters(1'000'000, 'a');
  const Message message{{}, as_bytes(letters)};
  std::vector<Digest> digests(2 + 16);
  REQUIRE_OK(sha256_many(std::vector<Message>(2, message), std::span(digests).first(2)));
  REQUIRE_OK(sha256_many(std::vector<Message>(16, message), std::span(digests).subspan(2)));
  for (const Digest& digest : digests)
    CHECK(to_hex(digest) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
