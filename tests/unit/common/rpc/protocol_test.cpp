#include "common/rpc/protocol.hpp"

#include <nlohmann/json.hpp>

#include "common/rpc/reply_head.hpp"
#include "tests/support/test.hpp"

using common::Error;
using common::ErrorCode;
using namespace common::rpc;

TEST_CASE("a request head survives encoding and decoding") {
  CallHead head;
  head.id = {0x0123456789abcdef, 0xfedcba9876543210};
  head.deadline = std::chrono::milliseconds(1500);
  head.trace = "abc-123";
  const std::string text = encode_request_head(head, R"({"name":"x"})");
  CHECK(
      text ==
      R"({"v":1,"id":"0123456789abcdeffedcba9876543210","trace":"abc-123","deadline_ms":1500,"args":{"name":"x"}})");
  nlohmann::json args;
  auto decoded = decode_request_head(text, args);
  REQUIRE_OK(decoded);
  CHECK(decoded->id == head.id);
  CHECK(decoded->deadline == head.deadline);
  CHECK(decoded->trace == head.trace);
  CHECK(args == nlohmann::json{{"name", "x"}});
}

TEST_CASE("a request head has defaults, ignores what it does not know, and bounds the deadline") {
  nlohmann::json args;
  auto decoded = decode_request_head(R"({"v":1,"later":[1,{}]})", args);
  REQUIRE_OK(decoded);
  CHECK(decoded->id == common::OperationId{});
  CHECK(decoded->deadline == kDefaultDeadline);
  CHECK(args == nlohmann::json::object());
  decoded = decode_request_head(R"({"v":1,"deadline_ms":18446744073709551615})", args);
  REQUIRE_OK(decoded);
  CHECK(decoded->deadline == kMaxDeadline);
}

TEST_CASE("bad request heads are refused") {
  const std::string deep = R"({"v":1,"args":)" + std::string(40, '[') + std::string(40, ']') + "}";
  std::string many = R"({"v":1,"args":[1)";
  for (std::size_t i = 0; i < kMaxRequestValues; ++i)
    many += ",1";
  many += "]}";
  struct Row {
    std::string text;
    ErrorCode code;
  };
  const Row rows[] = {
      {"", ErrorCode::InvalidArgument},
      {"[]", ErrorCode::InvalidArgument},
      {"{", ErrorCode::InvalidArgument},
      {R"({"v":1}x)", ErrorCode::InvalidArgument},
      {R"({})", ErrorCode::InvalidArgument},
      {R"({"v":"1"})", ErrorCode::InvalidArgument},
      {R"({"v":2})", ErrorCode::Unsupported},
      {R"({"v":1,"id":"12"})", ErrorCode::InvalidArgument},
      {R"({"v":1,"id":7})", ErrorCode::InvalidArgument},
      {R"({"v":1,"id":"0123456789abcdeffedcba987654321g"})", ErrorCode::InvalidArgument},
      {R"({"v":1,"id":"-123456789abcdeffedcba9876543210"})", ErrorCode::InvalidArgument},
      {R"({"v":1,"deadline_ms":-1})", ErrorCode::InvalidArgument},
      {R"({"v":1,"deadline_ms":1.5})", ErrorCode::InvalidArgument},
      {R"({"v":1,"trace":"a b"})", ErrorCode::InvalidArgument},
      {R"({"v":1,"trace":"\n"})", ErrorCode::InvalidArgument},
      {R"({"v":1,"trace":"012345678901234567890123456789012"})", ErrorCode::InvalidArgument},
      {deep, ErrorCode::InvalidArgument},
      {many, ErrorCode::InvalidArgument},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    nlohmann::json args;
    CHECK_FAILS(decode_request_head(row.text, args), row.code);
  }
}

