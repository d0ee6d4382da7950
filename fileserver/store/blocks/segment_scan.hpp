#pragma once

#include "common/io/file_io.hpp"
#include "fileserver/store/blocks/segments.hpp"

namespace fileserver::store {

// Segments::scan on one open file, whose first `end` bytes count.
[[nodiscard]] Result<ScanResult> scan_records(
    common::io::File& file, std::uint32_t segment, std::uint64_t end,
    const common::crypto::Secret* key, bool verify,
    const std::function<Status(const ScannedRecord&)>& visit);

}  // namespace fileserver::store
