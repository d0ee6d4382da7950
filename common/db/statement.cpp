#include "common/db/statement.hpp"

#include <sqlite3.h>

#include <limits>

#include "common/db/connection.hpp"

namespace common::db {

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      prepared_(std::exchange(other.prepared_, nullptr)),
      in_use_(other.in_use_),
      bind_error_(other.bind_error_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this == &other)
    return *this;
  finish();
  connection_ = other.connection_;
  prepared_ = std::exchange(other.prepared_, nullptr);
  in_use_ = other.in_use_;
  bind_error_ = other.bind_error_;
  return *this;
}

Statement::~Statement() {
  finish();
}

void Statement::finish() {
  if (prepared_ == nullptr)
    return;
  // What reset and finalize return is the failure of the last step, reported there already.
  if (in_use_ == nullptr) {
    sqlite3_finalize(prepared_);
  } else {
    sqlite3_reset(prepared_);
    sqlite3_clear_bindings(prepared_);  // they point at the user's memory
    *in_use_ = false;
  }
  prepared_ = nullptr;
}

void Statement::note_bind(int result_code) {
  if (result_code != SQLITE_OK && bind_error_ == SQLITE_OK)
    bind_error_ = result_code;
}

void Statement::bind_signed(int index, std::int64_t value) {
  note_bind(sqlite3_bind_int64(prepared_, index, value));
}

void Statement::bind_unsigned(int index, std::uint64_t value) {
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    note_bind(SQLITE_RANGE);
    return;
  }
  bind_signed(index, static_cast<std::int64_t>(value));
}

void Statement::bind(int index, std::string_view text) {
  // A null pointer would be NULL, not the empty text.
  const char* const begin = text.data() == nullptr ? "" : text.data();
  note_bind(sqlite3_bind_text64(prepared_, index, begin, text.size(), SQLITE_STATIC, SQLITE_UTF8));
}

void Statement::bind(int index, std::span<const std::byte> blob) {
  const void* const begin = blob.data() == nullptr ? "" : static_cast<const void*>(blob.data());
  note_bind(sqlite3_bind_blob64(prepared_, index, begin, blob.size(), SQLITE_STATIC));
}

void Statement::bind(int index, std::nullptr_t) {
  note_bind(sqlite3_bind_null(prepared_, index));
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) {
    const int error = std::exchange(bind_error_, SQLITE_OK);
    if (error == SQLITE_RANGE) {
      return fail(ErrorCode::InvalidArgument, "a value or parameter number is out of range for: {}",
                  sqlite3_sql(prepared_));
    }
    return tl::unexpected(connection_->error_of(error, sqlite3_sql(prepared_)));
  }
  TROTH_TRY_VOID(connection_->check_time());
  const int rc = sqlite3_step(prepared_);
  if (rc == SQLITE_ROW)
    return true;
  if (rc == SQLITE_DONE) {
    sqlite3_reset(prepared_);
    return false;
  }
  // The error is taken from the connection before the reset can replace it.
  Error error = connection_->error_of(rc, sqlite3_sql(prepared_));
  sqlite3_reset(prepared_);
  return tl::unexpected(std::move(error));
}

Status Statement::run() {
  for (;;) {
    TROTH_TRY(const bool row, step());
    if (!row)
      return {};
  }
}

std::int64_t Statement::column_int64(int column) const {
  return sqlite3_column_int64(prepared_, column);
}

std::uint64_t Statement::column_uint64(int column) const {
  const std::int64_t value = column_int64(column);
  return value < 0 ? 0 : static_cast<std::uint64_t>(value);
}

std::string_view Statement::column_text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(prepared_, column));
  if (text == nullptr)
    return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(prepared_, column))};
}

std::span<const std::byte> Statement::column_blob(int column) const {
  const auto* blob = static_cast<const std::byte*>(sqlite3_column_blob(prepared_, column));
  if (blob == nullptr)
    return {};
  return {blob, static_cast<std::size_t>(sqlite3_column_bytes(prepared_, column))};
}

bool Statement::column_is_null(int column) const {
  return sqlite3_column_type(prepared_, column) == SQLITE_NULL;
}

}  // namespace common::db
