#include "common/fileproto/common_fields.hpp"
#include "common/fileproto/volumes.hpp"

namespace common::fileproto {
namespace codec {

namespace {

constexpr std::array<Word<WriteConflict>, 2> kWriteConflicts{
    {{WriteConflict::LastWins, "last-wins"}, {WriteConflict::Refuse, "refuse"}}};
constexpr std::array<Word<CloseLevel>, 2> kCloseLevels{
    {{CloseLevel::Committed, "committed"}, {CloseLevel::Stable, "stable"}}};
constexpr std::size_t kMaxStateBytes = 32;

}  // namespace

template <typename F>
void fields(F& f, VolumePolicy& m) {
  f.word_or_first("write_conflict", m.write_conflict, kWriteConflicts);
  f.word_or_first("close_level", m.close_level, kCloseLevels);
  const auto number = [](auto& item, std::uint32_t& principal) { item.number(principal); };
  f.list_or_none("trusted_hosts", m.trusted_hosts, kMaxPolicyPrincipals, number);
  f.list_or_none("administrators", m.administrators, kMaxPolicyPrincipals, number);
}
template <typename F>
void fields(F& f, VolumeCreateArgs& m) {
  f.refuse_others();
  f.text("name", m.name, kMaxVolumeNameBytes);
  f.flag("root", m.root);
  f.flag("sealed", m.sealed);
  f.object("policy", m.policy);
  f.optional("quota_bytes", m.quota_bytes, kMaxFileSize);
  f.optional("quota_nodes", m.quota_nodes, kMaxNodeId);
  f.defaulted("uid", m.uid);
  f.defaulted("gid", m.gid);
  f.defaulted("mode", m.mode, 0755, kMaxMode);
}
template <typename F>
void fields(F& f, VolumeDescription& m) {
  f.number("volume", m.volume);
  f.hex("uuid", m.uuid);
  f.text("name", m.name, kMaxVolumeNameBytes);
  f.flag("root", m.root);
  f.flag("sealed", m.sealed);
  f.object("policy", m.policy);
  f.optional_fid("attached", m.attached);
  f.text("state", m.state, kMaxStateBytes);
  f.text("why", m.why, kMaxReasonBytes);
  f.optional("quota_bytes", m.quota_bytes);
  f.optional("quota_nodes", m.quota_nodes);
  f.defaulted("used_bytes", m.used_bytes);
  f.defaulted("used_nodes", m.used_nodes);
}
template <typename F>
void fields(F& f, VolumeResult& m) {
  fields(f, m.volume);
}
template <typename F>
void which(F& f, VolumeRef& m) {
  f.refuse_others();
  f.optional("volume", m.volume);
  f.optional_name("name", m.name);
  f.require(m.volume.has_value() != m.name.has_value(), "volume", "either this or \"name\"");
}
template <typename F>
void fields(F& f, VolumeShowArgs& m) {
  which(f, m.which);
}
template <typename F>
void fields(F& f, VolumeListArgs&) {
  f.refuse_others();
}
template <typename F>
void fields(F& f, VolumeListResult& m) {
  f.list("volumes", m.volumes, kMaxVolumes,
         [](auto& item, VolumeDescription& volume) { item.object(volume); });
}
template <typename F>
void fields(F& f, VolumeDeleteArgs& m) {
  which(f, m.which);
}
template <typename F>
void fields(F& f, VolumeRenameArgs& m) {
  which(f, m.which);
  f.text("to", m.to, kMaxVolumeNameBytes);
}
template <typename F>
void fields(F& f, VolumeQuotaArgs& m) {
  which(f, m.which);
  f.optional("bytes", m.bytes, kMaxFileSize);
  f.optional("nodes", m.nodes, kMaxNodeId);
}
template <typename F>
void fields(F& f, VolumePolicyArgs& m) {
  which(f, m.which);
  f.object("policy", m.policy);
}
template <typename F>
void fields(F& f, VolumeAttachArgs& m) {
  which(f, m.which);
  f.fid("dir", m.dir);
}
template <typename F>
void fields(F& f, VolumeDetachArgs& m) {
  which(f, m.which);
}

}  // namespace codec

TROTH_FILEPROTO_MESSAGE(VolumeCreateArgs);
TROTH_FILEPROTO_MESSAGE(VolumeResult);
TROTH_FILEPROTO_MESSAGE(VolumeShowArgs);
TROTH_FILEPROTO_MESSAGE(VolumeListArgs);
TROTH_FILEPROTO_MESSAGE(VolumeListResult);
TROTH_FILEPROTO_MESSAGE(VolumeDeleteArgs);
TROTH_FILEPROTO_MESSAGE(VolumeRenameArgs);
TROTH_FILEPROTO_MESSAGE(VolumeQuotaArgs);
TROTH_FILEPROTO_MESSAGE(VolumePolicyArgs);
TROTH_FILEPROTO_MESSAGE(VolumeAttachArgs);
TROTH_FILEPROTO_MESSAGE(VolumeDetachArgs);

}  // namespace common::fileproto
