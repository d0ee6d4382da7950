#include "common/db/read_pool.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

namespace common::db {
namespace {

using namespace std::chrono_literals;

Status call_look(FunctionRef<Status(ReadTx&)> look, ReadTx& tx) {
  try {
    return look(tx);
  } catch (const std::bad_alloc&) {
    return tl::unexpected(Error{ErrorCode::ResourceExhausted, "out of memory"});
  } catch (const std::exception& e) {
    return fail(ErrorCode::Internal, "a read threw: {}", e.what());
  }
}

}  // namespace

ReadPool::ReadPool(Options options, std::shared_ptr<ChecksumVfs> vfs, const ReadState& state,
                   Poison& poison, const Clock& clock)
    : options_(std::move(options)),
      vfs_(std::move(vfs)),
      state_(state),
      poison_(poison),
      clock_(clock) {
  free_.reserve(options_.connections);  // giving one back must not fail
}

Result<ReadPool::Reader> ReadPool::take(Instant deadline) {
  {
    MutexLock lock(mutex_);
    while (free_.empty() && lent_ >= options_.connections && !closed_) {
      const Duration left = deadline - clock_.now();
      if (left <= Duration::zero()) {
        auto refused = fail(ErrorCode::Overloaded, "all {} reading connections are in use",
                            options_.connections);
        refused.value().retry_after = 50ms;
        return refused;
      }
      changed_.wait_for(mutex_, std::min<Duration>(left, 1s));
    }
    if (closed_)
      return fail(ErrorCode::Unavailable, "the database is being closed");
    ++lent_;
    if (!free_.empty()) {
      Reader reader = std::move(free_.back());
      free_.pop_back();
      reader.let_go = let_go_;
      return reader;
    }
    return Reader{.connection = nullptr, .state = 0, .let_go = let_go_};
  }
}

Result<std::unique_ptr<Connection>> ReadPool::open_connection() const {
  TROTH_TRY(auto opened,
            Connection::open(options_.path, Connection::Access::ReadOnly, vfs_, clock_));
  TROTH_TRY_VOID(opened->execute_script(
      fmt::format("PRAGMA cache_size = -{}; PRAGMA query_only = ON;", options_.cache_kib)));
  return opened;
}

void ReadPool::end(Reader& reader) {
  reader.state = 0;
  if (reader.connection == nullptr || !reader.connection->in_transaction())
    return;
  try {
    static_cast<void>(reader.connection->run("ROLLBACK"));
  } catch (const std::bad_alloc&) {
    reader.connection.reset();
    return;
  }
  if (reader.connection->in_transaction())
    reader.connection.reset();
}

void ReadPool::give_back(Reader reader) {
  if (reader.state == 0)
    end(reader);
  {
    MutexLock lock(mutex_);
    if (let_go_ % 2 != 0 || reader.let_go != let_go_)
      end(reader);
    --lent_;
    if (reader.connection != nullptr)
      free_.push_back(std::move(reader));
  }
  changed_.notify_all();
}

ReadPool::LetGo::LetGo(ReadPool& pool) : pool_(pool) {
  MutexLock lock(pool_.mutex_);
  ++pool_.let_go_;
  for (Reader& reader : pool_.free_)
    end(reader);
  std::erase_if(pool_.free_, [](const Reader& reader) { return reader.connection == nullptr; });
}

ReadPool::LetGo::~LetGo() {
  MutexLock lock(pool_.mutex_);
  ++pool_.let_go_;
}

Status ReadPool::begin(Connection& connection, std::uint64_t& shown) const {
  const std::uint64_t state = state_.now();
  if (state != 0 && shown == state)
    return {};
  shown = 0;
  if (connection.in_transaction())
    TROTH_TRY_VOID(connection.run("ROLLBACK"));
  // Asked before it begins: if it shows something newer, the answer is another by then.
  TROTH_TRY_VOID(connection.run("BEGIN"));
  shown = state;
  return {};
}

Status ReadPool::read(FunctionRef<Status(ReadTx&)> look, Instant deadline) {
  deadline = std::min(deadline, clock_.now() + options_.longest_read);
  TROTH_TRY(auto taken, take(deadline));
  Loan loan(*this, std::move(taken));
  if (loan.reader.connection == nullptr) {
    TROTH_TRY(loan.reader.connection, open_connection());
  }
  Connection& connection = *loan.reader.connection;
  connection.set_deadline(deadline);
  // 0 meanwhile: however this ends, nobody goes on from the middle.
  std::uint64_t shown = std::exchange(loan.reader.state, 0);
  Status done = begin(connection, shown);
  if (done) {
    ReadTx tx(connection);
    done = call_look(look, tx);
  }
  connection.set_deadline(std::nullopt);
  const auto damage = connection.take_damage();
  if (damage)
    poison_.set(*damage);
  else if (done && shown == state_.now())
    loan.reader.state = shown;
  return done;
}

void ReadPool::close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  while (lent_ > 0)
    changed_.wait_for(mutex_, 1s);
  free_.clear();
}

}  // namespace common::db
