// bench_crypto: what our wrappers cost beside OpenSSL's EVP used bare, in the same run.
//
// Figures are medians of kRounds rounds that alternate ours and the bare form. The bare loops keep
// one context and a fetched algorithm, as fast as EVP can be used.

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/crypto/aead.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/random.hpp"

namespace {

using common::Bytes;
using common::ByteView;
using common::crypto::Secret;

constexpr int kRounds = 7;
constexpr double kSecondsPerRound = 0.1;

// Of this thread's own CPU time: whatever else the machine does must not show.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Nanoseconds of one call, over about kSecondsPerRound. `call` returns whether it went well.
double measure(const std::function<bool()>& call) {
  std::uint64_t calls = 0;
  const double start = cpu_seconds();
  double passed = 0;
  do {
    for (int i = 0; i < 16; ++i) {
      if (!call()) {
        std::fprintf(stderr, "a measured call failed\n");
        std::exit(1);
      }
    }
    calls += 16;
    passed = cpu_seconds() - start;
  } while (passed < kSecondsPerRound);
  return passed * 1e9 / static_cast<double>(calls);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Pair {
  double ours_ns = 0;
  double bare_ns = 0;
};

Pair compare(const char* name, const std::function<bool()>& ours,
             const std::function<bool()>& bare) {
  std::vector<double> ours_rounds;
  std::vector<double> bare_rounds;
  for (int round = 0; round < kRounds; ++round) {
    ours_rounds.push_back(measure(ours));
    bare_rounds.push_back(measure(bare));
  }
  const Pair pair{median(ours_rounds), median(bare_rounds)};
  std::fprintf(stderr, "%-20s %10.0f ns, bare %10.0f ns\n", name, pair.ours_ns, pair.bare_ns);
  return pair;
}

// OpenSSL used directly, one context each.
class Bare {
 public:
  Bare()
      : sha256_(EVP_MD_fetch(nullptr, "SHA2-256", nullptr)),
        hmac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)),
        gcm_(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)),
        digest_(EVP_MD_CTX_new()),
        mac_(EVP_MAC_CTX_new(hmac_)),
        cipher_(EVP_CIPHER_CTX_new()) {
    char name[] = "SHA2-256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC_init(mac_, key_, sizeof key_, parameters);
  }
  ~Bare() {
    EVP_CIPHER_CTX_free(cipher_);
    EVP_MAC_CTX_free(mac_);
    EVP_MD_CTX_free(digest_);
    EVP_CIPHER_free(gcm_);
    EVP_MAC_free(hmac_);
    EVP_MD_free(sha256_);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  bool sha256(const Bytes& data) {
    unsigned char out[32];
    unsigned size = 0;
    return EVP_DigestInit_ex2(digest_, sha256_, nullptr) == 1 &&
           EVP_DigestUpdate(digest_, data.data(), data.size()) == 1 &&
           EVP_DigestFinal_ex(digest_, out, &size) == 1;
  }
  bool hmac(const Bytes& data) {
    unsigned char out[32];
    std::size_t size = 0;
    return EVP_MAC_init(mac_, nullptr, 0, nullptr) == 1 &&
           EVP_MAC_update(mac_, reinterpret_cast<const unsigned char*>(data.data()), data.size()) ==
               1 &&
           EVP_MAC_final(mac_, out, &size, sizeof out) == 1;
  }
  bool seal(const Bytes& data, Bytes& out) {
    int done = 0;
    auto* to = reinterpret_cast<unsigned char*>(out.data());
    return EVP_EncryptInit_ex2(cipher_, gcm_, key_, key_, nullptr) == 1 &&
           EVP_EncryptUpdate(cipher_, to, &done,
                             reinterpret_cast<const unsigned char*>(data.data()),
                             static_cast<int>(data.size())) == 1 &&
           EVP_EncryptFinal_ex(cipher_, to + done, &done) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher_, EVP_CTRL_AEAD_GET_TAG, 16, tag_) == 1;
  }

 private:
  unsigned char key_[32] = {1, 2, 3};
  unsigned char tag_[16] = {};
  EVP_MD* sha256_;
  EVP_MAC* hmac_;
  EVP_CIPHER* gcm_;
  EVP_MD_CTX* digest_;
  EVP_MAC_CTX* mac_;
  EVP_CIPHER_CTX* cipher_;
};

nlohmann::json to_json(const std::map<std::string, Pair>& pairs,
                       const std::map<std::string, std::size_t>& bulk) {
  nlohmann::json value = nlohmann::json::object();
  for (const auto& [name, pair] : pairs) {
    value[name + "_ns"] = pair.ours_ns;
    value[name + "_vs_bare"] = pair.bare_ns / pair.ours_ns;  // 1: as fast as bare EVP
    if (const auto size = bulk.find(name); size != bulk.end())
      value[name + "_MBps"] = static_cast<double>(size->second) * 1e3 / pair.ours_ns;
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  namespace crypto = common::crypto;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") != 0) {
      std::fprintf(stderr, "usage: bench_crypto [--json]\n");
      return 2;
    }
  }
  Bare bare;
  const Bytes small(300, std::byte{0x42});
  const Bytes large(std::size_t{1} << 20, std::byte{0x42});
  const Secret key = Secret::copy_of(Bytes(32, std::byte{5}));
  auto kept = crypto::HmacSha256::create(key);
  Bytes sealed(large.size() + crypto::kAeadOverhead);
  Bytes sealed_small(small.size() + crypto::kAeadOverhead);
  if (!kept)
    return 1;

  std::map<std::string, Pair> pairs;
  const auto run = [&](const char* name, const std::function<bool()>& ours,
                       const std::function<bool()>& bare_call) {
    pairs[name] = compare(name, ours, bare_call);
  };
  run(
      "sha256_300B", [&] { return crypto::sha256(small).has_value(); },
      [&] { return bare.sha256(small); });
  run(
      "sha256_1MiB", [&] { return crypto::sha256(large).has_value(); },
      [&] { return bare.sha256(large); });
  run(
      "hmac_300B", [&] { return kept->mac(small).has_value(); }, [&] { return bare.hmac(small); });
  run(
      "hmac_once_300B", [&] { return crypto::hmac_sha256(key.bytes(), small).has_value(); },
      [&] { return bare.hmac(small); });
  run(
      "seal_300B",
      [&] { return crypto::seal_into(key, small, ByteView{}, sealed_small).has_value(); },
      [&] { return bare.seal(small, sealed_small); });
  run(
      "seal_1MiB", [&] { return crypto::seal_into(key, large, ByteView{}, sealed).has_value(); },
      [&] { return bare.seal(large, sealed); });
  std::printf(
      "%s\n",
      to_json(pairs, {{"sha256_1MiB", large.size()}, {"seal_1MiB", large.size()}}).dump().c_str());
  return 0;
}
