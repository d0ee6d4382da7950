#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

#include <nlohmann/json.hpp>

#include "cli/status_report.hpp"
#include "common/config/values.hpp"
#include "common/rpc/client.hpp"
#include "common/wire/json_object.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;
namespace rpc = common::rpc;

// So many servers are asked at a time, each by a thread that waits; a cell of more in turns.
constexpr std::size_t kThreads = 256;
constexpr std::size_t kMaxText = 1024;
constexpr std::uint64_t kMostStatusReply = std::uint64_t{64} * 1024;

Status read_answer(const nlohmann::json& answer, const std::string& role, PartStatus& part) {
  using common::wire::JsonObject;
  TROTH_TRY(const JsonObject object, JsonObject::of(answer, "status"));
  TROTH_TRY(const std::string answered, object.text("role", kMaxText));
  if (answered != role) {
    return common::fail(common::ErrorCode::Protocol, "a {} answers there, not a {}", answered,
                        role);
  }
  TROTH_TRY(part.version, object.text("version", kMaxText));
  TROTH_TRY(part.uptime_s, object.try_u64("uptime_s"));
  TROTH_TRY(part.ready, object.boolean("ready"));
  TROTH_TRY(part.message, object.text("message", kMaxText));
  TROTH_TRY(const std::int64_t not_after, object.i64("certificate_not_after"));

  constexpr std::int64_t kLatest =
      9'000'000'000;  // the year 2255: what nanoseconds in 64 bits can hold
  part.certificate_not_after =
      common::WallTime(std::chrono::seconds(std::clamp<std::int64_t>(not_after, 0, kLatest)));
  return {};
}

std::string reason(const common::Error& error) {
  switch (error.code) {
    case common::ErrorCode::DeadlineExceeded:
      return "it did not answer in time: " + error.message;
    default:
      return error.message;
  }
}

PartStatus ask(const common::cell::ServerEntry& server, const std::string& cell_id,
               const std::shared_ptr<common::tls::ReloadableContext>& tls,
               common::Instant deadline) {
  PartStatus part{.kind = server.role, .name = server.name, .where = server.address};
  const auto left = deadline - rpc::now();
  if (left <= common::Duration::zero()) {
    part.message = "there was no time to ask it, for too many others did not answer in time";
    return part;
  }
  const auto endpoint = common::config::parse_endpoint(server.address);
  if (!endpoint) {
    part.message = "its address is not host:port";
    return part;
  }
  rpc::Client client({.host = endpoint->host,
                      .port = endpoint->port,
                      .server_name = endpoint->host,
                      .cell_id = cell_id,
                      .role = server.role,
                      .tls = tls,
                      .connect_limit = std::chrono::ceil<std::chrono::milliseconds>(left)});
  rpc::Request request;
  request.service = server.role;
  request.operation = "status";
  request.max_reply_bytes = kMostStatusReply;
  request.deadline = deadline;
  const rpc::CallResult result = client.call(request);
  if (!result.answer) {
    part.message = reason(result.answer.error());
    return part;
  }
  if (const auto read = read_answer(result.answer->result(), server.role, part); !read) {
    part.message = "its answer makes no sense: " + read.error().message;
    return part;
  }
  part.up = true;
  return part;
}

}  // namespace

std::vector<PartStatus> ask_servers(const common::cell::Description& description,
                                    common::Instant deadline) {
  std::vector<PartStatus> parts(description.servers.size());
  auto context = common::tls::ReloadableContext::make(
      [ca = description.ca] { return common::tls::make_client({.ca = ca}); });
  if (!context) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto& server = description.servers[i];
      parts[i] = {.kind = server.role, .name = server.name, .where = server.address};
      parts[i].message = context.error().message;
    }
    return parts;
  }
  const std::shared_ptr<common::tls::ReloadableContext> tls = *std::move(context);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < parts.size(); i = next++)
      parts[i] = ask(description.servers[i], description.id, tls, deadline);
  };
  std::vector<std::thread> threads;
  try {
    // This thread is one of them.
    for (std::size_t i = 1; i < std::min(kThreads, parts.size()); ++i)
      threads.emplace_back(work);
  } catch (const std::system_error&) {
    // The machine gives no more threads: those that there are ask in turns.
  }
  work();
  for (std::thread& thread : threads)
    thread.join();
  return parts;
}

}  // namespace cli
