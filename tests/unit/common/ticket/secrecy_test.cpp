// 4.1 Secrets hygiene: what holds a key cannot be printed, formatted, compared or copied by
// accident.

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <type_traits>

#include "common/ticket/keytab.hpp"
#include "common/ticket/scratch.hpp"
#include "small_cell.hpp"

using namespace ticket_test;

namespace {

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
concept Comparable = requires(const T& a, const T& b) {
  a == b;
};

template <typename T>
constexpr bool is_guarded = !Printable<T> && !fmt::is_formattable<T>::value && !Comparable<T> &&
                            !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

static_assert(is_guarded<crypto::Secret>);
static_assert(is_guarded<crypto::KeyDeriver>);
static_assert(is_guarded<Keys>);
static_assert(is_guarded<TicketBody>);
static_assert(is_guarded<Grant>);
static_assert(is_guarded<Credential>);
static_assert(is_guarded<Keytab>);
static_assert(is_guarded<Keytab::Entry>);
static_assert(is_guarded<Accepted>);
static_assert(is_guarded<AcceptedTgs>);
static_assert(is_guarded<ApExchange>);
static_assert(is_guarded<ApExchange::Session>);
// The probes can tell: these are none of it.
static_assert(Printable<int> && Comparable<Principal> && !is_guarded<Principal>);

}  // namespace

TEST_CASE("4.1 Secrets hygiene: what a key was read into is wiped before anybody else gets it") {
  {
    const Scratch used(64);
    std::ranges::fill(used.bytes(), std::byte{0x5A});
  }
  const Scratch next(64);
  CHECK(std::ranges::all_of(next.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  // A second one at the same time is other memory.
  const Scratch second(64);
  std::ranges::fill(second.bytes(), std::byte{1});
  CHECK(std::ranges::all_of(next.bytes(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("4.1 Secrets hygiene: after a ticket was opened nothing of it is left") {
  const ServiceSide service;
  const TicketBody body = body_at(service.now());
  const Bytes ticket = service.seal(body);
  REQUIRE_OK(service.verifier.opener().open(ticket, service.now()));
  const Scratch next(ticket.size());
  CHECK(std::ranges::all_of(next.bytes(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("4.1 Secrets hygiene: no sentence of a failure holds a key or a name that was sent") {
  const ServiceSide service;
  const Credential credential = service.credential();
  const Bytes request = service.request(credential, channel_of(1));
  const auto wrong = service.verifier.accept(request, channel_of(2));
  CHECK_REFUSED(wrong);
  CHECK(wrong.error().message.find("alice") == std::string::npos);
  CHECK(wrong.error().message.find("fs1") == std::string::npos);
}

TEST_CASE("every purpose has a label of its own, and keys of two purposes, cells or names differ") {
  const auto master = key_of(1);
  std::vector<std::string> seen;
  const auto add = [&](Purpose purpose, std::string_view cell, std::string_view name,
                       ByteView more = {}) {
    const auto key = derive(master, purpose, cell, name, more);
    REQUIRE_OK(key);
    seen.emplace_back(as_text(key->bytes()));
  };
  for (int p = 0; p <= static_cast<int>(Purpose::Decoy); ++p) {
    const auto purpose = static_cast<Purpose>(p);
    CHECK(label(purpose).substr(0, 6) == "troth ");
    add(purpose, kCell, kService);
  }
  add(Purpose::Ticket, "another-cell", kService);
  add(Purpose::Ticket, kCell, "fileserver/fs2");
  add(Purpose::Connection, kCell, kService, channel_of(1));
  add(Purpose::Connection, kCell, kService, channel_of(2));
  std::ranges::sort(seen);
  CHECK(std::ranges::adjacent_find(seen) == seen.end());
  CHECK_FAILS(derive(crypto::Secret(31), Purpose::Ticket, kCell, kService),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(derive(master, static_cast<Purpose>(200), kCell, kService),
              ErrorCode::InvalidArgument);
}
