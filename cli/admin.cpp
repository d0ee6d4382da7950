#include "cli/admin.hpp"

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/prompt.hpp"
#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/rpc/socket.hpp"
#include "common/ticket/keytab.hpp"

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::ticket::Credential;
namespace auth = common::auth;
namespace rpc = common::rpc;
namespace ticket = common::ticket;

namespace {

// How long a proven key counts as fresh, less what a call may take.
constexpr std::chrono::seconds kFresh{5 * 60 - 15};
// The longest list, or an audit's page, is far below.
constexpr std::uint64_t kMostAdminReply = std::uint64_t{64} * 1024;
constexpr int kAttempts = 3;
// For what takes as long as there is something to fetch; servers grant no more than 10 minutes.
constexpr std::chrono::minutes kFetchPatience{9};

bool is_fresh(const Credential& credential) {
  const ticket::Time now = credential.kdc_time(rpc::now());
  return credential.validity.initial && now + auth::kTooLate < credential.validity.end &&
         now - credential.validity.authenticated < kFresh;
}

bool is_good(const Credential& credential) {
  return credential.kdc_time(rpc::now()) + auth::kTooLate < credential.validity.end;
}

}  // namespace

void add_admin_options(Command command, AdminArguments& arguments, bool reads) {
  command.add_option("--cell", arguments.cell, "The cell's directory.").type_name("DIR");
  command.add_option("--as", arguments.as, "Who does it; else whoever is logged in.")
      .type_name("USER");
  command
      .add_option("--keytab", arguments.keytab,
                  "Proves a service or host by its keytab instead of a password.")
      .type_name("FILE");
  command.add_flag("--password-stdin", arguments.password_stdin,
                   "Read your own password from standard input's first line.");
  if (reads)
    command.add_flag("--json", arguments.json, "One JSON object.");
}

Result<Admin> Admin::open(const AdminArguments& arguments) {
  TROTH_TRY(UserSession session, open_user_session(arguments.cell));
  Admin admin(arguments, std::make_unique<UserSession>(std::move(session)));
  if (arguments.password_stdin) {
    TROTH_TRY(admin.password_, read_password_line());
  }
  return admin;
}

Result<std::string> Admin::caller() const {
  if (!arguments_.as.empty())
    return arguments_.as;
  if (!arguments_.keytab.empty()) {
    TROTH_TRY(const auto keytab, ticket::load_keytab(arguments_.keytab));
    return keytab.principal();
  }
  TROTH_TRY(const auto credentials, session_->cache->load());
  if (credentials.empty())
    return fail(ErrorCode::NotFound, "you are not logged in; log in with: troth login");
  return credentials.front().client.name;
}

Status Admin::use(Credential credential) {
  credential_ = std::make_shared<const Credential>(std::move(credential));
  TROTH_TRY(client_,
            session_->kdc.connect(session_->deadline(), auth::authenticate_with(credential_)));
  return {};
}

Status Admin::prove(const Secret& password) {
  TROTH_TRY(const std::string who, caller());
  TROTH_TRY(Credential credential,
            session_->kdc.login({.client = who, .service = std::string(ticket::kAdminService)},
                                password, session_->deadline()));
  return use(std::move(credential));
}

Status Admin::become_fresh() {
  Result<Credential> credential = fail(ErrorCode::Internal, "no proof");
  if (!arguments_.keytab.empty()) {
    TROTH_TRY(const auto keytab, ticket::load_keytab(arguments_.keytab));
    credential = session_->kdc.login({.service = std::string(ticket::kAdminService)}, keytab,
                                     session_->deadline());
  } else {
    TROTH_TRY(const std::string who, caller());
    Secret typed;
    if (!password_) {
      TROTH_TRY(typed, ask_password(fmt::format("Password of {}: ", who)));
    }
    credential = session_->kdc.login({.client = who, .service = std::string(ticket::kAdminService)},
                                     password_ ? *password_ : typed, session_->deadline());
  }
  if (!credential)
    return tl::unexpected(credential.error());
  return use(*std::move(credential));
}

Result<Credential> Admin::ordinary_ticket() {
  auth::SourceOptions options = auth::from_kdc(session_->kdc);
  options.cache = session_->cache;
  auth::CredentialSource source(std::move(options));
  TROTH_TRY(const auto credential, source.for_service(ticket::kAdminService, session_->deadline()));
  TROTH_TRY(const auto tgt, source.tgt(session_->deadline()));
  print_warnings(*tgt);
  return credential->clone();
}

Status Admin::ensure(Needs needs) {
  if (credential_ != nullptr &&
      (needs == Needs::Ticket ? is_good(*credential_) : is_fresh(*credential_)))
    return {};
  if (needs == Needs::Fresh || password_ || !arguments_.keytab.empty())
    return become_fresh();
  if (!arguments_.as.empty()) {
    const auto loaded = session_->cache->load();
    if (!loaded || loaded->empty() || loaded->front().client.name != arguments_.as)
      return become_fresh();
  }
  TROTH_TRY(Credential credential, ordinary_ticket());
  return use(std::move(credential));
}

rpc::CallResult Admin::attempt(const rpc::Request& request) {
  rpc::CallResult result = client_->call(request);
  for (int again = 1; again < kAttempts; ++again) {
    const bool unknown = result.outcome == rpc::Outcome::Unknown;
    if (!unknown && !(result.outcome == rpc::Outcome::NotSent && !result.answer &&
                      result.answer.error().code == ErrorCode::Unavailable))
      break;
    result = client_->call(request);  // the KDC knows the operation's id
  }
  return result;
}

Result<AdminAnswer> Admin::call(std::string_view operation, const nlohmann::json& args, Needs needs,
                                common::ByteView bytes) {
  rpc::Request request;
  request.service = "kdc";
  request.operation = operation;
  request.args = args.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  request.bytes = bytes;
  request.max_reply_bytes = kMostAdminReply;
  TROTH_TRY(request.head.id, common::crypto::new_operation_id());
  for (;;) {
    TROTH_TRY_VOID(ensure(needs));
    request.deadline = session_->deadline();
    rpc::CallResult result = attempt(request);
    if (result.answer)
      return AdminAnswer{result.answer->json, std::move(result.answer->bytes)};
    // Our ticket is not fresh enough for this one.
    if (result.answer.error().code != ErrorCode::Expired || needs == Needs::Fresh)
      return tl::unexpected(std::move(result.answer).error());
    needs = Needs::Fresh;
  }
}

Status Admin::fetch(std::string_view operation, const rpc::BytesSink& sink) {
  TROTH_TRY_VOID(ensure(Needs::Fresh));
  rpc::Request request;
  request.service = "kdc";
  request.operation = operation;
  request.sink = sink;
  request.deadline = rpc::now() + kFetchPatience;
  const rpc::CallResult result = client_->call(request);
  return result.answer ? Status{} : Status(tl::unexpected(result.answer.error()));
}

int admin_failure(const common::Error& error) {
  print_error(explain(error).message);
  return error.code == ErrorCode::InvalidArgument ? kExitUsage : kExitFailure;
}

int exit_code(const Status& status) {
  return status ? kExitOk : admin_failure(status.error());
}

void print_json(const nlohmann::json& value) {
  print(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
}

std::string time_field(const nlohmann::json& object, std::string_view field) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_number_integer())
    return "-";
  const auto value =
      std::clamp<std::int64_t>(found->get<std::int64_t>(), 0, INT64_C(9'000'000'000'000));
  return time_text(ticket::Time(ticket::Milliseconds(value)));
}

}  // namespace cli
