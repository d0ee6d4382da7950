// What everybody can read of a ticket.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_ticket) {
  using namespace common::ticket;
  return fuzz::one_encoding(
      data, size, decode_ticket, [](const TicketView& view) -> common::Result<common::Bytes> {
        TROTH_TRY(const common::Bytes head, encode_ticket_head(view.cell, view.service, view.kvno));
        fuzz::require(std::ranges::equal(head, view.associated), "the head is what is sealed over");
        return encode_ticket(head, view.sealed);
      });
}
