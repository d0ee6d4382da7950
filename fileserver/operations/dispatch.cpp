#include "fileserver/operations/dispatch.hpp"

#include "common/auth/session.hpp"
#include "common/log/log.hpp"
#include "fileserver/operations/file_call.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::metrics::Counter;
using common::metrics::Histogram;

using common::rpc::Call;
using common::rpc::Reply;

// What is counted of one operation; lives as long as the metrics.
struct Counts {
  Counter& done;
  Histogram& seconds;
};

class Dispatch {
 public:
  Dispatch(FileParts& parts, common::metrics::Registry& metrics, AccessLog log)
      : parts_(parts),
        metrics_(metrics),
        log_(log),
        bytes_in_(metrics.counter("troth_file_bytes_received_total",
                                  "Raw bytes that came with calls of the file service.")),
        bytes_out_(metrics.counter("troth_file_bytes_sent_total",
                                   "Raw bytes that were sent with its answers.")) {}

  [[nodiscard]] Counts counts_of(std::string_view operation) {
    return {metrics_.counter("troth_file_operations_total", "Calls of the file service.",
                             {{"operation", operation}, {"result", "ok"}}),
            metrics_.histogram("troth_file_operation_seconds",
                               "From a call's arrival to its answer, waiting included.",
                               common::metrics::latency_buckets(), {{"operation", operation}})};
  }

  Result<Reply> run(Call& call, const FileOperation& operation, const Counts& counts) {
    const auto* const identity = common::auth::identity_of(call);
    if (identity == nullptr)
      return fail(ErrorCode::Unauthenticated, "prove who you are first");
    FileCall file(parts_, call, *identity,
                  std::static_pointer_cast<FileSession>(call.peer().note()));
    Result<Reply> result = answer(file, operation);
    if (result && result->parked)
      return result;
    count(file, operation, counts, result);
    return result;
  }

 private:
  static Result<Reply> answer(FileCall& file, const FileOperation& operation) {
    TROTH_TRY_VOID(file.still_enabled());
    if (!operation.stale_too && file.session() && file.session()->over.load())
      return fail(ErrorCode::Stale, "the session of this connection is over: open another");
    return operation.run(file);
  }

  void count(FileCall& file, const FileOperation& operation, const Counts& counts,
             const Result<Reply>& result) {
    Call& call = file.rpc();
    const common::Duration took = parts_.clock.now() - (call.deadline() - call.head().deadline);
    counts.seconds.observe(std::chrono::duration<double>(took).count());
    if (result) {
      counts.done.inc();
      bytes_out_.inc(result->source ? result->source_size : result->bytes.size());
    } else {
      metrics_
          .counter(
              "troth_file_operations_total", "Calls of the file service.",
              {{"operation", operation.name}, {"result", common::to_string(result.error().code)}})
          .inc();
    }
    bytes_in_.inc(call.body_size());
    if (file.administered() ? log_ != AccessLog::Off : wanted(operation, result))
      log(file, operation, result, took);
  }

  [[nodiscard]] bool wanted(const FileOperation& operation, const Result<Reply>& result) const {
    switch (log_) {
      case AccessLog::Off:
        return false;
      case AccessLog::Refused:
        break;
      case AccessLog::Changes:
        if (operation.needs_id)
          return true;
        break;
      case AccessLog::All:
        return true;
    }
    return !result && result.error().code == ErrorCode::PermissionDenied;
  }

  static void log(FileCall& file, const FileOperation& operation, const Result<Reply>& result,
                  common::Duration took) {
    const common::Fid fid = file.noted().value_or(common::Fid{});
    common::log::info(
        "file access",
        {{"operation", operation.name},
         {"caller", file.identity().client.name},
         {"address", file.rpc().peer().address()},
         {"volume", fid.volume.value},
         {"node", fid.node.value},
         {"result", result ? std::string_view("ok") : common::to_string(result.error().code)},
         {"why", result ? std::string() : result.error().message},
         // Nothing else would have allowed it.
         {"administration", file.administered()},
         {"ms", std::chrono::duration<double, std::milli>(took).count()},
         {"trace", file.rpc().head().trace}});
  }

  FileParts& parts_;
  common::metrics::Registry& metrics_;
  const AccessLog log_;
  Counter& bytes_in_;
  Counter& bytes_out_;
};

}  // namespace

Status add_file_operations(common::rpc::OperationTable& table, FileParts& parts,
                           common::metrics::Registry& metrics, AccessLog log) {
  const auto dispatch = std::make_shared<Dispatch>(parts, metrics, log);
  for (const auto family : {session_operations(), volume_operations(), lookup_operations(),
                            open_operations(), namespace_operations(), content_operations()}) {
    for (const FileOperation& operation : family) {
      common::rpc::Operation entry;
      entry.service = "file";
      entry.name = operation.name;
      entry.kind = operation.kind;
      entry.body_cap = operation.body_cap;
      entry.needs_operation_id = operation.needs_id;
      entry.streamed = operation.streamed;
      entry.handler = [dispatch, &operation, counts = dispatch->counts_of(operation.name)](
                          Call& call) { return dispatch->run(call, operation, counts); };
      TROTH_TRY_VOID(table.add(std::move(entry)));
    }
  }
  return {};
}

}  // namespace fileserver
