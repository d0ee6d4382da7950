#include "common/fileclient/file_client.hpp"

#include "common/auth/authenticate.hpp"
#include "common/config/values.hpp"

namespace common::fileclient {
namespace {

constexpr std::string_view kRole = "fileserver";
// Longer requests go over connections of their own, so that no lookup waits behind them.
constexpr std::size_t kBulkFrom = 64 * 1024;

// A caller without a login is not to be taken for a file that is not there.
rpc::Authenticate by_ticket(rpc::Authenticate authenticate) {
  return [authenticate = std::move(authenticate)](
             rpc::Client& client, Instant deadline,
             const rpc::Cancellation* cancellation) -> Result<Instant> {
    auto proven = authenticate(client, deadline, cancellation);
    if (!proven && proven.error().code == ErrorCode::NotFound)
      proven.error().code = ErrorCode::Unauthenticated;
    return proven;
  };
}

Result<VolumeMap::Servers> servers_of(const FileClientOptions& options) {
  VolumeMap::Servers servers;
  for (const auto& entry : options.cell.servers) {
    if (entry.role != kRole)
      continue;
    TROTH_TRY(const auto endpoint, config::parse_endpoint(entry.address));
    rpc::PoolOptions pool;
    pool.client.host = endpoint.host;
    pool.client.port = endpoint.port;
    // Every cell has an id but those that tests make up.
    if (!options.cell.id.empty()) {
      pool.client.cell_id = options.cell.id;
      pool.client.role = kRole;
    }
    pool.client.tls = options.tls;
    if (options.tickets) {
      pool.client.authenticate = by_ticket(
          auth::authenticate_with(options.tickets, std::string(kRole) + "/" + entry.name));
    }
    pool.calls = options.connections;
    pool.bulk = options.bulk_connections;
    pool.idle_bulk = options.bulk_connections;
    servers.push_back(std::make_shared<FileServer>(
        FileServerOptions{.name = entry.name, .pool = std::move(pool)}));
  }
  if (servers.empty()) {
    return fail(ErrorCode::NotFound, "the description of cell {} names no file server",
                options.cell.name);
  }
  return servers;
}

}  // namespace

FileClient::FileClient(FileClientOptions options)
    : options_(std::move(options)), ids_(*options_.clock) {}

Result<std::unique_ptr<FileClient>> FileClient::open(FileClientOptions options) {
  TROTH_TRY(auto servers, servers_of(options));
  std::unique_ptr<FileClient> client(new FileClient(std::move(options)));
  client->volumes_ = std::make_unique<VolumeMap>(std::move(servers));
  return client;
}

CallOptions FileClient::filled(CallOptions options) const {
  options.deadline = options.until();
  if (options.cancellation == nullptr)
    options.cancellation = options_.cancellation;
  return options;
}

Result<rpc::Answer> FileClient::send(VolumeId volume, const Outgoing& outgoing,
                                     const CallOptions& given) {
  const CallOptions options = filled(given);
  TROTH_TRY(const auto server, volumes_->server_of(volume, options));
  auto answer = server->call(outgoing, options);
  if (answer || answer.error().code != ErrorCode::NotFound || !volumes_->look_again(options))
    return answer;
  // The volume may have moved.
  TROTH_TRY(const auto other, volumes_->server_of(volume, options));
  return other == server ? std::move(answer) : other->call(outgoing, options);
}

Result<fileproto::ChangeResult> FileClient::send_change(VolumeId volume, std::string_view name,
                                                        std::string args, ByteView bytes,
                                                        const CallOptions& options) {
  const OperationId id = options.id == OperationId{} ? ids_.next() : options.id;
  TROTH_TRY(const auto answer,
            send(volume,
                 {.operation = name,
                  .args = std::move(args),
                  .bytes = bytes,
                  .id = id,
                  .lane = bytes.size() >= kBulkFrom ? rpc::Lane::Bulk : rpc::Lane::Calls},
                 options));
  return fileproto::decode<fileproto::ChangeResult>(answer.result());
}

Result<fileproto::ChangeResult> FileClient::batch(const fileproto::BatchArgs& args,
                                                  const CallOptions& options, ByteView bytes) {
  if (args.changes.empty())
    return fail(ErrorCode::InvalidArgument, "a batch of no changes");
  return send_change(volume_of(args.changes[0]), "batch", fileproto::encode(args), bytes, options);
}

Result<fileproto::ListResult> FileClient::list(fileproto::ListArgs args,
                                               const CallOptions& options) {
  args.packed = true;
  TROTH_TRY(
      const auto answer,
      send(args.dir.volume,
           {.operation = "list", .args = fileproto::encode(args), .bytes = {}, .id = {}}, options));
  return fileproto::decode_packed_list(answer.result(), answer.bytes);
}

Result<Fetched> FileClient::fetch(const fileproto::FetchArgs& args, const CallOptions& options) {
  TROTH_TRY(auto answer, send(args.fid.volume,
                              {.operation = "fetch",
                               .args = fileproto::encode(args),
                               .bytes = {},
                               .id = {},
                               .lane = rpc::Lane::Bulk},
                              options));
  Fetched fetched;
  TROTH_TRY(fetched.result, fileproto::decode<fileproto::FetchResult>(answer.result()));
  if (fetched.result.raw_bytes() != answer.bytes.size())
    return fail(ErrorCode::Protocol, "the file server sent {} bytes and spoke of {}",
                answer.bytes.size(), fetched.result.raw_bytes());
  fetched.bytes = std::move(answer.bytes);
  return fetched;
}

Result<BulkFetched> FileClient::bulk(const fileproto::BulkArgs& args, const CallOptions& options) {
  TROTH_TRY(auto answer, send(args.nodes.at(0).fid.volume,
                              {.operation = "bulk",
                               .args = fileproto::encode(args),
                               .bytes = {},
                               .id = {},
                               .lane = rpc::Lane::Bulk},
                              options));
  BulkFetched fetched;
  TROTH_TRY(fetched.result, fileproto::decode<fileproto::BulkResult>(answer.result()));
  fetched.raw = std::move(answer.bytes);
  TROTH_TRY(fetched.files, fileproto::decode_bulk(fetched.raw, fetched.result.count));
  return fetched;
}

Result<fileproto::StageResult> FileClient::stage_write(const fileproto::StageWriteArgs& args,
                                                       ByteView bytes, const CallOptions& options) {
  TROTH_TRY(const auto answer, send(args.staging.volume,
                                    {.operation = "stage-write",
                                     .args = fileproto::encode(args),
                                     .bytes = bytes,
                                     .id = {},
                                     .lane = rpc::Lane::Bulk},
                                    options));
  return fileproto::decode<fileproto::StageResult>(answer.result());
}

}  // namespace common::fileclient
