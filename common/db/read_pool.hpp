#pragma once

// Connections that read, for many threads at once.

#include <memory>
#include <vector>

#include "common/db/function_ref.hpp"
#include "common/db/poison.hpp"
#include "common/db/read_state.hpp"
#include "common/db/transaction.hpp"
#include "common/sync/mutex.hpp"

namespace common::db {

// A fixed number of read-only connections, opened when first needed; the one used last is used
// next, since its cache is warm. One that has shown the newest rows stays in its transaction, so
// that the next read of the same rows need not begin one: that takes as long as a small read, and
// two system calls for SQLite's locks. Safe from any thread.
class ReadPool {
 public:
  struct Options {
    std::string path;
    std::size_t connections = 8;
    int cache_kib = 2000;
    std::chrono::milliseconds longest_read{5000};
  };
  ReadPool(Options options, std::shared_ptr<ChecksumVfs> vfs, const ReadState& state,
           Poison& poison, const Clock& clock);

  // See Database::read.
  [[nodiscard]] Status read(FunctionRef<Status(ReadTx&)> look, Instant deadline);

  // While it lives nobody stays in a transaction longer than he reads, nor does whoever began
  // before: the WAL is to be copied, and what they show would have to stay in it. One at a time.
  class LetGo {
   public:
    explicit LetGo(ReadPool& pool);
    ~LetGo();
    LetGo(const LetGo&) = delete;
    LetGo& operator=(const LetGo&) = delete;

   private:
    ReadPool& pool_;
  };

  // Waits until no read is under way, then closes all connections; later reads are Unavailable.
  void close();

 private:
  struct Reader {
    std::unique_ptr<Connection> connection;
    // Of what its transaction shows; 0: it is in none, or in one that nobody is to go on with.
    std::uint64_t state = 0;
    std::uint64_t let_go = 0;  // as it was when the connection was lent
  };

  // What take() counted as lent is given back however a read ends, even by an exception: close()
  // waits for it.
  struct Loan {
    Loan(ReadPool& from, Reader lent) : pool(from), reader(std::move(lent)) {}
    ~Loan() { pool.give_back(std::move(reader)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ReadPool& pool;
    Reader reader;
  };

  // A free connection, or none but the right to open one.
  [[nodiscard]] Result<Reader> take(Instant deadline);
  [[nodiscard]] Result<std::unique_ptr<Connection>> open_connection() const;
  void give_back(Reader reader);
  // Into a transaction that shows the newest rows; `shown` is what it shows now, and then.
  [[nodiscard]] Status begin(Connection& connection, std::uint64_t& shown) const;
  // Out of it; a connection that cannot leave would hold the WAL, and is closed.
  static void end(Reader& reader);

  const Options options_;
  const std::shared_ptr<ChecksumVfs> vfs_;
  const ReadState& state_;
  Poison& poison_;
  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Reader> free_ GUARDED_BY(mutex_);
  std::size_t lent_ GUARDED_BY(mutex_) = 0;
  std::uint64_t let_go_ GUARDED_BY(mutex_) = 0;  // grows as LetGo begins and ends; odd between
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace common::db
