#pragma once

// The caps of fileserver/PROTOCOL.md: what a decoder of this folder takes and an encoder's caller
// keeps to. Counts that come with raw bytes are also bounded by the 64 KiB of the head before them.

#include <cstddef>
#include <cstdint>

namespace common::fileproto {

// --- of the store (STORE.md, Bounds) ---
inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::size_t kMaxTargetBytes = 4095;  // of a symbolic link
inline constexpr std::size_t kMaxXattrNameBytes = 255;
inline constexpr std::size_t kMaxXattrValueBytes = 64 * 1024;
inline constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 62;
inline constexpr std::uint32_t kMaxMode = 07777;
// Together they make an inode number.
inline constexpr std::uint64_t kMaxVolumeId = (std::uint64_t{1} << 24) - 1;
inline constexpr std::uint64_t kMaxNodeId = (std::uint64_t{1} << 40) - 1;

// --- of lists ---
inline constexpr std::size_t kMaxVolumes = 10'000;
inline constexpr std::size_t kMaxVolumeNameBytes = 64;
inline constexpr std::size_t kMaxWalkNames = 64;
inline constexpr std::size_t kMaxGetattrNodes = 1'000;
inline constexpr std::size_t kMaxRevalidateNodes = 10'000;
inline constexpr std::size_t kMaxHandles = 1'000;  // in one release or reopen
inline constexpr std::size_t kMaxListEntries = 4'096;
inline constexpr std::size_t kMaxListBytes = 1 << 20;
inline constexpr std::size_t kMaxXattrNames = 4'096;
inline constexpr std::size_t kMaxAclEntries = 64;
inline constexpr std::size_t kMaxTokenBytes = 512;  // the lock server's sealed word
inline constexpr std::size_t kMaxHistory = 1'000;
inline constexpr std::size_t kMaxRecords = 1'000;
inline constexpr std::size_t kMaxLocalGroups = 1'024;  // that a host says a local user is in
inline constexpr std::size_t kMaxConditions = 1'000;
inline constexpr std::size_t kMaxBatchChanges = 1'000;
// What a change may touch: a rename in every one of a batch touches five nodes.
inline constexpr std::size_t kMaxTouchedNodes = 5 * kMaxBatchChanges;
inline constexpr std::uint64_t kMaxNodeIds = 65'536;  // in one range
inline constexpr std::size_t kMaxReasonBytes = 1'024;

// --- of bytes ---
inline constexpr std::uint64_t kMaxFetchBytes = 64 << 20;
// 42 bytes of JSON each at most, so that the head has room for either. Of the answer there are at
// most as many as were asked for and one more for each block of 128 KiB.
inline constexpr std::size_t kMaxFetchRanges = 512;
inline constexpr std::size_t kMaxFetchedRanges = kMaxFetchRanges + kMaxFetchBytes / (128 * 1024);
inline constexpr std::size_t kMaxBulkNodes = 1'000;
inline constexpr std::uint64_t kMaxBulkBytes = 16 << 20;
inline constexpr std::uint64_t kMaxStoreBytes = 1 << 20;  // more is staged
inline constexpr std::uint64_t kMaxAppendBytes = 1 << 20;
inline constexpr std::uint64_t kMaxBatchBytes = 1 << 20;
inline constexpr std::uint64_t kMaxStagePieceBytes = 8 << 20;
inline constexpr std::size_t kMaxEdits = 1'000;  // whose bytes come along
inline constexpr std::size_t kMaxStagedEdits = 10'000;
inline constexpr std::size_t kMaxStagedRanges = 1'000;  // in one answer of stage-state

}  // namespace common::fileproto
