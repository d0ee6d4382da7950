#include "common/db/read_pool.hpp"

#include <algorithm>
#include <exception>
#include <new>

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

ReadPool::ReadPool(Options options, std::shared_ptr<ChecksumVfs> vfs, Poison& poison,
                   const Clock& clock)
    : options_(std::move(options)), vfs_(std::move(vfs)), poison_(poison), clock_(clock) {
  free_.reserve(options_.connections);  // giving one back must not fail
}

Result<std::unique_ptr<Connection>> ReadPool::take(Instant deadline) {
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
      auto connection = std::move(free_.back());
      free_.pop_back();
      return connection;
    }
  }
  return std::unique_ptr<Connection>();
}

Result<std::unique_ptr<Connection>> ReadPool::open_connection() const {
  TROTH_TRY(auto opened,
            Connection::open(options_.path, Connection::Access::ReadOnly, vfs_, clock_));
  TROTH_TRY_VOID(opened->execute_script(
      fmt::format("PRAGMA cache_size = -{}; PRAGMA query_only = ON;", options_.cache_kib)));
  return opened;
}

void ReadPool::give_back(std::unique_ptr<Connection> connection) {
  {
    MutexLock lock(mutex_);
    --lent_;
    if (connection != nullptr)
      free_.push_back(std::move(connection));
  }
  changed_.notify_all();
}

Status ReadPool::read(FunctionRef<Status(ReadTx&)> look, Instant deadline) {
  deadline = std::min(deadline, clock_.now() + options_.longest_read);
  TROTH_TRY(auto taken, take(deadline));
  Loan loan(*this, std::move(taken));
  auto& connection = loan.connection;
  if (connection == nullptr) {
    TROTH_TRY(connection, open_connection());
  }
  connection->set_deadline(deadline);
  Status done = connection->run("BEGIN");
  if (done) {
    ReadTx tx(*connection);
    done = call_look(look, tx);
  }
  connection->set_deadline(std::nullopt);
  if (connection->in_transaction()) {
    if (Status ended = connection->run("ROLLBACK"); !ended && done)
      done = ended;
  }
  if (const auto damage = connection->take_damage())
    poison_.set(*damage);
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
