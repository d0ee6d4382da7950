// Opening, resuming, joining and closing sessions.

#include "common/crypto/secret.hpp"
#include "common/fileproto/codec.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/sessions/sessions.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::rpc::Reply;

Result<Sessions::Proof> binding_of(FileCall& call) {
  return call.rpc().peer().channel_binding();
}

Result<Reply> session_open(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::SessionOpenArgs>(call.args()));
  Sessions& sessions = call.parts().sessions;
  const store::MountId mount{args.mount};
  FileSessionPtr session;
  if (args.resume) {
    TROTH_TRY(const auto binding, binding_of(call));
    TROTH_TRY(session, sessions.resume(call.identity().client.name, mount, args.resume->session,
                                       args.resume->proof, binding));
  } else {
    TROTH_TRY(session, sessions.open(call.identity().client, mount));
  }
  session->callers.lock()->add(call.identity().client.id);
  // One that is disabled just now may have come too late to be ended with his others.
  if (const Status enabled = call.still_enabled(); !enabled) {
    sessions.close(session);
    return tl::unexpected(enabled.error());
  }
  call.rpc().peer().set_note(session);
  fileproto::SessionOpenResult result;
  result.session = session->id;
  std::copy_n(session->key->bytes().begin(), result.key.size(), result.key.begin());
  result.lease = sessions.lease();
  result.margin = sessions.margin();
  result.stream_port = sessions.stream_port();
  for (const VolumeId id : sessions.volumes_of(session)) {
    const auto volume = call.volume(id);
    if (volume)
      result.volumes.push_back({id, (*volume)->epoch(), (*volume)->stable_seq()});
  }
  Reply reply = Reply::text(encode(result));
  common::crypto::wipe(result.key);
  return reply;
}

Result<Reply> session_join(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::SessionJoinArgs>(call.args()));
  TROTH_TRY(const auto binding, binding_of(call));
  TROTH_TRY(auto session, call.parts().sessions.join(call.identity().client.name, args.session,
                                                     args.proof, binding));
  session->callers.lock()->add(call.identity().client.id);
  TROTH_TRY_VOID(call.still_enabled());
  call.rpc().peer().set_note(std::move(session));
  return Reply::text(encode(fileproto::Done{}));
}

Result<Reply> session_close(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::SessionCloseArgs>(call.args()));
  if (!call.session() || call.session()->id != args.session)
    return fail(ErrorCode::Stale, "this connection has not joined that session");
  call.parts().sessions.close(call.session());
  call.rpc().peer().set_note(nullptr);
  return Reply::text(encode(fileproto::Done{}));
}

}  // namespace

std::span<const FileOperation> session_operations() {
  static constexpr FileOperation kOperations[] = {
      {.name = "session-open", .run = session_open, .stale_too = true},
      {.name = "session-join", .run = session_join, .stale_too = true},
      {.name = "session-close", .run = session_close},
  };
  return kOperations;
}

}  // namespace fileserver
