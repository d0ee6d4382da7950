// Stock cpp-httplib at its best settings: TCP_NODELAY at both ends, endless keep-alive, enough
// threads, one kept client per caller, 1 MiB provider writes, no extra round trips.

#include <httplib_stock.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include <nlohmann/json.hpp>

#include "bench/rpc_peers.hpp"

namespace bench {
namespace {

constexpr int kThreads = 32;
constexpr std::size_t kEndless = 1'000'000'000;

std::string call_text() {
  return R"({"v":1,"id":")" + std::string(kOperationIdText) + R"(","deadline_ms":30000,"args":)" +
         std::string(kArgs) + "}";
}

std::unique_ptr<httplib_stock::SSLClient> make_client(const Peers& peers) {
  auto client = std::make_unique<httplib_stock::SSLClient>("127.0.0.1", peers.port);
  client->set_ca_cert_path(peers.directory + "/ca.crt");
  client->set_keep_alive(true);
  client->set_tcp_nodelay(true);
  client->set_read_timeout(300, 0);
  client->set_write_timeout(300, 0);
  return client;
}

Measured transfer(const Peers& peers, const Load& load) {
  auto client = make_client(peers);
  if (auto warm = client->Post("/v1/bench/lookup", call_text(), "application/json");
      !warm || warm->status != 200) {
    std::exit(1);
  }
  const std::string megabyte(kWrite, 'Z');
  std::uint64_t moved = 0;
  const double cpu = cpu_seconds_of_this_process();
  const auto begin = std::chrono::steady_clock::now();
  if (load.kind == "get") {
    auto result = client->Get("/v1/bench/get?size=" + std::to_string(load.size),
                              [&](const char*, std::size_t size) {
                                moved += size;
                                return true;
                              });
    if (!result || result->status != 200)
      std::exit(1);
  } else {
    auto result = client->Put(
        "/v1/bench/put", load.size,
        [&](std::size_t, std::size_t left, httplib_stock::DataSink& sink) {
          return sink.write(megabyte.data(), std::min(left, megabyte.size()));
        },
        "application/octet-stream");
    if (!result || result->status != 200)
      std::exit(1);
    moved = std::stoull(result->body);
  }
  Measured measured;
  measured.seconds = since(begin);
  measured.cpu_seconds = cpu_seconds_of_this_process() - cpu;
  if (moved != load.size)
    std::exit(1);
  return measured;
}

}  // namespace

int serve_stock(const Peers& peers) {
  httplib_stock::SSLServer server((peers.directory + "/server.crt").c_str(),
                                  (peers.directory + "/server.key").c_str());
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(kEndless);
  server.set_keep_alive_timeout(300);
  server.set_payload_max_length(std::size_t{1} << 40);
  server.new_task_queue = [] { return new httplib_stock::ThreadPool(kThreads); };
  server.Post("/v1/bench/lookup",
              [](const httplib_stock::Request& request, httplib_stock::Response& response) {
                const auto call = nlohmann::json::parse(request.body, nullptr, false);
                const auto& args = call.at("args");
                response.set_content(R"({"epoch":1,"result":)" +
                                         lookup_reply(args.at("name").get_ref<const std::string&>(),
                                                      args.at("parent").get<std::uint64_t>()) +
                                         "}",
                                     "application/json");
              });
  const std::string megabyte(kWrite, 'Z');
  server.Get("/v1/bench/get",
             [&](const httplib_stock::Request& request, httplib_stock::Response& response) {
               response.set_content_provider(
                   std::stoull(request.get_param_value("size")), "application/octet-stream",
                   [&](std::size_t, std::size_t left, httplib_stock::DataSink& sink) {
                     return sink.write(megabyte.data(), std::min(left, megabyte.size()));
                   });
             });
  server.Put("/v1/bench/put", [](const httplib_stock::Request&, httplib_stock::Response& response,
                                 const httplib_stock::ContentReader& reader) {
    std::uint64_t size = 0;
    reader([&](const char*, std::size_t part) {
      size += part;
      return true;
    });
    response.set_content(std::to_string(size), "text/plain");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::printf("%d\n", port);
  std::fflush(stdout);
  std::thread watcher([&] {
    while (std::getchar() != EOF) {
    }
    server.stop();
  });
  server.listen_after_bind();
  watcher.join();
  return 0;
}

Measured load_stock(const Peers& peers, const Load& load) {
  if (load.kind != "json")
    return transfer(peers, load);
  return run_callers(load.callers, load.seconds, [&peers] {
    std::shared_ptr<httplib_stock::SSLClient> client = make_client(peers);
    return [client]() -> bool {
      const auto result = client->Post("/v1/bench/lookup", call_text(), "application/json");
      if (!result || result->status != 200)
        return false;
      const auto reply = nlohmann::json::parse(result->body, nullptr, false);
      return reply.at("result").at("node").get<std::uint64_t>() == 123457;
    };
  });
}

}  // namespace bench
