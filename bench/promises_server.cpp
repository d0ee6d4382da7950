// The file server that bench_promises measures: everything of the real one but its main program.

#include <fmt/core.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>

#include <nlohmann/json.hpp>

#include "bench/promises.hpp"
#include "common/auth/session.hpp"
#include "common/metrics/registry.hpp"
#include "common/rpc/server.hpp"
#include "common/ticket/keytab.hpp"
#include "fileserver/changes/pipeline.hpp"
#include "fileserver/operations/dispatch.hpp"
#include "fileserver/sessions/sessions.hpp"

namespace bench {

namespace {

using namespace common;
using namespace std::chrono_literals;
namespace fsv = fileserver;

constexpr int kFilesPerCommit = 1'000;
constexpr std::size_t kTransferred = 1 << 20;
constexpr std::string_view kAnswerOfGetattr =
    R"({"e":1,"stable":3,"grants":1234567,"nodes":[{"n":1031,"k":"f","m":438,"u":0,"g":0,"l":1,)"
    R"("s":0,"b":0,"mt":1790000000123456789,"ct":1790000000123456789,"at":1790000000123456789,)"
    R"("v":2,"dv":2,"h":1,"p":1}]})";

void add(rpc::OperationTable& table, rpc::Operation operation) {
  must(table.add(std::move(operation)), "adding an operation");
}

std::uint64_t make_files(fsv::store::Volume& volume, int count) {
  std::uint64_t first = 0;
  for (int made = 0; made < count; made += kFilesPerCommit) {
    fsv::store::CommitRequest request;
    for (int i = made; i < std::min(count, made + kFilesPerCommit); ++i) {
      fsv::store::Create create;
      create.parent = fsv::store::kRootNode;
      create.name = fmt::format("f{}", i);
      create.mode = 0666;
      request.operations.emplace_back(std::move(create));
    }
    const auto done = must(volume.commit(request), "making files");
    if (first == 0)
      first = done.created.front().value;
  }
  return first;
}

// What transfers cost that read and write nothing: always the same memory.
void add_bare_transfers(rpc::OperationTable& table) {
  static const std::vector<std::byte> kBytes(kTransferred, std::byte{0x5A});
  rpc::Operation get;
  get.service = "file";
  get.name = "bare-get";
  get.kind = rpc::OperationClass::Bulk;
  get.handler = [](rpc::Call& call) -> Result<rpc::Reply> {
    rpc::Reply reply;
    reply.source_size = call.args().at("size").get<std::uint64_t>();
    reply.source = [left = reply.source_size](
                       std::span<std::byte>) mutable -> Result<std::span<const std::byte>> {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, kTransferred));
      left -= part;
      return std::span(kBytes).first(part);
    };
    return reply;
  };
  add(table, std::move(get));
  rpc::Operation put;
  put.service = "file";
  put.name = "bare-put";
  put.kind = rpc::OperationClass::Bulk;
  put.body_cap = 64 << 20;
  put.streamed = true;
  put.handler = [](rpc::Call& call) -> Result<rpc::Reply> {
    std::vector<std::byte> buffer(kTransferred);
    for (;;) {
      TROTH_TRY(const std::size_t some, call.read_body(buffer));
      if (some == 0)
        return rpc::Reply::text("{}");
    }
  };
  add(table, std::move(put));
}

}  // namespace

int serve(const ServerFiles& files) {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGUSR1, SIGTERM})
    sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  SystemClock clock;
  metrics::Registry metrics;
  const auto context = [&](tls::ClientCertificates certificates) {
    const tls::ServerOptions how{files.certificate, files.key, files.ca, certificates};
    return std::shared_ptr<tls::ReloadableContext>(must(
        tls::ReloadableContext::make([how] { return tls::make_server(how); }), "server context"));
  };
  fsv::VolumeSetOptions volume_options;
  volume_options.directory = files.data;
  volume_options.scrub_bytes_per_second = 0;
  const auto volumes = must(fsv::VolumeSet::open(std::move(volume_options), clock), "volumes");
  fsv::SessionsOptions session_options;
  session_options.streams.tls = context(tls::ClientCertificates::None);
  session_options.caps.per_user = session_options.promises.sessions;
  const auto sessions =
      must(fsv::Sessions::start(std::move(session_options), *volumes, clock), "sessions");
  fsv::ChangePipeline pipeline(sessions->keeper(), clock);
  fsv::access::PathCache paths;
  fsv::FileParts parts{clock, files.cell, *volumes, *sessions, sessions->keeper(), pipeline, paths};
  fsv::VolumeSet::Creation wanted;
  wanted.name = "data";
  wanted.mode = 0777;
  const auto entry = must(volumes->create(wanted), "a volume");
  const std::uint64_t first =
      make_files(*must(volumes->use(entry->id, clock.now() + 10s), "the volume"), files.files);

  const auto verifier = std::make_shared<ticket::Verifier>(files.cell, "fileserver/fs1", clock);
  must(verifier->set_keys(must(ticket::load_keytab(files.keytab), "keytab")), "keys");
  rpc::OperationTable table;
  add(table, auth::auth_operation("fileserver", verifier));
  must(fsv::add_file_operations(table, parts, metrics, fsv::AccessLog::Off), "operations");
  // What calls cost that do nothing: one that says nothing, and one that answers as getattr does.
  for (const auto& [name, answer] :
       {std::pair<std::string, std::string>("empty", "{}"),
        std::pair<std::string, std::string>("bare", kAnswerOfGetattr)}) {
    rpc::Operation operation;
    operation.service = "file";
    operation.name = name;
    operation.handler = [text = answer](rpc::Call& call) -> Result<rpc::Reply> {
      if (auth::identity_of(call) == nullptr)
        return fail(ErrorCode::Unauthenticated, "nobody");
      return rpc::Reply::text(text);
    };
    add(table, std::move(operation));
  }
  add_bare_transfers(table);
  rpc::ServerOptions options;
  options.tls = context(tls::ClientCertificates::Optional);
  options.role = "fileserver";
  options.version = "0";
  const auto calls = must(rpc::Server::start(std::move(options), std::move(table)), "calls");
  fmt::print("ports {} {} {} {}\n", calls->port(), sessions->stream_port(), entry->id.value, first);
  std::fflush(stdout);
  for (int number = 0; ::sigwait(&signals, &number) == 0 && number == SIGUSR1;) {
    // Our memory is looked at next: what answers have left behind is not the promises'.
    ::malloc_trim(0);
    fmt::print("stats {} {}\n", sessions->keeper().counts().promises,
               sessions->keeper().memory_bytes());
    std::fflush(stdout);
  }
  // What is measured is over: nobody needs the rest in order.
  std::_Exit(0);
}

}  // namespace bench
