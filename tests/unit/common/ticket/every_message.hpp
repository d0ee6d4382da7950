#pragma once

// Every message of the protocol, good, with whoever reads it: what the tests of forgeries and of
// messages at the wrong place go through.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/ticket/proof.hpp"
#include "common/ticket/replay_cache.hpp"
#include "small_cell.hpp"
#include "tests/support/temp_dir.hpp"

namespace ticket_test {

struct Presented {
  std::string name;
  Bytes good;
  // What its one reader makes of it: everything that is decoded, opened and proven.
  std::function<Status(ByteView)> read;
};

// A KDC, two services and a logged-in user, between them one of each message. The messages of AS
// are about kdc/tgs, those of TGS, AP and the proof about kService.
class EveryMessage {
 public:
  EveryMessage();

  [[nodiscard]] const std::vector<Presented>& all() const { return all_; }
  [[nodiscard]] const Presented& of(std::string_view name) const;

  const Channel channel = channel_of(0xC4);
  const crypto::Digest head{std::byte{0x4E}};
  const crypto::Digest content{std::byte{0xC0}};
  ServiceSide service;
  TicketOpener tgs;
  crypto::Secret client_key = key_of(42);
  Credential tgt;
  Credential credential;

 private:
  [[nodiscard]] Time now() const { return service.now(); }
  void add(std::string name, Bytes good, std::function<Status(ByteView)> read);
  void add_as();
  void add_tgs();
  void add_ap();

  test_support::TempDir directory_;
  std::unique_ptr<ReplayCache> cache_;
  std::unique_ptr<ProofVerifier> proofs_;
  std::unique_ptr<ApExchange> exchange_;
  std::vector<Presented> all_;
};

}  // namespace ticket_test
