#include <cstdio>
#include <cstdlib>
#include <memory>

#include <nlohmann/json.hpp>

#include "bench/rpc_peers.hpp"
#include "common/rpc/client.hpp"
#include "common/rpc/server.hpp"

namespace bench {
namespace {

using namespace common::rpc;
using common::Result;

template <typename T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  return *std::move(result);
}

const std::vector<std::byte>& megabyte() {
  static const std::vector<std::byte> bytes(kWrite, std::byte{0x5A});
  return bytes;
}

// Always the same memory: the wire is measured, not a disk.
BytesSource endless(std::uint64_t size) {
  return [left = size](std::span<std::byte>) mutable -> Result<std::span<const std::byte>> {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, kWrite));
    left -= part;
    return std::span(megabyte()).first(part);
  };
}

OperationTable operations() {
  OperationTable table;
  (void)table.add(
      {.service = "bench", .name = "lookup", .handler = [](Call& call) -> Result<Reply> {
         const auto& args = call.args();
         return Reply::text(lookup_reply(args.at("name").get_ref<const std::string&>(),
                                         args.at("parent").get<std::uint64_t>()));
       }});
  (void)table.add({.service = "bench",
                   .name = "get",
                   .handler = [](Call& call) -> Result<Reply> {
                     Reply reply;
                     reply.source_size = call.args().at("size").get<std::uint64_t>();
                     reply.source = endless(reply.source_size);
                     return reply;
                   },
                   .kind = OperationClass::Bulk});
  (void)table.add({.service = "bench",
                   .name = "put",
                   .handler = [](Call& call) -> Result<Reply> {
                     std::vector<std::byte> buffer(kWrite);
                     std::uint64_t size = 0;
                     for (;;) {
                       TROTH_TRY(const auto got, call.read_body(buffer));
                       if (got == 0)
                         break;
                       size += got;
                     }
                     return Reply::json(size);
                   },
                   .body_cap = 1ULL << 40,
                   .kind = OperationClass::Bulk,
                   .streamed = true});
  return table;
}

std::unique_ptr<Client> make_client(const Peers& peers) {
  ClientOptions options;
  options.host = "127.0.0.1";
  options.port = static_cast<std::uint16_t>(peers.port);
  options.tls = must(common::tls::ReloadableContext::make(
      [ca = peers.directory + "/ca.crt"] { return common::tls::make_client({.ca = ca}); }));
  return std::make_unique<Client>(std::move(options));
}

Measured transfer(const Peers& peers, const Load& load) {
  auto client = make_client(peers);
  Request warm;
  warm.service = "bench";
  warm.operation = "lookup";
  warm.args = kArgs;
  (void)must(client->call(warm).answer);

  Request request;
  request.service = "bench";
  request.operation = load.kind;
  request.deadline = now() + std::chrono::minutes(5);
  std::uint64_t received = 0;
  if (load.kind == "get") {
    request.args = nlohmann::json{{"size", load.size}}.dump();
    request.sink = [&](std::span<const std::byte> part) -> common::Status {
      received += part.size();
      return {};
    };
  } else {
    request.source_size = load.size;
    request.source = endless(load.size);
  }
  const double cpu = cpu_seconds_of_this_process();
  const auto begin = std::chrono::steady_clock::now();
  const Answer answer = must(client->call(request).answer);
  Measured measured;
  measured.seconds = since(begin);
  measured.cpu_seconds = cpu_seconds_of_this_process() - cpu;
  const std::uint64_t moved = load.kind == "get" ? received : answer.result().get<std::uint64_t>();
  if (moved != load.size)
    std::exit(1);
  return measured;
}

}  // namespace

int serve_ours(const Peers& peers) {
  ServerOptions options;
  options.role = "bench";
  options.tls = must(common::tls::ReloadableContext::make([d = peers.directory] {
    return common::tls::make_server({d + "/server.crt", d + "/server.key", d + "/ca.crt"});
  }));
  auto server = must(Server::start(std::move(options), operations()));
  std::printf("%d\n", server->port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

Measured load_ours(const Peers& peers, const Load& load) {
  if (load.kind != "json")
    return transfer(peers, load);
  return run_callers(load.callers, load.seconds, [&peers] {
    std::shared_ptr<Client> client = make_client(peers);
    return [client]() -> bool {
      Request request;
      request.service = "bench";
      request.operation = "lookup";
      request.head.id = {0x0123456789abcdef, 0xfedcba9876543210};
      request.args = kArgs;
      const CallResult result = client->call(request);
      return result.answer && result.answer->result().at("node").get<std::uint64_t>() == 123457;
    };
  });
}

}  // namespace bench
