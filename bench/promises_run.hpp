#pragma once

// What the parts of bench_promises share: the server as its parent sees it, and figures.

#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/promises.hpp"
#include "tests/support/kdc_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace bench {

inline constexpr std::string_view kService = "fileserver/fs1";

[[nodiscard]] double seconds_since(std::chrono::steady_clock::time_point begin);
[[nodiscard]] double median(std::vector<double> values);

// A file server in a process of its own, with so many empty files in one volume.
class Server {
 public:
  Server(const test_support::KdcServer& kdc, const common::auth::CredentialPtr& ticket, int files);

  struct Stats {
    double promises = 0;
    double bytes = 0;
  };
  [[nodiscard]] Stats stats();
  [[nodiscard]] double rss_bytes() const;
  // The most that it ever was.
  [[nodiscard]] double most_rss_bytes() const;

  [[nodiscard]] nlohmann::json fid(int file) const {
    return {target.volume, target.first + static_cast<std::uint64_t>(file)};
  }

  Target target;

 private:
  test_support::Process spawn(const test_support::KdcServer& kdc, int files);

  test_support::TempDir directory_;
  test_support::Process process_;
};

// Bytes of files: large ones beside a GET and a PUT of the same server, small ones stored alone and
// fetched in bulk.
struct ContentsWish {
  int rounds = 0;
  std::uint64_t mib = 0;  // of the large file; a multiple of 64
};
void contents(const test_support::KdcServer& kdc, const common::auth::CredentialPtr& ticket,
              const ContentsWish& wish, nlohmann::ordered_json& report);

}  // namespace bench
