#pragma once

// What has broken HTTP servers before, as bytes: one row for each way of making two parsers
// disagree, of hiding a request in another one's body, and of asking for more than one's due.
// Used by the regression tests and by soak_rpc_abuse.

#include <string>
#include <string_view>
#include <vector>

namespace test_support {

// A request that the server must refuse. `first` is sent, its reply awaited, and then `kBait`: a
// whole valid request, which must find the connection closed. Sending the bait together with
// `first` would hide the fault where a server drops what it has buffered.
struct HttpAttack {
  std::string name;
  std::string first;
  // What the refusal may say; empty: closing without a reply is right, too.
  std::vector<int> statuses;
  std::string group;  // the class of faults that it belongs to
};

// Counted by the test server: each one that is executed was smuggled.
std::string bait();
// A valid call of `operation` of the service "abuse" with this JSON body.
std::string valid_call(std::string_view operation, std::string_view body = "{\"v\":1}");

// All rows; names are unique.
const std::vector<HttpAttack>& http_attacks();

}  // namespace test_support
