#pragma once

// What a user of the database may do inside a transaction.

#include "common/db/connection.hpp"

namespace common::db {

// A consistent view of the database as of its beginning. Lives only inside Database::read's
// function, on one thread.
class ReadTx {
 public:
  explicit ReadTx(Connection& connection) : connection_(connection) {}
  ReadTx(const ReadTx&) = delete;
  ReadTx& operator=(const ReadTx&) = delete;

  // A bound statement, to be stepped through. `sql` should be a constant: statements are kept
  // prepared by their text.
  template <typename... Values>
  [[nodiscard]] Result<Statement> query(std::string_view sql, const Values&... values) {
    return connection_.query(sql, values...);
  }

 protected:
  Connection& connection_;
};

// The changes of one request. Lives only inside Database::commit's function, on one thread; sees
// what earlier requests of its group changed.
class WriteTx : public ReadTx {
 public:
  WriteTx(Connection& connection, std::uint64_t number) : ReadTx(connection), number_(number) {}

  template <typename... Values>
  [[nodiscard]] Status run(std::string_view sql, const Values&... values) {
    return connection_.run(sql, values...);
  }
  // Rows changed by the last run().
  [[nodiscard]] std::int64_t changes() const { return connection_.changes(); }
  // A part that is undone unless released, for an operation of several steps.
  [[nodiscard]] Result<Savepoint> savepoint() { return Savepoint::begin(connection_); }
  // The number of the commit that will hold these changes; others of the group share it.
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  const std::uint64_t number_;
};

}  // namespace common::db
