#pragma once

// A prepared SQL statement: values go in typed, columns come out typed, nothing is ever pasted into
// the text.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "common/result.hpp"

struct sqlite3_stmt;

namespace common::db {

class Connection;

// One use of a statement, from binding to its last row. Belongs to the thread that runs the
// transaction and must not outlive it; its destructor resets the statement and gives it back to the
// connection, which keeps it prepared for the next use.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // Parameters count from 1. A failure to bind is kept and returned by the next step(). Texts and
  // blobs are not copied: their bytes must stay until the statement is destroyed or bound anew. An
  // unsigned value above the largest signed one is InvalidArgument: SQLite could not order it.
  template <std::signed_integral T>
  void bind(int index, T value) {
    bind_signed(index, value);
  }
  template <std::unsigned_integral T>
  void bind(int index, T value) {
    bind_unsigned(index, value);
  }
  void bind(int index, std::string_view text);
  void bind(int index, const char* text) { bind(index, std::string_view(text)); }
  void bind(int index, std::span<const std::byte> blob);
  void bind(int index, std::nullptr_t);

  // Binds parameters 1, 2, ... in order.
  template <typename... Values>
  void bind_all(const Values&... values) {
    int index = 0;
    (bind(++index, values), ...);
  }

  // Advances: true when there is a row to read, false at the end. DeadlineExceeded once the
  // transaction's time is over.
  [[nodiscard]] Result<bool> step();
  // Runs to the end, ignoring rows. The statement can be bound and run again.
  [[nodiscard]] Status run();

  // Of the present row, from 0. A text or blob is valid until the next step().
  [[nodiscard]] std::int64_t column_int64(int column) const;
  // A negative value reads as 0 only where the schema allowed one: check there.
  [[nodiscard]] std::uint64_t column_uint64(int column) const;
  [[nodiscard]] std::string_view column_text(int column) const;
  [[nodiscard]] std::span<const std::byte> column_blob(int column) const;
  [[nodiscard]] bool column_is_null(int column) const;

 private:
  friend class Connection;
  Statement(Connection& connection, sqlite3_stmt* prepared, bool* in_use)
      : connection_(&connection), prepared_(prepared), in_use_(in_use) {}
  void bind_signed(int index, std::int64_t value);
  void bind_unsigned(int index, std::uint64_t value);
  void note_bind(int result_code);
  void finish();
  // The connection keeps it prepared from now on; no longer ours to finalize.
  void keep(bool& in_use) { in_use_ = &in_use; }

  Connection* connection_;
  sqlite3_stmt* prepared_;
  bool* in_use_;  // of the cache entry; null if the statement is not cached and is ours to finalize
  int bind_error_ = 0;
};

}  // namespace common::db
