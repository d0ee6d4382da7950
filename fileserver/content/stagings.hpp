#pragma once

// Staged uploads (PROTOCOL.md 3, "Bytes"): nodes without a name that a mount fills piece by piece
// and that a store then takes its bytes from. Everything about one is in the volume, so it outlives
// this process; it ends 24 h after its last piece, or with the store.

#include <optional>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/fileproto/contents.hpp"
#include "fileserver/store/volume.hpp"

namespace fileserver {

namespace fileproto = common::fileproto;
using common::NodeId;
using common::Result;
using common::Status;

// Whose it is: nobody else can tell that it is there.
struct StagingOwner {
  store::MountId mount;
  std::uint64_t principal = 0;
  // For whom the principal spoke.
  enum class For : std::uint8_t { Itself, LocalUser, Anybody };
  For whom = For::Itself;
  std::uint32_t uid = 0;  // of the local user
  friend bool operator==(const StagingOwner&, const StagingOwner&) = default;
};

struct Staging {
  NodeId node;
  std::uint64_t size = 0;
  std::vector<fileproto::ByteRange> there;  // ascending, not touching
  common::Seq version;
  common::Seq data_version;
};

// Extended attributes of such a node, which no call tells.
inline constexpr std::string_view kStagingOwner = "troth.staging";
inline constexpr std::string_view kStagedRanges = "troth.staged";

// Ranges that are there; pieces that would leave more gaps are refused.
inline constexpr std::size_t kMostStagedRanges = 4'000;

struct StagingCaps {
  std::size_t of_mount = 64;
  std::size_t of_principal = 1'000;  // in all his mounts
  std::size_t of_volume = 10'000;
  std::chrono::hours kept{24};
};

// NotFound: there is none, or it is another's. `at` as the moment's.
[[nodiscard]] Result<Staging> read_staging(store::ReadTx& tx, store::At at, NodeId node,
                                           const StagingOwner& owner);
[[nodiscard]] Result<Staging> find_staging(store::Volume& volume, NodeId node,
                                           const StagingOwner& owner);

// Of one call.
struct StagingCall {
  store::Volume& volume;
  StagingOwner owner;
  store::Caller caller;
  std::uint32_t uid = 0;  // of the node, for accounts of who uses what
  const common::Clock& clock;
  common::Instant deadline;
  StagingCaps caps;
};

// Makes one, or finds the one that it has made already. NoSpace: what the file grows by (from
// `present` bytes) has no room in the quota, or the whole none on the disk; ResourceExhausted: too
// many.
struct NewStaging {
  std::optional<NodeId> node;
  std::uint64_t size = 0;
  std::uint64_t present = 0;
};
[[nodiscard]] Result<Staging> open_staging(const StagingCall& call, const NewStaging& wanted);
// Lets it go; NotFound as above.
[[nodiscard]] Status drop_staging(const StagingCall& call, NodeId node);
// It has been stored from: nothing of it is needed any more. Failing costs room for a day.
void end_staging(store::Volume& volume, const StagingOwner& owner, NodeId node);

// A piece on its way in: put into blocks as it comes, a MiB at a time. The blocks' names are what
// it is known by, too, so that each byte is hashed once.
class StagedPiece {
 public:
  // InvalidArgument: it reaches beyond the staging's size. NoSpace, EDQUOT: too much is staged.
  [[nodiscard]] static Result<StagedPiece> begin(const StagingCall& call, NodeId node,
                                                 std::uint64_t offset, std::uint64_t length);

  // Where the next bytes go, and that so many have come: never more than asked for in all.
  [[nodiscard]] std::span<std::byte> room();
  [[nodiscard]] Status came(std::size_t length);
  [[nodiscard]] std::uint64_t missing() const { return length_ - come_; }

  // After the last byte. Corrupt: it is not what `hash` says, and nothing of it is kept (F54).
  [[nodiscard]] Result<Staging> finish(const fileproto::ContentName& hash);

 private:
  StagedPiece(const StagingCall& call, Staging staging, std::uint64_t offset, std::uint64_t length);
  [[nodiscard]] Status flush();
  [[nodiscard]] Result<Staging> commit();

  const StagingCall& call_;
  Staging staging_;
  const std::uint64_t offset_;
  const std::uint64_t length_;
  std::uint64_t come_ = 0;
  store::Upload upload_;
  common::Bytes buffer_;
  std::size_t filled_ = 0;     // of the buffer
  std::uint64_t flushed_ = 0;  // of the piece
  std::vector<store::Edit> edits_;
  std::vector<common::Bytes> ends_;            // that are no whole blocks
  std::vector<fileproto::ContentName> names_;  // of all parts so far
};

}  // namespace fileserver
