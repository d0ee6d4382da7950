#pragma once

// The checksum that every page of a database file carries in its last eight bytes.

#include <cstddef>
#include <cstdint>
#include <span>

namespace common::db {

inline constexpr std::size_t kPageSize = 4096;
// SQLite leaves so many bytes at the end of each page to us; no more than that can be added later
// without rewriting the database.
inline constexpr std::size_t kChecksumSize = 8;

using Page = std::span<const std::byte, kPageSize>;

// The checksum of a page's first kPageSize - kChecksumSize bytes at this place in the file (so a
// page written to the wrong place is noticed). Any change within one aligned 8-byte word, hence any
// single-bit flip, changes it with certainty; anything else goes unnoticed once in 2^64.
[[nodiscard]] std::uint64_t page_checksum(std::uint64_t page_number, Page page);

// Puts the checksum in its place.
void seal_page(std::uint64_t page_number, std::span<std::byte, kPageSize> page);

// Whether the checksum in the page is its own.
[[nodiscard]] bool page_is_intact(std::uint64_t page_number, Page page);

}  // namespace common::db
