#include "tests/support/fileproto_samples.hpp"

#include <cerrno>

#include <nlohmann/json.hpp>

namespace test_support {
namespace {

using namespace common;
using namespace common::fileproto;

template <typename Array>
Array bytes(int value) {
  Array array;
  array.fill(static_cast<std::byte>(value));
  return array;
}

Fid fid(std::uint64_t node) {
  return {VolumeId(3), NodeId(node)};
}

const VolumeState kState{Epoch(5), Seq(900), 77};
const LocalUser kUser{1'000, 100, {4, 24, 1'000}};
const Scope kScope{kUser, NodeId(20), Seq(800)};
const std::string kToken = "\x01\xFFtoken";

ChangeScope change_scope() {
  return {AnyUser{},
          NodeId(20),
          SessionId(0xFEDC'BA98'7654'3210),
          76,
          {VersionIs{fid(7), Seq(9)}, DataVersionIs{fid(7), Seq(8)},
           NameIs{fid(1), "gone", std::nullopt}, NameIs{fid(1), "n\xC3\xA9", NodeId(12)},
           TokenHolds{fid(7), kToken}}};
}

class Samples {
 public:
  template <typename Message>
  void add(std::string_view name, const Message& message) {
    list_.push_back({name, name.ends_with("Args"), encode(message),
                     [](const nlohmann::json& value) -> Result<std::string> {
                       TROTH_TRY(const Message decoded, decode<Message>(value));
                       return encode(decoded);
                     },
                     [](std::string_view text) -> Result<std::string> {
                       TROTH_TRY(const Message decoded, decode_text<Message>(text));
                       return encode(decoded);
                     }});
  }
  template <typename C>
  void add_change(std::string_view name, const C& change) {
    add(name, ChangeArgs<C>{change_scope(), change});
  }
  std::vector<SampleMessage> take() { return std::move(list_); }

 private:
  std::vector<SampleMessage> list_;
};

void add_sessions(Samples& to) {
  const auto mount = bytes<MountId>(0x4D);
  const auto proof = bytes<Proof>(0xA5);
  to.add("SessionOpenArgs", SessionOpenArgs{mount, Resume{SessionId(11), proof}});
  to.add("SessionOpenResult", SessionOpenResult{.session = SessionId(11),
                                                .key = bytes<SessionKey>(0x5E),
                                                .lease = std::chrono::milliseconds(10'000),
                                                .margin = std::chrono::milliseconds(2'000),
                                                .volumes = {{VolumeId(3), Epoch(5), Seq(900)}}});
  to.add("SessionJoinArgs", SessionJoinArgs{SessionId(11), proof});
  to.add("SessionCloseArgs", SessionCloseArgs{SessionId(11)});
  to.add("Done", Done{});
}

void add_names(Samples& to) {
  to.add("VolumesArgs", VolumesArgs{kScope});
  to.add(
      "VolumesResult",
      VolumesResult{{{VolumeId(3), bytes<std::array<std::byte, 16>>(0x33), "home", NodeId(1), 1},
                     {VolumeId(4), bytes<std::array<std::byte, 16>>(0x44), "work", NodeId(1), 0}}});
  to.add("LookupArgs", LookupArgs{kScope, fid(1), "new\nline \xC3\xA9"});
  to.add("LookupResult", LookupResult{kState, sample_directory(), sample_file()});
  to.add("WalkArgs", WalkArgs{kScope, fid(1), {"a", "\xFF\xFE", " b "}});
  to.add("WalkResult", WalkResult{kState, sample_directory(), {sample_directory(), sample_file()}});
  to.add("GetattrArgs", GetattrArgs{kScope, {fid(7), fid(8)}});
  GetattrResult found{kState, {}};
  found.nodes.emplace_back(sample_file());
  found.nodes.emplace_back(fail_posix(ENOENT, "there is no such node"));
  to.add("GetattrResult", found);
  to.add("ListArgs", ListArgs{kScope, fid(1), "after", 100, true});
  to.add("ListResult",
         ListResult{kState, sample_directory(), {{"f\xC3\xB6", sample_file()}}, "f\xC3\xB6"});
  to.add("RevalidateArgs", RevalidateArgs{kScope, {{fid(7), Seq(9)}, {fid(8), Seq(0)}}});
  to.add("RevalidateResult", RevalidateResult{kState, {sample_file()}, {NodeId(8)}});
}

void add_nodes(Samples& to) {
  to.add("ReadlinkArgs", ReadlinkArgs{kScope, fid(7)});
  to.add("ReadlinkResult", ReadlinkResult{kState, sample_file(), "../else\xFF"});
  to.add("XattrArgs", XattrArgs{kScope, fid(7), "user.mime"});
  to.add("XattrResult", XattrResult{kState, sample_file(), "text/plain"});
  to.add("XattrsArgs", XattrsArgs{kScope, fid(7)});
  to.add("XattrsResult", XattrsResult{kState, sample_file(), {"user.mime", "user.\xFF"}});
  to.add("AclArgs", AclArgs{kScope, fid(7)});
  to.add("AclResult",
         AclResult{kState, sample_file(), NodeId(1),
                   Acl{{AclWho::User, 10'001, right::kAll, false},
                       {AclWho::Group, 10'100, right::kRead | right::kLookup, true},
                       {AclWho::Host, 20'000, right::kLock, false},
                       {AclWho::AnyUser, 0, right::kLookup, false},
                       {AclWho::AuthUser, 0, right::kAdminister | right::kWrite, false}}});
  to.add("AccessArgs", AccessArgs{kScope, fid(7)});
  to.add("AccessResult",
         AccessResult{kState, sample_file(), permission::kRead | permission::kWrite,
                      permission::kRead | permission::kExecute, right::kRead | right::kInsert});
  to.add("HistoryArgs", HistoryArgs{kScope, fid(7), 10});
  to.add("HistoryResult", HistoryResult{kState, {{sample_file(), Seq(12)}, {sample_file(), {}}}});
  to.add("SeqAtArgs", SeqAtArgs{kScope, VolumeId(3), -5});
  to.add("SeqAtResult", SeqAtResult{kState, Seq(850)});
  to.add("ChangesSinceArgs", ChangesSinceArgs{kScope, VolumeId(3), Seq(800), 50});
  to.add("ChangesSinceResult", ChangesSinceResult{kState, Seq(850), Seq(901), 50});
  to.add("StatfsArgs", StatfsArgs{kScope, VolumeId(3)});
  to.add("StatfsResult", StatfsResult{kState, 1'000'000, 500'000, 400'000, 1'000, 900});
  to.add("LockPermitArgs", LockPermitArgs{kScope, fid(7)});
  to.add("LockPermitResult", LockPermitResult{kState, kToken});
  to.add("WhynotArgs", WhynotArgs{kScope, "unlink", fid(1), "name"});
  to.add("WhynotResult",
         WhynotResult{true, "the list of directory 1 grants 'd' to user 10001", EACCES});
}

void add_contents(Samples& to) {
  const std::vector<ByteRange> ranges{{0, 4'096}, {1'048'576, 5}};
  to.add("OpenArgs", OpenArgs{kScope, fid(7), 40, false, false, false, true, 1'048'576});
  to.add("OpenResult", OpenResult{kState, sample_file(), 2'097'152});
  to.add(
      "ReopenArgs",
      ReopenArgs{kScope, {{40, fid(7), Seq(9), true}, {41, fid(8), Seq(9), false}}, VolumeId(3)});
  to.add("ReopenResult", ReopenResult{kState, {{41, ErrorCode::NotFound, "it is gone"}}});
  to.add("ReleaseArgs", ReleaseArgs{{}, VolumeId(3), {40, 41}});
  to.add("FetchArgs", FetchArgs{kScope, fid(7), Seq(9), Seq(4), true, ranges});
  to.add("FetchResult", FetchResult{kState, sample_file(), ranges});
  to.add("BulkArgs", BulkArgs{kScope, {{fid(7), Seq(9)}, {fid(8), Seq(0)}}});
  to.add("BulkResult", BulkResult{kState, 2});
  to.add("StageOpenArgs", StageOpenArgs{kScope, VolumeId(3), NodeId(90), fid(7), 1'000'000});
  to.add("StageWriteArgs",
         StageWriteArgs{kScope, fid(90), 131'072, bytes<std::array<std::byte, 32>>(0x5A)});
  to.add("StageStateArgs", StageStateArgs{kScope, fid(90), 131'072});
  to.add("StageResult", StageResult{kState, fid(90), 1'000'000, ranges, 1'048'581});
  to.add("StageDropArgs", StageDropArgs{kScope, fid(90)});
  to.add("ReserveArgs", ReserveArgs{{}, VolumeId(3), 10, 1'048'576, true});
  to.add("ReserveResult", ReserveResult{kState, 10, 1'048'576});
  to.add("NodeIdsArgs", NodeIdsArgs{{}, VolumeId(3), 1'000});
  to.add("NodeIdsResult", NodeIdsResult{kState, NodeId(5'000), 1'000});
  to.add("FsyncArgs", FsyncArgs{{}, VolumeId(3), Epoch(5), Seq(901)});
  to.add("FsyncResult", FsyncResult{kState});
  to.add("FenceArgs", FenceArgs{kScope, fid(7), kToken});
  to.add("FenceResult", FenceResult{kState, sample_file()});
  to.add("DumpArgs", DumpArgs{kScope, VolumeId(3), Seq(1), Seq(901), "cursor"});
  to.add("LoadArgs", LoadArgs{std::nullopt, "new", LoadThen::Follow, true, "cursor"});
  to.add("LoadResult", LoadResult{"cursor", VolumeId(3), Seq(800)});
  to.add("CursorResult", CursorResult{kState, "cursor"});
}

BatchArgs batch() {
  return {change_scope(),
          {Create{{fid(1), "a", 0644, NodeId(5'000)}, 40, 1'000, 3},
           Mkdir{{fid(1), "d", 01777, {}}}, Rename{fid(1), "a", fid(1), "b", RenameMode::Exchange},
           Unlink{fid(1), "c"}, Append{fid(7), 5, kToken}}};
}

void add_changes(Samples& to) {
  const NewNode made{fid(1), "name", 0644, NodeId(5'000)};
  to.add_change("CreateArgs", Create{made, 40, 1'000, 3});
  to.add_change("MkdirArgs", Mkdir{made});
  to.add_change("MknodArgs", Mknod{made, NodeKind::BlockDevice, 0x801});
  to.add_change("SymlinkArgs", Symlink{made, "../else"});
  to.add_change("LinkArgs", Link{fid(7), fid(1), "other"});
  to.add_change("UnlinkArgs", Unlink{fid(1), "name"});
  to.add_change("RmdirArgs", Rmdir{fid(1), "name"});
  to.add_change("RenameArgs", Rename{fid(1), "a", fid(2), "b", RenameMode::NoReplace});
  to.add_change("SetattrArgs", Setattr{fid(7), 0640, 10'001, 10'100, 5, SetTime{-1}, SetTime{}});
  to.add_change("SetXattrArgs", SetXattr{fid(7), "user.a", "\xFF", XattrMode::CreateOnly});
  to.add_change("RemoveXattrArgs", RemoveXattr{fid(7), "user.a"});
  to.add_change("SetAclArgs", SetAcl{fid(1), Acl{{AclWho::User, 10'001, right::kAll, false}}});
  to.add_change(
      "StoreArgs",
      Store{fid(7), Seq(8), 1'000, 5, -5, {{0, 3, 0}, {900, 100, 0}}, {{3, 97}}, {}, kToken});
  to.add_change("AppendArgs", Append{fid(7), 100, kToken});
  to.add_change("AllocateArgs", Allocate{fid(7), 10, 20, AllocateMode::Punch, kToken});
  to.add_change("CopyRangeArgs", CopyRange{fid(7), Seq(8), 1, 2, fid(9), 3, kToken});
  to.add_change("RestoreArgs", Restore{fid(7), Seq(8)});
  to.add("BatchArgs", batch());
  ChangeResult result{kState, Seq(901), true, {}, {NodeId(12)}, {}};
  result.nodes = {{sample_directory(), Was{Seq(700), Seq(650)}}, {sample_file(), {}}};
  result.outcomes = {{NodeId(5'000), {}, {}, {}}, {{}, Seq(8), 500, 100}, {}};
  to.add("ChangeResult", result);
  to.add("FailureDetail", FailureDetail{FailureWhy::Unmet, 2, 4, sample_file()});
}

void add_volumes(Samples& to) {
  const VolumePolicy policy{WriteConflict::Refuse, CloseLevel::Stable, {10'050}, {10'001, 10'100}};
  const VolumeRef by_name{{}, "home"};
  VolumeDescription volume;
  volume.volume = VolumeId(3);
  volume.uuid = bytes<std::array<std::byte, 16>>(0x33);
  volume.name = "home";
  volume.root = true;
  volume.sealed = true;
  volume.policy = policy;
  volume.attached = Fid{VolumeId(4), NodeId(7)};
  volume.state = "unavailable";
  volume.why = "its key is missing";
  volume.quota_bytes = 1'000'000;
  volume.quota_nodes = 1'000;
  volume.used_bytes = 500;
  volume.used_nodes = 5;
  to.add("VolumeCreateArgs",
         VolumeCreateArgs{"home", true, true, policy, 1'000'000, 1'000, 10'001, 10'100, 0750});
  to.add("VolumeResult", VolumeResult{volume});
  to.add("VolumeShowArgs", VolumeShowArgs{by_name});
  to.add("VolumeListArgs", VolumeListArgs{});
  VolumeDescription other;
  other.volume = VolumeId(4);
  other.name = "work";
  other.state = "open";
  to.add("VolumeListResult", VolumeListResult{{volume, other}});
  to.add("VolumeDeleteArgs", VolumeDeleteArgs{{VolumeId(3), {}}});
  to.add("VolumeRenameArgs", VolumeRenameArgs{by_name, "houses"});
  to.add("VolumeQuotaArgs", VolumeQuotaArgs{by_name, 0, 1'000});
  to.add("VolumePolicyArgs", VolumePolicyArgs{by_name, policy});
  to.add("VolumeAttachArgs", VolumeAttachArgs{by_name, fid(7)});
  to.add("VolumeDetachArgs", VolumeDetachArgs{by_name});
}

}  // namespace

Attributes sample_file() {
  Attributes file;
  file.node = NodeId(7);
  file.kind = NodeKind::File;
  file.mode = 04755;
  file.uid = 10'001;
  file.gid = 10'100;
  file.links = 2;
  file.size = 1'048'581;
  file.allocated = 262'144;
  file.mtime = 1'700'000'000'123'456'789;
  file.ctime = 1'700'000'001'000'000'000;
  file.atime = -1;
  file.device = 0x801;
  file.version = Seq(9);
  file.data_version = Seq(8);
  file.home = NodeId(1);
  file.governed = true;
  file.granted = true;
  file.has_xattrs = true;
  file.attached = VolumeId(4);
  file.content = bytes<ContentName>(0xC0);
  return file;
}

Attributes sample_directory() {
  Attributes directory;
  directory.node = NodeId(1);
  directory.kind = NodeKind::Directory;
  directory.mode = 0755;
  directory.links = 3;
  directory.version = Seq(900);
  directory.data_version = Seq(900);
  directory.home = NodeId(1);
  directory.granted = true;
  return directory;
}

std::vector<SampleMessage> fileproto_samples() {
  Samples samples;
  add_sessions(samples);
  add_names(samples);
  add_nodes(samples);
  add_contents(samples);
  add_changes(samples);
  add_volumes(samples);
  return samples.take();
}

}  // namespace test_support
