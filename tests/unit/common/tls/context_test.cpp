#include "common/tls/context.hpp"

#include <openssl/ssl.h>

#include <fstream>

#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"

using common::ErrorCode;
using common::tls::make_client;
using common::tls::make_server;
using common::tls::ReloadableContext;
using test_support::TestCell;

TEST_CASE("a server starts from a good certificate and knows when it ends") {
  TestCell cell;
  auto files = cell.issue("server", {.ends = std::chrono::hours(48)});
  auto context = make_server({.certificate = files.certificate, .key = files.key, .ca = cell.ca()});
  REQUIRE_OK(context);
  const auto left = (*context)->not_after() - common::SystemClock().wall_now();
  CHECK(left > std::chrono::hours(47));
  CHECK(left < std::chrono::hours(49));
}

TEST_CASE("a server refuses to start from a useless certificate and says why in one sentence") {
  TestCell cell;
  TestCell other_cell;
  auto good = cell.issue("good");
  auto expired = cell.issue("expired", {.ends = std::chrono::seconds(-60)});
  auto early = cell.issue("early", {.begins = std::chrono::hours(1)});
  auto foreign = other_cell.issue("foreign");
  struct Row {
    const char* what;
    common::tls::ServerOptions options;
    ErrorCode code;
    const char* says;
  };
  const Row rows[] = {
      {"expired", {expired.certificate, expired.key, cell.ca()}, ErrorCode::Expired, "expired on"},
      {"early", {early.certificate, early.key, cell.ca()}, ErrorCode::Expired, "valid only from"},
      {"foreign",
       {foreign.certificate, foreign.key, cell.ca()},
       ErrorCode::Unauthenticated,
       "was not issued by this cell's authority"},
      {"other key",
       {good.certificate, foreign.key, cell.ca()},
       ErrorCode::InvalidArgument,
       "does not belong to the certificate"},
      {"no certificate",
       {"/nonexistent.crt", good.key, cell.ca()},
       ErrorCode::InvalidArgument,
       "cannot read the certificate /nonexistent.crt"},
      {"no key",
       {good.certificate, "/nonexistent.key", cell.ca()},
       ErrorCode::InvalidArgument,
       "cannot read the key"},
      {"no authority",
       {good.certificate, good.key, "/nonexistent.ca"},
       ErrorCode::InvalidArgument,
       "cannot read the certificate authority"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    auto context = make_server(row.options);
    CHECK_FAILS(context, row.code);
    if (context)
      continue;
    CHECK(context.error().message.find(row.says) != std::string::npos);
    CHECK(context.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a client needs an authority, and certificate and key together") {
  TestCell cell;
  CHECK_OK(make_client({.ca = cell.ca()}));
  CHECK_FAILS(make_client({}), ErrorCode::InvalidArgument);
  CHECK_FAILS(make_client({.ca = cell.ca(), .certificate = cell.ca()}), ErrorCode::InvalidArgument);
}

TEST_CASE("a failed reload keeps the context in use, a good one replaces it") {
  TestCell cell;
  auto files = cell.issue("server");
  const common::tls::ServerOptions options{files.certificate, files.key, cell.ca()};
  auto holder = ReloadableContext::make([options] { return make_server(options); });
  REQUIRE_OK(holder);
  const auto first = (*holder)->current();

  std::ofstream(files.certificate, std::ios::trunc) << "not a certificate\n";
  CHECK_FAILS((*holder)->reload(), ErrorCode::InvalidArgument);
  CHECK((*holder)->current() == first);

  cell.issue("server");
  CHECK_OK((*holder)->reload());
  CHECK((*holder)->current() != first);
}

TEST_CASE("what secrets come over wipes them from TLS's own buffers, and nothing else does") {
  TestCell cell;
  const auto files = cell.issue("server");
  const auto wipes = [](const common::Result<common::tls::ContextPtr>& made) {
    REQUIRE_OK(made);
    return (SSL_CTX_get_options((*made)->native()) & SSL_OP_CLEANSE_PLAINTEXT) != 0;
  };
  using common::tls::Content;
  for (const Content content : {Content::Data, Content::Secrets}) {
    CHECK(wipes(make_server({.certificate = files.certificate,
                             .key = files.key,
                             .ca = cell.ca(),
                             .content = content})) == (content == Content::Secrets));
    CHECK(wipes(make_client({.ca = cell.ca(), .certificate = {}, .key = {}, .content = content})) ==
          (content == Content::Secrets));
  }
}
