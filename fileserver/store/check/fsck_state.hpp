#pragma once

// What the steps of a check share. Internal to fsck.

#include "common/db/database.hpp"
#include "common/io/posix_file_io.hpp"
#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/check/fsck.hpp"
#include "fileserver/store/meta/commit_rows.hpp"
#include "fileserver/store/meta/database.hpp"

namespace fileserver::store {

// The table of blocks of a volume that is being checked: nothing is in use, nothing is noted.
class CheckedIndex final : public BlockIndex {
 public:
  explicit CheckedIndex(common::db::Database& db) : db_(db) {}
  [[nodiscard]] Result<std::vector<std::optional<Placement>>> find(
      std::span<const BlockName> names) override;
  void found_bad(const BlockName& name, const Placement& placement,
                 const common::Error& why) override;

 private:
  common::db::Database& db_;
};

struct Check {
  Check(const std::string& where, const FsckOptions& how, const common::Clock& c)
      : directory(where), options(how), clock(c) {}

  void found(std::string_view invariant, std::string what, bool repaired = false,
             bool harmless = false);
  void say(const std::string& text) const {
    if (options.progress)
      options.progress(text);
  }

  const std::string& directory;
  const FsckOptions& options;
  const common::Clock& clock;
  FsckReport report;

  VolumeRow volume;
  TailSeal seal;
  std::unique_ptr<common::io::PosixFileIo> io;
  std::unique_ptr<WorkPool> pool;
  std::unique_ptr<Segments> segments;
  std::unique_ptr<BlockStore> blocks;
  std::unique_ptr<common::db::Database> db;
  std::unique_ptr<CheckedIndex> index;
};

// Each fills in findings; a failure is what kept it from looking.
[[nodiscard]] Status check_rows(Check& check);      // I4, I5, I6, I8
[[nodiscard]] Status check_log(Check& check);       // records can be read
[[nodiscard]] Status check_contents(Check& check);  // I1: trees and tails
[[nodiscard]] Status check_blocks(Check& check);    // I9: every indexed block

// What can be derived is made right; each says what it did by a finding that is repaired.
[[nodiscard]] Status repair_index(Check& check);
[[nodiscard]] Status repair_rows(Check& check);

}  // namespace fileserver::store
