#include "common/db/stable_mark.hpp"

#include <array>
#include <cstring>
#include <optional>

#include "common/io/atomic_file.hpp"

namespace common::db {
namespace {

// What is at the start of each page; the rest is zeros, and the seal is in its last bytes.
struct MarkRecord {
  std::array<char, 8> magic;
  std::uint64_t database_id;
  std::uint64_t generation;
  std::uint64_t stable;
  std::uint64_t clean;
};
constexpr std::array<char, 8> kMagic{'t', 'r', 'o', 't', 'h', 'm', 'k', '1'};

using PageBytes = std::array<std::byte, kPageSize>;

PageBytes encode(std::uint64_t database_id, std::uint64_t generation, std::uint64_t stable,
                 bool clean) {
  const MarkRecord record{kMagic, database_id, generation, stable, clean ? 1U : 0U};
  PageBytes page{};
  std::memcpy(page.data(), &record, sizeof record);
  seal_page(generation % 2, page);
  return page;
}

std::optional<MarkRecord> decode(std::uint64_t place, const PageBytes& page) {
  MarkRecord record{};
  std::memcpy(&record, page.data(), sizeof record);
  if (!page_is_intact(place, page) || record.magic != kMagic)
    return std::nullopt;
  if (record.generation % 2 != place)
    return std::nullopt;
  return record;
}

}  // namespace

Status StableMark::create(io::FileIo& io, const std::string& name, std::uint64_t database_id,
                          bool clean) {
  // Both pages, so that writing one later never has to grow the file on a full disk.
  std::array<std::byte, 2 * kPageSize> both;
  const PageBytes first = encode(database_id, 0, 0, clean);
  const PageBytes second = encode(database_id, 1, 0, clean);
  std::memcpy(both.data(), first.data(), kPageSize);
  std::memcpy(both.data() + kPageSize, second.data(), kPageSize);
  return io::write_file_atomically(io, name, both);
}

Result<std::unique_ptr<StableMark>> StableMark::open(io::FileIo& io, const std::string& name,
                                                     DiskProbe* probe) {
  TROTH_TRY(auto file, io.open(name, io::OpenMode::ReadWrite));
  std::unique_ptr<StableMark> mark(new StableMark(std::move(file), probe));
  // After kill -9 the newest page may be in memory only; it is the one that must stay.
  TROTH_TRY_VOID(mark->file_->sync());
  bool found = false;
  for (std::uint64_t place = 0; place < 2; ++place) {
    PageBytes page{};
    TROTH_TRY(const std::size_t got, mark->file_->read_at(place * kPageSize, page));
    if (got != kPageSize)
      continue;
    const auto record = decode(place, page);
    if (!record || (found && record->generation < mark->generation_))
      continue;
    found = true;
    mark->generation_ = record->generation;
    mark->state_ = {record->database_id, record->stable, record->clean != 0};
  }
  if (!found) {
    return fail(ErrorCode::Corrupt,
                "{} is damaged, so it is not known how new its database must be", name);
  }
  return mark;
}

Status StableMark::record(std::uint64_t stable, bool clean) {
  const std::uint64_t next = generation_ + 1;
  const PageBytes page = encode(state_.database_id, next, stable, clean);
  const std::uint64_t offset = next % 2 * kPageSize;
  if (probe_ != nullptr) {
    int error = probe_->on_write(DiskFile::Mark, offset, page);
    if (error == 0)
      error = probe_->on_sync(DiskFile::Mark);
    if (error != 0)
      return fail_errno(error, "writing the stable mark");
  }
  TROTH_TRY_VOID(file_->write_at(offset, page));
  TROTH_TRY_VOID(file_->sync());
  generation_ = next;  // the page just synced is now the one to keep
  state_.stable = stable;
  state_.clean = clean;
  return {};
}

}  // namespace common::db
