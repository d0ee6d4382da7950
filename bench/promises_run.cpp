#include "bench/promises_run.hpp"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "common/ticket/keytab.hpp"

namespace bench {

using namespace common;
using namespace std::chrono_literals;
using test_support::KdcFiles;
using test_support::KdcServer;
using test_support::Process;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

Server::Server(const KdcServer& kdc, const auth::CredentialPtr& ticket, int files)
    : process_(spawn(kdc, files)) {
  const std::string line = must(process_.wait_for_line("ports ", 300s), "the server's start");
  unsigned calls = 0;
  unsigned streams = 0;
  unsigned long long first = 0;
  if (std::sscanf(line.c_str(), "ports %u %u %u %llu", &calls, &streams, &target.volume, &first) !=
      4)
    die("the server does not say where it is");
  target.calls = static_cast<std::uint16_t>(calls);
  target.streams = static_cast<std::uint16_t>(streams);
  target.first = first;
  target.tls = kdc.files().client_tls();
  target.ticket = ticket;
}

Process Server::spawn(const KdcServer& kdc, int files) {
  const std::string keytab = directory_.path() / "keytab";
  must(ticket::save_keytab(kdc.files().keytab(std::string(kService)), keytab), "keytab");
  const std::string data = directory_.path() / "data";
  std::filesystem::create_directory(data);
  const KdcFiles& cell = kdc.files();
  return must(Process::spawn("/proc/self/exe",
                             {"--serve", std::string(KdcFiles::kCell), keytab, cell.certificate(),
                              cell.key(), cell.ca(), data, std::to_string(files)}),
              "the server");
}

Server::Stats Server::stats() {
  must(process_.signal(SIGUSR1), "asking the server");
  const std::string line = must(process_.wait_for_line("stats ", 60s), "its answer");
  Stats stats;
  if (std::sscanf(line.c_str(), "stats %lf %lf", &stats.promises, &stats.bytes) != 2)
    die("the server does not say what it has");
  return stats;
}

double Server::rss_bytes() const {
  std::ifstream file(fmt::format("/proc/{}/statm", process_.pid()));
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double Server::most_rss_bytes() const {
  constexpr std::string_view kMost = "VmHWM:";
  std::ifstream file(fmt::format("/proc/{}/status", process_.pid()));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kMost))
      return std::atof(line.c_str() + kMost.size()) * 1024;
  }
  return 0;
}

}  // namespace bench
