#include "fileserver/store/blocks/segment_scan.hpp"

#include <algorithm>

namespace fileserver::store {

namespace {

using common::ErrorCode;

// Several of the largest records, and a size that disks like to be read in.
constexpr std::size_t kWindowBytes = 1 << 20;

// A stretch of the file in memory that follows the scan.
class Window {
 public:
  Window(common::io::File& file, std::uint64_t end) : file_(file), end_(end) {}

  // Up to `count` bytes (at most kWindowBytes) from `offset`, fewer only at the end. Valid until
  // the next call.
  Result<ByteView> at(std::uint64_t offset, std::size_t count) {
    const std::size_t wanted = std::min<std::uint64_t>(count, end_ - offset);
    if (offset < begin_ || offset + wanted > begin_ + bytes_.size()) {
      bytes_.resize(std::min<std::uint64_t>(kWindowBytes, end_ - offset));
      begin_ = offset;
      TROTH_TRY(const std::size_t got, file_.read_at(offset, bytes_));
      bytes_.resize(got);
    }
    const ByteView view = ByteView(bytes_).subspan(offset - begin_);
    return view.first(std::min(view.size(), wanted));
  }

 private:
  common::io::File& file_;
  const std::uint64_t end_;
  std::uint64_t begin_ = 0;
  Bytes bytes_;
};

class Scan {
 public:
  Scan(common::io::File& file, std::uint32_t segment, std::uint64_t end,
       const common::crypto::Secret* key, bool verify)
      : window_(file, end), segment_(segment), end_(end), key_(key), verify_(verify) {}

  Result<ScanResult> run(const std::function<Status(const ScannedRecord&)>& visit) {
    ScanResult result{.end = std::min<std::uint64_t>(kSegmentHeaderBytes, end_)};
    std::uint64_t at = kSegmentHeaderBytes;
    while (at + kRecordHeaderBytes <= end_) {
      TROTH_TRY(const auto found, record_at(at));
      if (!found) {
        at += kRecordAlignment;
        continue;
      }
      TROTH_TRY_VOID(visit(*found));
      ++result.records;
      result.skipped += at - result.end;
      at += record_size(found->header.stored_length, false);
      result.end = at;
    }
    return result;
  }

 private:
  // The whole record that begins here, if one does.
  Result<std::optional<ScannedRecord>> record_at(std::uint64_t at) {
    TROTH_TRY(const ByteView start, window_.at(at, kRecordHeaderBytes));
    if (start.size() < kRecordHeaderBytes || !common::as_text(start).starts_with(kRecordMagic))
      return std::nullopt;
    const auto header = decode_record_header(start.first<kRecordHeaderBytes>());
    if (!header)
      return std::nullopt;
    TROTH_TRY(const ByteView record, window_.at(at, record_size(header->stored_length, false)));
    const auto offset = static_cast<std::uint32_t>(at);
    // The padding counts as part of the record: all of a closed segment is vouched for.
    if (record.size() < record_size(header->stored_length, false) ||
        !check_record(record, segment_, offset))
      return std::nullopt;
    if (verify_) {
      const auto length = decode_record(record, segment_, offset, key_, block_);
      if (!length && length.error().code != ErrorCode::Corrupt)
        return tl::unexpected(length.error());
      if (!length)
        return std::nullopt;
    }
    return ScannedRecord{*header, {segment_, offset, header->stored_length}};
  }

  Window window_;
  const std::uint32_t segment_;
  const std::uint64_t end_;
  const common::crypto::Secret* const key_;
  const bool verify_;
  Bytes block_ = Bytes(kBlockBytes);
};

}  // namespace

Result<ScanResult> scan_records(common::io::File& file, std::uint32_t segment, std::uint64_t end,
                                const common::crypto::Secret* key, bool verify,
                                const std::function<Status(const ScannedRecord&)>& visit) {
  // Places have 32 bits; what lies behind is no segment of ours.
  end = std::min<std::uint64_t>(end, UINT32_MAX);
  return Scan(file, segment, end, key, verify).run(visit);
}

}  // namespace fileserver::store