TEST_CASE("every error code crosses the wire and comes back with its retry time") {
  for (int i = 0; i <= static_cast<int>(ErrorCode::Internal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    CAPTURE(to_string(code));
    const Error error{code, "it \"went\"\n wrong \xFF", std::chrono::milliseconds(70)};
    const std::string text = encode_error(9, error, "t-1");
    CHECK(text.find('\n') == std::string::npos);
    nlohmann::json result;
    auto reply = decode_reply(http_status(code), text, result);
    REQUIRE_OK(reply);
    CHECK(reply->epoch == 9);
    REQUIRE(reply->error.has_value());
    CHECK(reply->error->code == code);
    CHECK(reply->error->message.starts_with("it \"went\"\n wrong"));
    CHECK(reply->error->retry_after == std::chrono::milliseconds(70));
    CHECK_FALSE(http_reason(http_status(code)).empty());
    // A status alone translates to a code of the same status.
    CHECK(http_status(code_of_http_status(http_status(code))) == http_status(code));
  }
}

TEST_CASE("an errno crosses the wire by its name") {
  const auto crossed = [](std::string text) {
    nlohmann::json result;
    auto reply = decode_reply(409, text, result);
    REQUIRE_OK(reply);
    REQUIRE(reply->error.has_value());
    return reply->error->error_number;
  };
  const Error full = common::fail_posix(ENOTEMPTY, "directory {} is not empty", "d").value();
  const std::string text = encode_error(1, full, "");
  CHECK(text.find(R"("errno":"ENOTEMPTY")") != std::string::npos);
  CHECK(crossed(text) == ENOTEMPTY);
  CHECK(crossed(encode_error(1, Error{ErrorCode::Conflict, "no"}, "")) == 0);
  CHECK(crossed(R"({"epoch":1,"code":"conflict","message":"m","errno":"EWHATEVER"})") == 0);
  CHECK(crossed(R"({"epoch":1,"code":"conflict","message":"m","errno":39})") == 0);
}

TEST_CASE("a detail crosses the wire if it is a small JSON object") {
  const auto crossed = [](std::string detail) {
    Error error{ErrorCode::Conflict, "no"};
    error.detail = std::move(detail);
    nlohmann::json result;
    auto reply = decode_reply(409, encode_error(1, error, ""), result);
    REQUIRE_OK(reply);
    REQUIRE(reply->error.has_value());
    CHECK(reply->error->code == ErrorCode::Conflict);
    return reply->error->in("store").detail;
  };
  CHECK(crossed(R"({"condition":2,"node":{"n":7}})") == R"({"condition":2,"node":{"n":7}})");
  CHECK(crossed("").empty());
  CHECK(crossed("[1]").empty());
  CHECK(crossed("{\"a\":").empty());
  CHECK(crossed(R"({},"code":"internal")").empty());
  CHECK(crossed(R"({"a":")" + std::string(kMaxErrorDetailBytes, 'x') + R"("})").empty());
}

TEST_CASE("a success reply carries the epoch and the result") {
  nlohmann::json result;
  auto reply = decode_reply(200, encode_result(7, R"([1,2])"), result);
  REQUIRE_OK(reply);
  CHECK(reply->epoch == 7);
  CHECK_FALSE(reply->error.has_value());
  CHECK(result == nlohmann::json{1, 2});
  CHECK_FAILS(decode_reply(200, "{}", result), ErrorCode::Protocol);
  CHECK_FAILS(decode_reply(200, "junk", result), ErrorCode::Protocol);
  reply = decode_reply(503, "<html>", result);
  REQUIRE_OK(reply);
  REQUIRE(reply->error.has_value());
  CHECK(reply->error->code == ErrorCode::Unavailable);
}

TEST_CASE("frame lengths are big-endian") {
  CHECK(encode_frame_length(0x01020304) == std::string("\x01\x02\x03\x04"));
  CHECK(decode_frame_length(encode_frame_length(0xFFFEFDFC)) == 0xFFFEFDFC);
}

TEST_CASE("a reply head must be HTTP/1.1 with one length") {
  auto head = parse_reply_head(
      "HTTP/1.1 503 Whatever it says\r\ncontent-length: 5\r\nX-Other: y\r\n"
      "connection: CLOSE\r\nContent-Type: application/octet-stream; x=y\r\n\r\nrest");
  REQUIRE_OK(head);
  REQUIRE(head->has_value());
  CHECK((*head)->status == 503);
  CHECK((*head)->content_length == 5);
  CHECK((*head)->close);
  CHECK((*head)->is_bytes);
  for (const char* text :
       {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 2x0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 5\r\n\r\n"}) {
    CAPTURE(text);
    CHECK_FAILS(parse_reply_head(text), ErrorCode::Protocol);
  }
  head = parse_reply_head("HTTP/1.1 200 OK\r\nContent-Le");
  REQUIRE_OK(head);
  CHECK_FALSE(head->has_value());
  CHECK_FAILS(parse_reply_head(std::string(4096, 'x')), ErrorCode::Protocol);
}
