#pragma once

// The files of a cell for one caller: every operation of the file service as a typed call, sent to
// whichever server has the volume. What people and mounts do with files is built of these.

#include <memory>
#include <string>
#include <vector>

#include "common/auth/credential_source.hpp"
#include "common/cell/description.hpp"
#include "common/fileclient/calls.hpp"
#include "common/fileclient/operation_ids.hpp"
#include "common/fileclient/volume_map.hpp"
#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"

namespace common::fileclient {

struct FileClientOptions {
  cell::Description cell;
  std::shared_ptr<tls::ReloadableContext> tls;      // believes the cell's authority only
  std::shared_ptr<auth::CredentialSource> tickets;  // whose; none: calls prove nobody
  const Clock* clock = nullptr;                     // outlives the client; for operation ids
  // Ends every call that names no other; outlives the client.
  const rpc::Cancellation* cancellation = nullptr;
  std::size_t connections = 8;       // for calls, to each server
  std::size_t bulk_connections = 4;  // for file contents
};

// Bytes that came with a result.
struct Fetched {
  fileproto::FetchResult result;
  Bytes bytes;  // of result.ranges, one after the other
};
struct BulkFetched {
  fileproto::BulkResult result;
  Bytes raw;
  std::vector<fileproto::BulkFile> files;  // in the order asked for; their bytes lie in `raw`
};

// Safe from any thread. Every call blocks until its deadline at most, is repeated where that is
// safe, and fails with one error that stands: what the server said, or why it could not be asked.
class FileClient {
 public:
  [[nodiscard]] static Result<std::unique_ptr<FileClient>> open(FileClientOptions options);

  [[nodiscard]] VolumeMap& volumes() { return *volumes_; }
  [[nodiscard]] const std::string& cell_name() const { return options_.cell.name; }
  [[nodiscard]] const std::string& cell_id() const { return options_.cell.id; }

  // A call that moves no raw bytes and changes no file.
  template <typename Args>
  [[nodiscard]] Result<typename CallOf<Args>::Result> ask(const Args& args,
                                                          const CallOptions& options = {}) {
    TROTH_TRY(const auto answer, send(CallOf<Args>::volume(args),
                                      {.operation = CallOf<Args>::kName,
                                       .args = fileproto::encode(args),
                                       .bytes = {},
                                       .id = {}},
                                      options));
    return fileproto::decode<typename CallOf<Args>::Result>(answer.result());
  }

  // A change; `bytes` are those that come along with it.
  template <typename C>
  [[nodiscard]] Result<fileproto::ChangeResult> change(const fileproto::ChangeArgs<C>& args,
                                                       const CallOptions& options = {},
                                                       ByteView bytes = {}) {
    return send_change(volume_of(args.change), CallNameOf<C>::kName, fileproto::encode(args), bytes,
                       options);
  }
  // The same without conditions.
  template <typename C>
  [[nodiscard]] Result<fileproto::ChangeResult> change(const C& change,
                                                       const CallOptions& options = {},
                                                       ByteView bytes = {}) {
    fileproto::ChangeArgs<C> args;
    args.change = change;
    return this->change(args, options, bytes);
  }
  [[nodiscard]] Result<fileproto::ChangeResult> batch(const fileproto::BatchArgs& args,
                                                      const CallOptions& options = {},
                                                      ByteView bytes = {});

  // One page.
  [[nodiscard]] Result<fileproto::ListResult> list(fileproto::ListArgs args,
                                                   const CallOptions& options = {});
  [[nodiscard]] Result<Fetched> fetch(const fileproto::FetchArgs& args,
                                      const CallOptions& options = {});
  [[nodiscard]] Result<BulkFetched> bulk(const fileproto::BulkArgs& args,
                                         const CallOptions& options = {});
  [[nodiscard]] Result<fileproto::StageResult> stage_write(const fileproto::StageWriteArgs& args,
                                                           ByteView bytes,
                                                           const CallOptions& options = {});

  // The raw form of all of the above: for calls that this class does not know.
  [[nodiscard]] Result<rpc::Answer> send(VolumeId volume, const Outgoing& outgoing,
                                         const CallOptions& options);
  [[nodiscard]] OperationId new_id() { return ids_.next(); }
  [[nodiscard]] CallOptions filled(CallOptions options) const;

 private:
  explicit FileClient(FileClientOptions options);
  [[nodiscard]] Result<fileproto::ChangeResult> send_change(VolumeId volume, std::string_view name,
                                                            std::string args, ByteView bytes,
                                                            const CallOptions& options);

  const FileClientOptions options_;
  std::unique_ptr<VolumeMap> volumes_;
  OperationIds ids_;
};

}  // namespace common::fileclient
