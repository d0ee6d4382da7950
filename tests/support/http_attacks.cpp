#include "tests/support/http_attacks.hpp"

#include <fmt/core.h>

namespace test_support {
namespace {

constexpr std::string_view kBody = "{\"v\":1}";

// A request for "count" whose parts can be chosen; `headers` come whole, each with its CRLF.
std::string request(std::string_view line, std::string_view headers, std::string_view body) {
  return fmt::format("{}\r\n{}\r\n{}", line, headers, body);
}
std::string post(std::string_view headers, std::string_view body = kBody) {
  return request("POST /v1/abuse/count HTTP/1.1",
                 fmt::format("Host: a\r\nContent-Type: application/json\r\n{}", headers), body);
}
std::string length_of(std::string_view body) {
  return fmt::format("Content-Length: {}\r\n", body.size());
}
// With a good length and one header more.
std::string with(std::string_view header) {
  return post(length_of(kBody) + std::string(header));
}
// With another request line.
std::string line(std::string_view request_line) {
  return request(request_line, "Host: a\r\nContent-Type: application/json\r\n" + length_of(kBody),
                 kBody);
}

std::string many_headers(int n) {
  std::string out;
  for (int i = 0; i < n; ++i)
    out += fmt::format("X-{}: y\r\n", i);
  return out;
}

using Rows = std::vector<HttpAttack>;

// The next request hides in a body that the server did not read (http requests 2026-34441 and kin).
void add_unread_bodies(Rows& rows) {
  const std::string hidden = length_of(bait()) + "\r\n";
  const auto hide = [&](std::string_view request_line, std::string_view headers) {
    return fmt::format("{}\r\nHost: a\r\n{}{}", request_line, headers, hidden);
  };
  const std::string json = "Content-Type: application/json\r\n";
  rows.push_back(
      {"unread body: unknown operation", hide("POST /v1/abuse/none HTTP/1.1", json), {404}});
  rows.push_back({"unread body: unknown path", hide("POST /etc/passwd HTTP/1.1", json), {404}});
  rows.push_back({"unread body: GET", hide("GET /v1/abuse/count HTTP/1.1", json), {405}});
  rows.push_back({"unread body: wrong type",
                  hide("POST /v1/abuse/count HTTP/1.1", "Content-Type: text/plain\r\n"),
                  {415}});
  rows.push_back({"unread body: no type", hide("POST /v1/abuse/count HTTP/1.1", ""), {415}});
  rows.push_back({"unread body: URI too long",
                  hide("POST /v1/abuse/" + std::string(9'000, 'a') + " HTTP/1.1", json),
                  {404, 414, 431}});
  rows.push_back(
      {"unread body: over the cap",
       request("POST /v1/abuse/count HTTP/1.1",
               "Host: a\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n", ""),
       {413}});
  rows.push_back(
      {"unread body: needs a session", hide("POST /v1/abuse/private HTTP/1.1", json), {401}});
  rows.push_back(
      {"unread body: needs a certificate", hide("POST /v1/abuse/node HTTP/1.1", json), {403}});
  rows.push_back({"unread body: a range",
                  hide("POST /v1/abuse/count HTTP/1.1", json + "Range: bytes=0-1\r\n"),
                  {400, 416}});
  rows.push_back({"unread body: Expect",
                  hide("POST /v1/abuse/count HTTP/1.1", json + "Expect: 100-continue\r\n"),
                  {417}});
}

void add_lengths(Rows& rows) {
  for (const char* value :
       {"-1", "+7", "0x7", "7x", "7 7", "7,7", "7, 7", "", "99999999999999999999",
        "18446744073709551623", "7\t", "٧", "1e1", "7.0"}) {
    rows.push_back({fmt::format("Content-Length \"{}\"", value),
                    post(fmt::format("Content-Length: {}\r\n", value)),
                    {400, 413}});
  }
  rows.push_back({"Content-Length twice, different",
                  post("Content-Length: 7\r\nContent-Length: 0\r\n"),
                  {400}});
  rows.push_back(
      {"Content-Length twice, equal", post("Content-Length: 7\r\nContent-Length: 7\r\n"), {400}});
  rows.push_back({"Content-Length twice, other case",
                  post("Content-Length: 7\r\ncontent-length: 8\r\n"),
                  {400}});
  rows.push_back({"no Content-Length", post("", ""), {411}});
  rows.push_back({"Content-Length 0", post("Content-Length: 0\r\n", ""), {400}});
  rows.push_back({"a declared terabyte", post("Content-Length: 1000000000000\r\n"), {413}});
}

void add_encodings(Rows& rows) {
  const std::string chunked = "7\r\n{\"v\":1}\r\n0\r\n\r\n";
  const auto coded = [&](std::string_view headers, std::string_view body) {
    return post(headers, body);
  };
  rows.push_back({"chunked", coded("Transfer-Encoding: chunked\r\n", chunked), {411, 400}});
  rows.push_back({"Content-Length and chunked",
                  coded("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", chunked),
                  {411, 400}});
  rows.push_back({"chunked and Content-Length",
                  coded("Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", chunked),
                  {411, 400}});
  rows.push_back(
      {"gzip, chunked", coded("Transfer-Encoding: gzip, chunked\r\n", chunked), {411, 400}});
  rows.push_back({"chunked, identity",
                  coded("Transfer-Encoding: chunked, identity\r\nContent-Length: 7\r\n", chunked),
                  {411, 400}});
  rows.push_back({"Transfer-Encoding with a space before its colon",
                  coded("Transfer-Encoding : chunked\r\nContent-Length: 7\r\n", chunked),
                  {411, 400}});
  rows.push_back({"Transfer-Encoding behind a tab",
                  coded("Content-Length: 7\r\nTransfer-Encoding:\tchunked\r\n", chunked),
                  {411, 400}});
  rows.push_back({"Transfer_Encoding",
                  coded("Content-Length: 7\r\nTransfer_Encoding: chunked\r\n", chunked),
                  {400, 411}});
  rows.push_back({"xchunked",
                  coded("Content-Length: 7\r\nTransfer-Encoding: xchunked\r\n", chunked),
                  {411, 400}});
  rows.push_back({"negative chunk size",
                  coded("Transfer-Encoding: chunked\r\n", "-fffffffffffffffe\r\n{}\r\n0\r\n\r\n"),
                  {411, 400}});
  rows.push_back({"trailers",
                  coded("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n",
                        "7\r\n{\"v\":1}\r\n0\r\nContent-Length: 9\r\n\r\n"),
                  {411, 400}});
  rows.push_back({"F53 Content-Encoding gzip", with("Content-Encoding: gzip\r\n"), {415, 400}});
  rows.push_back({"F53 Content-Encoding unknown", with("Content-Encoding: zz\r\n"), {415, 400}});
  rows.push_back(
      {"multipart with a long file name",
       request(
           "POST /v1/abuse/count HTTP/1.1",
           "Host: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 60100\r\n",
           "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"" +
               std::string(2'000, 'a')),
       {415}});
  rows.push_back(
      {"form",
       request("POST /v1/abuse/count HTTP/1.1",
               "Host: a\r\nContent-Type: application/x-www-form-urlencoded\r\n" + length_of("a=b"),
               "a=b"),
       {415}});
}

void add_headers(Rows& rows) {
  rows.push_back(
      {"percent-coded CRLF in a value", with("User-Agent: a%0d%0aContent-Length:%200\r\n"), {400}});
  rows.push_back({"percent-coded NUL in a value", with("User-Agent: a%00b\r\n"), {400}});
  rows.push_back({"REMOTE_ADDR", with("REMOTE_ADDR: 127.0.0.1\r\n"), {400}});
  rows.push_back({"LOCAL_PORT", with("LOCAL_PORT: 1\r\n"), {400}});
  rows.push_back({"X-Forwarded-For", with("X-Forwarded-For: 10.0.0.1, ,,\r\n"), {400}});
  rows.push_back({"a space before a colon", with("Accept : */*\r\n"), {400}});
  rows.push_back({"a folded header", with("Accept: a\r\n b: c\r\n"), {400}});
  rows.push_back({"a header without a name", with(": value\r\n"), {400}});
  rows.push_back({"a header without a colon", with("Accept\r\n"), {400}});
  rows.push_back({"a bare LF", with("Accept: a\nContent-Length: 0\r\n"), {400}});
  rows.push_back({"a bare CR", with("Accept: a\rContent-Length: 0\r\n"), {400}});
  rows.push_back({"a NUL in a value", with(std::string("Accept: a\0b\r\n", 13)), {400}});
  rows.push_back({"a NUL in a name", with(std::string("Acc\0ept: a\r\n", 12)), {400}});
  rows.push_back({"Host twice", with("Host: b\r\n"), {400}});
  rows.push_back({"Upgrade", with("Connection: Upgrade\r\nUpgrade: websocket\r\n"), {400}});
  rows.push_back(
      {"h2c upgrade", with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), {400}});
  rows.push_back({"F47 120 headers", with(many_headers(120)), {400, 431}});
  rows.push_back(
      {"F47 a header of 1 MiB", with("Accept: " + std::string(1 << 20, 'a') + "\r\n"), {431}});
  rows.push_back({"F47 a line of 1 MiB without an end", std::string(1 << 20, 'a'), {400, 431}});
  rows.push_back({"F47 a URI of 9,000 bytes",
                  line("POST /v1/abuse/count?" + std::string(9'000, 'a') + " HTTP/1.1"),
                  {404, 414, 431}});
  rows.push_back({"F47 a path of 8,000 bytes",
                  line("POST /" + std::string(8'000, '/') + " HTTP/1.1"),
                  {404, 414, 431}});
}

void add_request_lines(Rows& rows) {
  for (const char* method :
       {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "post", "PRI"}) {
    rows.push_back({fmt::format("method {}", method),
                    line(fmt::format("{} /v1/abuse/count HTTP/1.1", method)),
                    {405, 400}});
  }
  rows.push_back({"CONNECT", line("CONNECT 127.0.0.1:22 HTTP/1.1"), {405, 400}});
  for (const char* path :
       {"/v1/abuse/coun%74", "/v1/abuse/count#x", "/v1/abuse/count?x", "/v1//abuse/count",
        "/v1/abuse/count/", "/v1/abuse/../abuse/count", "http://a/v1/abuse/count",
        "//v1/abuse/count", "*", "/v1/abuse/COUNT", "/v1/abuse/count\\"}) {
    rows.push_back(
        {fmt::format("path {}", path), line(fmt::format("POST {} HTTP/1.1", path)), {404, 400}});
  }
  rows.push_back({"HTTP/1.0", line("POST /v1/abuse/count HTTP/1.0"), {400, 505}});
  rows.push_back({"HTTP/0.9", "POST /v1/abuse/count\r\n\r\n", {400, 404, 505}});
  rows.push_back({"HTTP/2.0 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 505}});
  rows.push_back(
      {"two spaces in the request line", line("POST  /v1/abuse/count HTTP/1.1"), {400, 404}});
  rows.push_back({"a space before the method", line(" POST /v1/abuse/count HTTP/1.1"), {400, 405}});
  rows.push_back({"a tab in the request line", line("POST\t/v1/abuse/count HTTP/1.1"), {400, 405}});
  rows.push_back({"an empty line first", "\r\n" + line("POST /v1/abuse/count HTTP/1.1"), {400}});
  rows.push_back({"not HTTP at all",
                  std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\r\n\r\n", 16),
                  {400, 405}});
}

std::string framed(std::string_view length, std::string_view rest) {
  const std::string body = std::string(length) + std::string(rest);
  return request("POST /v1/abuse/count HTTP/1.1",
                 "Host: a\r\nContent-Type: application/octet-stream\r\n" + length_of(body), body);
}

void add_frames(Rows& rows) {
  using namespace std::string_literals;
  rows.push_back(
      {"F48 a frame that claims four gigabytes", framed("\xff\xff\xff\xff"s, kBody), {400}});
  rows.push_back({"F48 a frame longer than its body", framed("\0\0\0\x08"s, kBody), {400}});
  rows.push_back({"F48 a body too short for its frame", framed("\0\0"s, ""), {400}});
  rows.push_back({"F48 a frame over 64 KiB", framed("\0\1\0\1"s, std::string(50'000, ' ')), {400}});
}

Rows make_rows() {
  Rows rows;
  const auto add = [&rows](const char* group, void (*adder)(Rows&)) {
    const std::size_t before = rows.size();
    adder(rows);
    for (std::size_t i = before; i < rows.size(); ++i)
      rows[i].group = group;
  };
  add("unread bodies", add_unread_bodies);
  add("lengths", add_lengths);
  add("encodings", add_encodings);
  add("headers", add_headers);
  add("request lines", add_request_lines);
  add("frames", add_frames);
  return rows;
}

}  // namespace

std::string valid_call(std::string_view operation, std::string_view body) {
  return fmt::format(
      "POST /v1/abuse/{} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      operation, body.size(), body);
}

std::string bait() {
  return valid_call("bait");
}

const std::vector<HttpAttack>& http_attacks() {
  static const Rows rows = make_rows();
  return rows;
}

}  // namespace test_support
