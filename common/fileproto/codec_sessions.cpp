#include "common/fileproto/common_fields.hpp"

namespace common::fileproto {
namespace codec {

template <typename F>
void fields(F& f, Resume& m) {
  f.number("session", m.session);
  f.hex("proof", m.proof);
}
template <typename F>
void fields(F& f, SessionOpenArgs& m) {
  f.refuse_others();
  f.hex("mount", m.mount);
  f.optional_object("resume", m.resume);
  // The other half is of those who have no session.
  f.require((m.mount[0] & std::byte{0x80}) == std::byte{0}, "mount", "a first bit of 0");
}
template <typename F>
void fields(F& f, SessionOpenResult& m) {
  f.number("session", m.session);
  f.hex("key", m.key);
  f.number("lease_ms", m.lease);
  f.number("margin_ms", m.margin);
  f.defaulted("stream_port", m.stream_port);
  f.list_or_none("volumes", m.volumes, kMaxVolumes, [](auto& item, VolumeProgress& progress) {
    item.tuple([&](auto& triple) {
      triple.number(progress.volume);
      triple.number(progress.epoch);
      triple.number(progress.stable);
    });
  });
}
template <typename F>
void fields(F& f, SessionJoinArgs& m) {
  f.refuse_others();
  f.number("session", m.session);
  f.hex("proof", m.proof);
}
template <typename F>
void fields(F& f, SessionCloseArgs& m) {
  f.refuse_others();
  f.number("session", m.session);
}
template <typename F>
void fields(F&, Done&) {}

}  // namespace codec

TROTH_FILEPROTO_MESSAGE(SessionOpenArgs);
TROTH_FILEPROTO_MESSAGE(SessionOpenResult);
TROTH_FILEPROTO_MESSAGE(SessionJoinArgs);
TROTH_FILEPROTO_MESSAGE(SessionCloseArgs);
TROTH_FILEPROTO_MESSAGE(Done);

}  // namespace common::fileproto
