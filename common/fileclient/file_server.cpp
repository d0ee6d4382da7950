#include "common/fileclient/file_server.hpp"

namespace common::fileclient {

rpc::Request request_of(const Outgoing& outgoing, const CallOptions& options) {
  rpc::Request request;
  request.service = "file";
  request.operation = outgoing.operation;
  request.head.id = outgoing.id;
  request.args = outgoing.args;
  request.bytes = outgoing.bytes;
  request.deadline = options.until();
  request.cancellation = options.cancellation;
  return request;
}

Result<rpc::Answer> FileServer::call(const Outgoing& outgoing, const CallOptions& options) {
  rpc::Request request = request_of(outgoing, options);
  return call_repeatedly(request, budget_, [&](rpc::Request& one) {
    return AttemptEnd{.result = pool_.call(one, outgoing.lane)};
  });
}

}  // namespace common::fileclient
