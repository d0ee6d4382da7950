#pragma once

// The call protocol's numbers and texts: PROTOCOL.md in code, shared by server and client.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/ids.hpp"
#include "common/result.hpp"

namespace common::rpc {

inline constexpr int kProtocolVersion = 1;

// A head of ours is under 200 bytes; 4 KiB leaves room for curl with its habits.
inline constexpr std::size_t kMaxHttpHeadBytes = 4096;
inline constexpr std::size_t kMaxHeaderLines = 32;
inline constexpr std::size_t kMaxNameBytes = 32;  // of a service or an operation
inline constexpr std::size_t kMaxTraceBytes = 32;
inline constexpr std::size_t kMaxJsonHeadBytes = 64 * 1024;  // before raw bytes
inline constexpr std::size_t kMaxJsonDepth = 32;
// Objects, lists and scalars. The largest request of ours has 50,000 (10,000 nodes to be looked at
// again), its reply four times as many.
inline constexpr std::size_t kMaxRequestValues = 100'000;
inline constexpr std::size_t kMaxReplyValues = 400'000;
inline constexpr std::size_t kMaxErrorDetailBytes = 4096;  // the attributes of two nodes, with room
inline constexpr std::size_t kMaxReplyJsonBytes = 16 * 1024 * 1024;  // what a client will collect

inline constexpr std::chrono::milliseconds kDefaultDeadline{30'000};
inline constexpr std::chrono::milliseconds kMaxDeadline{600'000};
inline constexpr std::string_view kChannelLabel = "EXPORTER-troth-channel";

inline constexpr std::string_view kJsonType = "application/json";
inline constexpr std::string_view kBytesType = "application/octet-stream";

// The HTTP status that carries a code, and the code behind a status that came without our JSON.
int http_status(ErrorCode code);
ErrorCode code_of_http_status(int status);
std::string_view http_reason(int status);

// What a request head says about its call, apart from the arguments.
struct CallHead {
  OperationId id;  // zero: none
  std::chrono::milliseconds deadline = kDefaultDeadline;
  std::string trace;
};

// True for 1 to 32 of a-z 0-9 - _.
bool is_operation_name(std::string_view name);

// The request head's text; `args` must be JSON already, empty means `{}`.
std::string encode_request_head(const CallHead& head, std::string_view args);

// Decodes a request head; `args` receives the arguments. Refuses deep nesting before parsing.
Result<CallHead> decode_request_head(std::string_view text, nlohmann::json& args);

// `{"epoch":..,"result":..}`; `result` must be JSON already, empty means null.
std::string encode_result(std::uint64_t epoch, std::string_view result);
// `{"epoch":..,"code":..,...}`; the message may hold any bytes. `detail` is left out if it is no
// JSON object of at most kMaxErrorDetailBytes.
std::string encode_error(std::uint64_t epoch, const Error& error, std::string_view trace);

// A decoded reply body. For an error `result` is untouched and `error` is set.
struct ReplyHead {
  std::uint64_t epoch = 0;
  std::optional<Error> error;
};
Result<ReplyHead> decode_reply(int status, std::string_view text, nlohmann::json& result);

// The frame before raw bytes: 4 bytes big-endian.
std::string encode_frame_length(std::size_t length);
std::uint32_t decode_frame_length(std::string_view four_bytes);

}  // namespace common::rpc
