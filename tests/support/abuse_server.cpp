#include "tests/support/abuse_server.hpp"

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include <nlohmann/json.hpp>

namespace test_support {

using common::Result;
using common::rpc::Call;
using common::rpc::Operation;
using common::rpc::OperationTable;
using common::rpc::Reply;

namespace {

constexpr std::uint64_t kEchoCap = 1024 * 1024 + 64 * 1024;
constexpr std::uint64_t kSinkCap = 2ULL * 1024 * 1024 * 1024;

Result<Reply> read_all(Call& call) {
  std::vector<std::byte> piece(256 * 1024);
  std::uint64_t total = 0;
  for (;;) {
    TROTH_TRY(const std::size_t n, call.read_body(piece));
    if (n == 0)
      break;
    total += n;
  }
  return Reply::json({{"bytes", total}});
}

// A handler that waits for something which does not come, as a blocking lock would.
Result<Reply> wait_in_vain(Call& call, AbuseCounts& counts) {
  ++counts.waiting;
  common::SystemClock clock;
  while (!call.cancelled() && clock.now() < call.deadline())
    (void)::poll(nullptr, 0, 5);
  --counts.waiting;
  return Reply::json(nullptr);
}

}  // namespace

OperationTable abuse_operations(AbuseCounts& counts) {
  OperationTable table;
  const auto add = [&](Operation operation) {
    operation.service = "abuse";
    if (!table.add(std::move(operation)))
      std::abort();
  };
  add({.name = "count", .handler = [&counts](Call&) -> Result<Reply> {
         return Reply::json({{"baits", counts.baits.load()}});
       }});
  add({.name = "bait", .handler = [&counts](Call&) -> Result<Reply> {
         ++counts.baits;
         return Reply::json(nullptr);
       }});
  add({.name = "echo",
       .handler = [](Call& call) -> Result<Reply> {
         Reply reply = Reply::json(nullptr);
         reply.bytes.assign(call.body().begin(), call.body().end());
         return reply;
       },
       .body_cap = kEchoCap});
  add({.name = "sink",
       .handler = read_all,
       .body_cap = kSinkCap,
       .kind = common::rpc::OperationClass::Bulk,
       .streamed = true});
  add({.name = "ignore",
       .handler = [](Call&) -> Result<Reply> { return Reply::json(nullptr); },
       .body_cap = kSinkCap,
       .streamed = true});
  add({.name = "wait", .handler = [&counts](Call& call) { return wait_in_vain(call, counts); }});
  add({.name = "private",
       .handler = [](Call&) -> Result<Reply> { return Reply::json(nullptr); },
       .needs_session = true});
  add({.name = "node",
       .handler = [](Call&) -> Result<Reply> { return Reply::json(nullptr); },
       .needs_node_certificate = true});
  return table;
}

}  // namespace test_support
