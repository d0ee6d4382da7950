// The file server that bench_promises measures: everything of the real one but its main program.

#include <fcntl.h>
#include <fmt/core.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include <nlohmann/json.hpp>

#include "bench/promises.hpp"
#include "common/auth/session.hpp"
#include "common/fileproto/block_names.hpp"
#include "common/io/unique_fd.hpp"
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

// --- what transfers cost that do nothing, or only what nobody can leave out ---

void hash_blocks(std::span<const std::byte> bytes) {
  const auto parts = fileproto::parts_of_piece(0, bytes);
  std::vector<fileproto::ContentName> names(parts.size());
  must(fileproto::name_data_blocks(parts, names), "hashing");
}

// Files that grow as segments do, and stay: memory that is given back would be had sooner.
class KeptBytes {
 public:
  explicit KeptBytes(std::string directory) : directory_(std::move(directory)) {}

  void append(std::span<const std::byte> bytes) {
    constexpr std::uint64_t kFile = 256 << 20;
    constexpr std::uint64_t kAtOnce = 8 << 20;  // that the kernel is asked to begin writing
    const MutexLock lock(mutex_);
    if (!file_.valid() || at_ + bytes.size() > kFile) {
      const std::string name = fmt::format("{}/kept-{}", directory_, ++files_);
      file_ = UniqueFd(::open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      at_ = 0;
    }
    if (::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at_)) !=
        static_cast<ssize_t>(bytes.size()))
      die("writing bytes that are kept");
    at_ += bytes.size();
    if (at_ % kAtOnce == 0)
      ::sync_file_range(file_.get(), static_cast<off_t>(at_ - kAtOnce), kAtOnce,
                        SYNC_FILE_RANGE_WRITE);
  }

 private:
  const std::string directory_;
  Mutex mutex_;
  UniqueFd file_ GUARDED_BY(mutex_);
  std::uint64_t at_ GUARDED_BY(mutex_) = 0;
  int files_ GUARDED_BY(mutex_) = 0;
};

// GET of always the same memory. "bound": hashed before it is sent, as whatever is stored must be.
void add_bare_get(rpc::OperationTable& table, const std::string& name, bool hashed) {
  static const std::vector<std::byte> kBytes(kTransferred, std::byte{0x5A});
  rpc::Operation get;
  get.service = "file";
  get.name = name;
  get.kind = rpc::OperationClass::Bulk;
  get.handler = [hashed](rpc::Call& call) -> Result<rpc::Reply> {
    rpc::Reply reply;
    reply.source_size = call.args().at("size").get<std::uint64_t>();
    reply.source = [hashed, left = reply.source_size](
                       std::span<std::byte>) mutable -> Result<std::span<const std::byte>> {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, kTransferred));
      left -= part;
      if (hashed)
        hash_blocks(std::span(kBytes).first(part));
      return std::span(kBytes).first(part);
    };
    return reply;
  };
  add(table, std::move(get));
}

// PUT that throws all away; with `kept` it is hashed once and written to a file.
void add_bare_put(rpc::OperationTable& table, const std::string& name,
                  const std::shared_ptr<KeptBytes>& kept) {
  rpc::Operation put;
  put.service = "file";
  put.name = name;
  put.kind = rpc::OperationClass::Bulk;
  put.body_cap = 64 << 20;
  put.streamed = true;
  put.handler = [kept](rpc::Call& call) -> Result<rpc::Reply> {
    std::vector<std::byte> buffer(kTransferred);
    std::size_t filled = 0;
    for (;;) {
      TROTH_TRY(const std::size_t some, call.read_body(std::span(buffer).subspan(filled)));
      filled += some;
      if (kept && (filled == buffer.size() || (some == 0 && filled > 0))) {
        hash_blocks(std::span(buffer).first(filled));
        kept->append(std::span(buffer).first(filled));
      }
      if (filled == buffer.size())
        filled = 0;
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
  const auto kept = std::make_shared<KeptBytes>(files.data);
  add_bare_get(table, "bare-get", false);
  add_bare_get(table, "bound-get", true);
  add_bare_put(table, "bare-put", nullptr);
  add_bare_put(table, "bound-put", kept);
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
