#include "common/rpc/head_guard.hpp"

#include <string>

#include "tests/support/test.hpp"

using common::rpc::check_head;
using common::rpc::HeadVerdict;
using Kind = HeadVerdict::Kind;

namespace {

std::string head_with(const std::string& extra) {
  return "POST /v1/files/read HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
         "Content-Length: 12\r\n" +
         extra + "\r\n";
}

}  // namespace

TEST_CASE("a plain request head is accepted and understood") {
  const std::string text =
      "POST /v1/files/read-all HTTP/1.1\r\ncontent-type: Application/Octet-Stream\r\n"
      "CONTENT-LENGTH: 1234\r\nUser-Agent: x\r\nConnection: Close\r\n\r\n";
  const std::string received = text + "body";
  const HeadVerdict verdict = check_head(received);
  REQUIRE(verdict.kind == Kind::Accepted);
  CHECK(verdict.head.service == "files");
  CHECK(verdict.head.operation == "read-all");
  CHECK(verdict.head.content_length == 1234);
  CHECK(verdict.head.is_bytes);
  CHECK(verdict.head.close);
  CHECK(verdict.head.size == text.size());
}

TEST_CASE("a head is incomplete at every byte before its end, and accepted at the end") {
  const std::string text = head_with("");
  for (std::size_t i = 0; i < text.size(); ++i) {
    CAPTURE(i);
    CHECK(check_head(std::string_view(text).substr(0, i)).kind == Kind::Incomplete);
  }
  CHECK(check_head(text).kind == Kind::Accepted);
}

TEST_CASE("whatever parsers could read in two ways is refused with its status") {
  struct Row {
    const char* what;
    std::string text;
    int status;
  };
  const std::string line = "POST /v1/a/b HTTP/1.1\r\n";
  const std::string type = "Content-Type: application/json\r\n";
  const Row rows[] = {
      {"GET", "GET /v1/a/b HTTP/1.1\r\n", 405},
      {"lower-case method", "post /v1/a/b HTTP/1.1\r\n", 405},
      {"HTTP/1.0", "POST /v1/a/b HTTP/1.0\r\n", 400},
      {"no version", "POST /v1/a/b\r\n", 400},
      {"two spaces", "POST  /v1/a/b HTTP/1.1\r\n", 404},
      {"percent", "POST /v1/%61/b HTTP/1.1\r\n", 404},
      {"query", "POST /v1/a/b?x HTTP/1.1\r\n", 404},
      {"three parts", "POST /v1/a/b/c HTTP/1.1\r\n", 404},
      {"dots", "POST /v1/../b HTTP/1.1\r\n", 404},
      {"absolute", "POST http://x/v1/a/b HTTP/1.1\r\n", 404},
      {"long name", "POST /v1/a/" + std::string(33, 'b') + " HTTP/1.1\r\n", 404},
      {"empty first line", "\r\nPOST /v1/a/b HTTP/1.1\r\n", 400},
      {"bare LF", "POST /v1/a/b HTTP/1.1\n", 400},
      {"NUL", line + std::string("Host: a\0b", 9), 400},
      {"bare CR", line + "Host: a\rb\r\n", 400},
      {"tab", line + "Host: a\tb\r\n", 400},
      {"obs-fold", line + "Host: a\r\n b\r\n", 400},
      {"space before colon", line + "Host : a\r\n", 400},
      {"no colon", line + "Host\r\n", 400},
      {"empty name", line + ": a\r\n", 400},
      {"percent in value", line + "Host: a%0d%0a\r\n", 400},
      {"high byte in value", line + "Host: \xC3\xA4\r\n", 400},
      {"unknown header", line + "X-Forwarded-For: 1.2.3.4\r\n", 400},
      {"REMOTE_ADDR", line + "REMOTE_ADDR: 1.2.3.4\r\n", 400},
      {"chunked", line + "Transfer-Encoding: chunked\r\n", 411},
      {"gzip, chunked", line + "transfer-encoding: gzip, chunked\r\n", 411},
      {"content encoding", line + "Content-Encoding: gzip\r\n", 415},
      {"expect", line + "Expect: 100-continue\r\n", 417},
      {"range", line + "Range: bytes=0-1\r\n", 400},
      {"upgrade", line + "Upgrade: websocket\r\n", 400},
      {"trailer", line + "Trailer: X\r\n", 400},
      {"connection upgrade", line + "Connection: upgrade\r\n", 400},
      {"no length", line + type + "\r\n", 411},
      {"no type", line + "Content-Length: 1\r\n\r\n", 415},
      {"form", line + "Content-Type: application/x-www-form-urlencoded\r\n", 415},
      {"multipart", line + "Content-Type: multipart/form-data; boundary=x\r\n", 415},
      {"length twice, same", line + "Content-Length: 1\r\nContent-Length: 1\r\n", 400},
      {"length twice, other", line + "Content-Length: 1\r\nContent-Length: 2\r\n", 400},
      {"list of lengths", line + "Content-Length: 1, 1\r\n", 400},
      {"negative", line + "Content-Length: -1\r\n", 400},
      {"plus", line + "Content-Length: +1\r\n", 400},
      {"hex", line + "Content-Length: 0x1\r\n", 400},
      {"empty length", line + "Content-Length:\r\n", 400},
      {"20 digits", line + "Content-Length: 00000000000000000001\r\n", 400},
      {"too large head", line + "Host: " + std::string(5000, 'a'), 431},
      {"too large request line", "POST /v1/" + std::string(5000, 'a'), 431},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const HeadVerdict verdict = check_head(row.text);
    CHECK(verdict.kind == Kind::Refused);
    CHECK(verdict.status == row.status);
    CHECK_FALSE(verdict.reason.empty());
  }
}

TEST_CASE("header lines are counted") {
  std::string text = "POST /v1/a/b HTTP/1.1\r\n";
  common::rpc::HeadLimits limits;
  limits.lines = 2;
  text += "Host: a\r\nAccept: b\r\n";
  CHECK(check_head(text, limits).kind == Kind::Incomplete);
  text += "User-Agent: c\r\n";
  CHECK(check_head(text, limits).status == 431);
}
