// The layer under SQLite, asked as SQLite asks it. Which of these reads happen depends on SQLite's
// version; all must be right in each.

#include "common/db/checksum_vfs.hpp"

#include <sqlite3.h>

#include <cstring>
#include <fstream>
#include <random>
#include <vector>

#include "common/db/page_checksum.hpp"
#include "tests/support/db_crash_check.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;
using common::db::kPageSize;

namespace {

// A main database file, opened through the layer.
class SealedFile {
 public:
  explicit SealedFile(const std::string& path) : layer_(*common::db::ChecksumVfs::shared()) {
    sqlite3_vfs* const vfs = sqlite3_vfs_find(layer_->name());
    REQUIRE(vfs != nullptr);
    // SQLite hands over names with what its open call got behind them.
    name_.assign(path.begin(), path.end());
    name_.resize(name_.size() + 4);
    memory_.resize(static_cast<std::size_t>(vfs->szOsFile) / sizeof(std::max_align_t) + 1);
    file_ = reinterpret_cast<sqlite3_file*>(memory_.data());
    REQUIRE(vfs->xOpen(vfs, name_.data(), file_, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY,
                       nullptr) == SQLITE_OK);
  }
  ~SealedFile() { file_->pMethods->xClose(file_); }
  SealedFile(const SealedFile&) = delete;
  SealedFile& operator=(const SealedFile&) = delete;

  // The result code, and what is in `into` then.
  int read(std::vector<char>& into, std::size_t offset) {
    return file_->pMethods->xRead(file_, into.data(), static_cast<int>(into.size()),
                                  static_cast<sqlite3_int64>(offset));
  }
  int read(std::size_t count, std::size_t offset) {
    std::vector<char> into(count);
    return read(into, offset);
  }

 private:
  const std::shared_ptr<common::db::ChecksumVfs> layer_;
  std::vector<char> name_;
  std::vector<std::max_align_t> memory_;
  sqlite3_file* file_ = nullptr;
};

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string long_value(std::int64_t key) {
  std::string value;
  while (value.size() < 20'000 + static_cast<std::size_t>(key) * 1000)
    value += std::to_string(key * 1'000'003 + static_cast<std::int64_t>(value.size()));
  return value;
}

constexpr int kLongValues = 10;

void make_long_values(const TemporaryDirectory& directory) {
  auto db = open_db(directory);
  REQUIRE_OK(db);
  for (int key = 0; key < kLongValues; ++key)
    REQUIRE_OK(put(**db, key, long_value(key)));
  REQUIRE_OK((*db)->close());
}

}  // namespace

TEST_CASE("any part of any page is read, and only from pages that are intact (F10)") {
  const TemporaryDirectory directory;
  make_long_values(directory);
  const std::string bytes = content_of(directory.db());
  const std::size_t usable = kPageSize - common::db::kChecksumSize;
  REQUIRE(bytes.size() > 8 * kPageSize);
  SealedFile file(directory.db());
  const auto reads_right = [&](std::size_t count, std::size_t offset) {
    std::vector<char> into(count, 'x');
    return file.read(into, offset) == SQLITE_OK &&
           std::memcmp(into.data(), bytes.data() + offset, count) == 0;
  };
  // The first of these is how SQLite 3.45 reads a page of a long value.
  for (std::size_t page = 1; page < bytes.size() / kPageSize; ++page) {
    REQUIRE(reads_right(usable, page * kPageSize));
    REQUIRE(reads_right(kPageSize, page * kPageSize));
    REQUIRE(reads_right(8, page * kPageSize + usable));
  }
  std::mt19937 random(11);
  for (int i = 0; i < 500; ++i) {
    const std::size_t offset = random() % bytes.size();
    REQUIRE(
        reads_right(std::min<std::size_t>(random() % 10'000 + 1, bytes.size() - offset), offset));
  }

  // Behind the end: said to be so, and zeros.
  std::vector<char> into(300, 'x');
  CHECK(file.read(into, bytes.size() - 100) == SQLITE_IOERR_SHORT_READ);
  CHECK(std::string_view(into.data(), 100) == std::string_view(bytes).substr(bytes.size() - 100));
  CHECK(std::string_view(into.data() + 100, 200) == std::string(200, '\0'));

  // One bit, anywhere in the page, and none of its parts is served; its neighbours are.
  for (const std::size_t place : {std::size_t{0}, std::size_t{2000}, usable - 1, kPageSize - 1}) {
    CAPTURE(place);
    flip_bit(directory.db(), (5 * kPageSize + place) * 8);
    CHECK(file.read(kPageSize, 5 * kPageSize) == SQLITE_IOERR_DATA);
    CHECK(file.read(usable, 5 * kPageSize) == SQLITE_IOERR_DATA);
    CHECK(file.read(4, 5 * kPageSize + 1000) == SQLITE_IOERR_DATA);
    CHECK(file.read(kPageSize, 5 * kPageSize - 1) == SQLITE_IOERR_DATA);
    CHECK(reads_right(usable, 4 * kPageSize));
    CHECK(reads_right(usable, 6 * kPageSize));
    flip_bit(directory.db(), (5 * kPageSize + place) * 8);
  }
  std::filesystem::resize_file(directory.db(), bytes.size() - 100);
  CHECK(file.read(8, bytes.size() - kPageSize) == SQLITE_IOERR_DATA);
}

TEST_CASE("long values are served whole or refused, wherever a bit has flipped (F10)") {
  const TemporaryDirectory directory(test_support::scratch_directory());
  make_long_values(directory);
  const std::size_t size = content_of(directory.db()).size();
  std::mt19937 random(12);
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    // Behind the pages that opening looks at.
    const std::size_t byte = 8 * kPageSize + random() % (size - 8 * kPageSize);
    CAPTURE(byte);
    flip_bit(directory.db(), byte * 8);
    {
      auto db = open_db(directory, {.check_after_unclean_stop = false});
      REQUIRE_OK(db);
      for (int key = 0; key < kLongValues; ++key) {
        const auto value = get(**db, key);
        if (!value) {
          CHECK_FAILS(value, ErrorCode::Corrupt);
          ++refused;
        } else {
          REQUIRE(*value == long_value(key));
        }
      }
      static_cast<void>((*db)->close());
    }
    flip_bit(directory.db(), byte * 8);
  }
  CHECK(refused > 30);
}
