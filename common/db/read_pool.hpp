#pragma once

// Connections that read, for many threads at once.

#include <memory>
#include <vector>

#include "common/db/function_ref.hpp"
#include "common/db/poison.hpp"
#include "common/db/transaction.hpp"
#include "common/sync/mutex.hpp"

namespace common::db {

// A fixed number of read-only connections, opened when first needed; the one used last is used
// next, since its cache is warm. Safe from any thread.
class ReadPool {
 public:
  struct Options {
    std::string path;
    std::size_t connections = 8;
    int cache_kib = 2000;
    std::chrono::milliseconds longest_read{5000};
  };
  ReadPool(Options options, std::shared_ptr<ChecksumVfs> vfs, Poison& poison, const Clock& clock);

  // See Database::read.
  [[nodiscard]] Status read(FunctionRef<Status(ReadTx&)> look, Instant deadline);

  // Waits until no read is under way, then closes all connections; later reads are Unavailable.
  void close();

 private:
  // What take() counted as lent is given back however a read ends, even by an exception: close()
  // waits for it.
  struct Loan {
    Loan(ReadPool& from, std::unique_ptr<Connection> lent)
        : pool(from), connection(std::move(lent)) {}
    ~Loan() {
      // One that could not leave its transaction would hold the WAL: drop it.
      if (connection != nullptr && connection->in_transaction())
        connection.reset();
      pool.give_back(std::move(connection));
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ReadPool& pool;
    std::unique_ptr<Connection> connection;
  };

  // A free connection, or none but the right to open one.
  [[nodiscard]] Result<std::unique_ptr<Connection>> take(Instant deadline);
  [[nodiscard]] Result<std::unique_ptr<Connection>> open_connection() const;
  void give_back(std::unique_ptr<Connection> connection);

  const Options options_;
  const std::shared_ptr<ChecksumVfs> vfs_;
  Poison& poison_;
  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::unique_ptr<Connection>> free_ GUARDED_BY(mutex_);
  std::size_t lent_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace common::db
