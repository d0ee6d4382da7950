#include "common/auth/kdc_client.hpp"

#include "common/crypto/scrypt.hpp"
#include "common/wire/base64.hpp"
#include "common/wire/json_object.hpp"
#include "common/wire/json_writer.hpp"

namespace common::auth {
namespace {

constexpr std::string_view kKdc = "kdc";
// A salt is the cell, a NUL, the user, a NUL and 16 bytes; in base64.
constexpr std::size_t kMaxSaltText = 1024;
constexpr std::size_t kSaltRandom = 16;

struct Preparation {
  Bytes salt;
  crypto::ScryptParameters parameters = crypto::ScryptParameters::standard();
};

std::string salt_prefix(std::string_view cell, std::string_view client) {
  std::string prefix(cell);
  prefix += '\0';
  prefix += client;
  prefix += '\0';
  return prefix;
}

Result<Preparation> read_preparation(const nlohmann::json& answer, std::string_view cell,
                                     std::string_view client) {
  TROTH_TRY(const auto object, wire::JsonObject::of(answer, "preauth"));
  TROTH_TRY(const std::string text, object.text("salt", kMaxSaltText));
  Preparation preparation;
  TROTH_TRY(preparation.salt, wire::from_base64(text));
  TROTH_TRY(const std::uint32_t log2_n, object.u32("log2_n"));
  TROTH_TRY(const std::uint32_t r, object.u32("r"));
  TROTH_TRY(const std::uint32_t p, object.u32("p"));
  // A salt that is somebody else's would let one guess at two passwords for the price of one.
  const std::string prefix = salt_prefix(cell, client);
  if (preparation.salt.size() < prefix.size() + kSaltRandom ||
      !as_text(preparation.salt).starts_with(prefix))
    return fail(ErrorCode::Protocol, "the KDC named a salt that is not this user's");
  auto parameters = crypto::ScryptParameters::make(log2_n, r, p);
  if (!parameters) {
    return fail(ErrorCode::Protocol,
                "the KDC asks for a key that would be too easy to guess, or too dear to make ({}); "
                "the password was not used",
                parameters.error().message);
  }
  preparation.parameters = *parameters;
  return preparation;
}

Result<Bytes> exchange(rpc::Client& client, std::string_view operation, ByteView bytes,
                       Instant deadline) {
  rpc::Request request;
  request.service = kKdc;
  request.operation = operation;
  request.bytes = bytes;
  request.max_reply_bytes = ticket::kMaxMessageBytes;
  request.deadline = deadline;
  auto result = client.call(request);
  if (!result.answer)
    return tl::unexpected(std::move(result.answer).error());
  return std::move(result.answer->bytes);
}

bool may_repeat(const Error& error) {
  return error.code == ErrorCode::Unavailable || error.code == ErrorCode::OutcomeUnknown;
}

// An answer to the exchange that was not made with the key at hand.
Result<ticket::Credential> believed(Result<ticket::Credential> finished) {
  if (!finished && finished.error().code == ErrorCode::Unauthenticated) {
    return fail(ErrorCode::Protocol,
                "the KDC's answer does not prove that it knows your key; it is not believed");
  }
  return finished;
}

// Neither exchange changes anything, so an unknown outcome is no more than a missing answer.
Error told(Error error) {
  if (error.code == ErrorCode::OutcomeUnknown)
    error.code = ErrorCode::Unavailable;
  return error;
}

}  // namespace

rpc::ClientOptions KdcClient::client_options(std::size_t server,
                                             rpc::Authenticate authenticate) const {
  const KdcAddress& address = options_.servers[server];
  rpc::ClientOptions options;
  options.host = address.host;
  options.port = address.port;
  options.server_name = address.host;
  options.cell_id = options_.cell;
  options.role = kKdc;
  options.tls = options_.tls;
  options.authenticate = std::move(authenticate);
  return options;
}

Result<KdcClient::Connection> KdcClient::dial(Instant deadline,
                                              const rpc::Authenticate& authenticate) const {
  Error last{ErrorCode::NotFound, "the cell names no KDC"};
  for (std::size_t i = 0; i < options_.servers.size(); ++i) {
    auto client = std::make_unique<rpc::Client>(client_options(i, authenticate));
    const Status connected = client->connect(deadline);
    if (connected)
      return client;
    last = connected.error();
    if (last.code == ErrorCode::Unavailable) {
      last.message = fmt::format("the KDC at {}:{} cannot be reached: {}", options_.servers[i].host,
                                 options_.servers[i].port, last.message);
    }
    // Another server may be up; but what this one says of us, the next would say too.
    if (last.code != ErrorCode::Unavailable && last.code != ErrorCode::DeadlineExceeded)
      break;
  }
  return tl::unexpected(std::move(last));
}

KdcClient::Connection KdcClient::take_kept() const {
  Connection kept = std::move(*kept_->lock());
  return kept != nullptr && kept->still_open() ? std::move(kept) : nullptr;
}

// A connection that was kept may end just as it is used, which says nothing about the KDC.
template <typename Use>
auto KdcClient::over_connection(Instant deadline, Repeat repeat, Use use) const
    -> decltype(use(std::declval<rpc::Client&>())) {
  Connection client = take_kept();
  const bool kept = client != nullptr;
  if (!kept) {
    TROTH_TRY(client, dial(deadline));
  }
  auto got = use(*client);
  if (!got && may_repeat(got.error()) && (kept || repeat == Repeat::Always)) {
    TROTH_TRY(client, dial(deadline));
    got = use(*client);
  }
  if (client->connected())
    client.swap(*kept_->lock());  // what was kept ends outside the lock
  return got;
}

Result<std::unique_ptr<rpc::Client>> KdcClient::connect(
    Instant deadline, const rpc::Authenticate& authenticate) const {
  if (Connection kept = take_kept()) {
    const Status proven = kept->prove_with(authenticate, deadline);
    if (proven)
      return kept;
    if (!may_repeat(proven.error()))
      return tl::unexpected(proven.error());
  }
  return dial(deadline, authenticate);
}

Result<ticket::Credential> KdcClient::as_exchange(rpc::Client& client,
                                                  const ticket::AsWanted& wanted,
                                                  const crypto::Secret& key,
                                                  Instant deadline) const {
  // The proof is for the very connection that carries it.
  if (!client.connected())
    TROTH_TRY_VOID(client.connect(deadline));
  TROTH_TRY(const ticket::Channel channel, client.channel_binding());
  TROTH_TRY(const Bytes request, ticket::begin_as(wanted, key, channel));
  const auto reply = exchange(client, "as", request, deadline);
  if (!reply)
    return tl::unexpected(told(reply.error()));
  return believed(ticket::finish_as(wanted, key, request, *reply, rpc::now()));
}

Result<ticket::Credential> KdcClient::login(ticket::AsWanted wanted, const crypto::Secret& password,
                                            Instant deadline) const {
  wanted.cell = options_.cell;
  TROTH_TRY_VOID(ticket::check_user_name(wanted.client));
  return over_connection(deadline, Repeat::IfKept, [&](rpc::Client& client) {
    return password_exchange(client, wanted, password, deadline);
  });
}

Result<ticket::Credential> KdcClient::password_exchange(rpc::Client& client,
                                                        const ticket::AsWanted& wanted,
                                                        const crypto::Secret& password,
                                                        Instant deadline) const {
  rpc::Request request;
  request.service = kKdc;
  request.operation = "preauth";
  request.args = wire::JsonWriter().field("client", wanted.client).take();
  request.deadline = deadline;
  auto result = client.call(request);
  if (!result.answer)
    return tl::unexpected(told(std::move(result.answer).error()));
  TROTH_TRY(const Preparation preparation,
            read_preparation(result.answer->result(), options_.cell, wanted.client));
  TROTH_TRY(const crypto::Secret key,
            crypto::scrypt(password, preparation.salt, preparation.parameters, ticket::kKeyBytes));
  return as_exchange(client, wanted, key, deadline);
}

Result<ticket::Credential> KdcClient::login(ticket::AsWanted wanted, const ticket::Keytab& keytab,
                                            Instant deadline) const {
  if (keytab.cell() != options_.cell) {
    return fail(ErrorCode::InvalidArgument, "the keytab is for another cell ({}, not {})",
                keytab.cell(), options_.cell);
  }
  const ticket::Keytab::Entry* newest = keytab.newest();
  if (newest == nullptr)
    return fail(ErrorCode::InvalidArgument, "the keytab holds no key");
  wanted.cell = options_.cell;
  wanted.client = keytab.principal();
  return over_connection(deadline, Repeat::IfKept, [&](rpc::Client& client) {
    // The newest may be written and not activated yet; then the one before it is the good one.
    Result<ticket::Credential> got = fail(ErrorCode::Unauthenticated, "no key");
    for (auto entry = keytab.entries().rbegin(); entry != keytab.entries().rend(); ++entry) {
      wanted.client_kvno = entry->kvno;
      got = as_exchange(client, wanted, entry->key, deadline);
      if (got || got.error().code != ErrorCode::Unauthenticated)
        break;
    }
    return got;
  });
}

Result<ticket::Credential> KdcClient::ticket(const ticket::TgsWanted& wanted,
                                             const ticket::Credential& tgt,
                                             Instant deadline) const {
  return over_connection(
      deadline, Repeat::Always, [&](rpc::Client& client) -> Result<ticket::Credential> {
        TROTH_TRY(const ticket::Channel channel, client.channel_binding());
        TROTH_TRY(const Bytes request, ticket::begin_tgs(wanted, tgt, channel));
        const auto reply = exchange(client, "tgs", request, deadline);
        if (!reply)
          return tl::unexpected(told(reply.error()));
        return believed(ticket::finish_tgs(wanted, tgt, request, *reply, rpc::now()));
      });
}

}  // namespace common::auth
