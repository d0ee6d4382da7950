#pragma once

// A volume's tables without a volume around them: operations go in, rows are looked at.

#include <memory>

#include "fileserver/store/meta/commit_rows.hpp"
#include "fileserver/store/meta/database.hpp"
#include "fileserver/store/meta/rollback.hpp"
#include "fileserver/store/meta/trim.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace test_support {

namespace fs = fileserver::store;

class Tables {
 public:
  // With a root directory, made by commit 1.
  Tables() : Tables(false) {}
  // Without any commit: what records of another will fill.
  static std::unique_ptr<Tables> copy() { return std::unique_ptr<Tables>(new Tables(true)); }

  // One commit; its operations as recorded are kept in `last`.
  common::Result<fs::Executed> commit(std::vector<fs::Operation> operations,
                                      std::optional<fs::OperationKey> key = {});
  common::Status redo(const fs::CommitRecord& record);
  fs::Seq head();

  template <typename F>
  auto read(F&& look) {
    return db->read(look);
  }
  template <typename F>
  auto write(F&& change) {
    return db->commit(change);
  }

  // --- shorthands ---
  fs::NodeId make(fs::NodeId parent, std::string name, fs::NodeKind kind = fs::NodeKind::File,
                  std::string_view bytes = {});
  std::optional<fs::Attributes> attributes(fs::NodeId node, fs::At at = {});
  std::optional<fs::NodeId> child(fs::NodeId parent, std::string_view name, fs::At at = {});
  std::vector<std::string> names(fs::NodeId parent, fs::At at = {});
  std::string bytes(fs::NodeId node, fs::At at = {});
  std::int64_t count(std::string_view sql);
  fs::BlockName digest(fs::Seq from = {});
  std::vector<fs::CommitRecord> records(fs::Seq after = {});

  std::int64_t time = 1'700'000'000'000'000'000;
  std::uint64_t next_node = 2;
  fs::TailSeal seal;
  TempDir directory;
  common::SystemClock clock;
  std::unique_ptr<common::db::Database> db;

 private:
  explicit Tables(bool empty);
};

inline fs::Content tail(std::string_view bytes) {
  fs::Content content;
  content.size = content.allocated = bytes.size();
  const auto view = common::as_bytes(bytes);
  content.tail.assign(view.begin(), view.end());
  return content;
}

inline fs::Create file(fs::NodeId parent, std::string name, std::string_view bytes = {}) {
  fs::Create create;
  create.parent = parent;
  create.name = std::move(name);
  create.mode = 0644;
  create.content = tail(bytes);
  return create;
}

inline fs::Create directory(fs::NodeId parent, std::string name) {
  fs::Create create = file(parent, std::move(name));
  create.kind = fs::NodeKind::Directory;
  create.mode = 0755;
  return create;
}

}  // namespace test_support
