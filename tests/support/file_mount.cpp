#include "tests/support/file_mount.hpp"

#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/fileproto/sessions.hpp"
#include "common/wire/hex.hpp"
#include "tests/support/patience.hpp"

namespace test_support {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using nlohmann::json;
namespace fileproto = common::fileproto;
namespace rpc = common::rpc;
namespace stream = common::stream;

namespace {

Result<json> answer_of(rpc::CallResult result) {
  if (!result.answer)
    return tl::unexpected(result.answer.error());
  return result.answer->result();
}

}  // namespace

FileMount::FileMount(FileServerAddress address, std::string mount)
    : address_(std::move(address)), mount_(std::move(mount)) {
  if (mount_.empty()) {
    std::array<std::byte, 16> id{};
    static_cast<void>(common::crypto::random_bytes(id));
    id[0] &= std::byte{0x7F};
    mount_ = common::wire::to_hex(id);
  }
  client_ = std::make_unique<rpc::Client>(client_options());
}

FileMount::~FileMount() {
  if (streams_)
    streams_->stop();
}

rpc::ClientOptions FileMount::client_options() const {
  rpc::ClientOptions options;
  options.host = address_.host;
  options.port = address_.port;
  options.cell_id = address_.cell;
  options.role = "fileserver";
  options.tls = address_.tls;
  options.authenticate = common::auth::authenticate_with(address_.source, address_.service);
  return options;
}

// --- session ---

Result<std::array<std::byte, 32>> FileMount::proof(const rpc::Client& client,
                                                   std::string_view label) const {
  TROTH_TRY(const auto binding, client.channel_binding());
  TROTH_TRY(const auto credential,
            address_.source->for_service(address_.service, clock_.now() + test_support::kPatience));
  return fileproto::session_proof(key_, label, binding, credential->client.name);
}

Status FileMount::begin(bool resume) {
  json args{{"mount", mount_}};
  if (resume) {
    TROTH_TRY_VOID(client_->connect(clock_.now() + kPatience));
    TROTH_TRY(const auto mine, proof(*client_, fileproto::kResumeLabel));
    args["resume"] = {{"session", session_}, {"proof", common::wire::to_hex(mine)}};
  }
  TROTH_TRY(const json opened, call("session-open", args));
  session_ = opened["session"].get<std::uint64_t>();
  TROTH_TRY(key_, common::wire::from_hex(opened["key"].get<std::string>()));
  stream_port_ = opened["stream_port"].get<std::uint16_t>();
  return {};
}

Status FileMount::open() {
  return begin(false);
}

Status FileMount::resume() {
  return begin(true);
}

Status FileMount::close() {
  TROTH_TRY([[maybe_unused]] const json done, call("session-close", {{"session", session_}}));
  return {};
}

Status FileMount::rejoin() {
  TROTH_TRY(client_, join());
  return {};
}

Result<std::unique_ptr<rpc::Client>> FileMount::join() {
  auto other = std::make_unique<rpc::Client>(client_options());
  TROTH_TRY_VOID(other->connect(clock_.now() + kPatience));
  TROTH_TRY(const auto mine, proof(*other, fileproto::kJoinLabel));
  rpc::Request request;
  request.service = "file";
  request.operation = "session-join";
  request.args = json{{"session", session_}, {"proof", common::wire::to_hex(mine)}}.dump();
  TROTH_TRY([[maybe_unused]] const json done, answer_of(other->call(request)));
  return other;
}

Status FileMount::dial(const std::string& host, std::uint16_t port) {
  if (!streams_) {
    stream::StreamClientOptions options;
    options.tls = address_.tls;
    TROTH_TRY(streams_, stream::StreamClient::start(std::move(options), *this, clock_));
  }
  // An earlier one would be dialled again by itself, and take this one's place.
  if (stream_)
    static_cast<void>(streams_->hang_up(*stream_));
  {
    const common::MutexLock lock(mutex_);
    proved_ = closed_ = false;
  }
  TROTH_TRY(stream_, streams_->dial({host, port, {}, {}}));
  const common::MutexLock lock(mutex_);
  const common::Instant deadline = clock_.now() + kPatience;
  while (!proved_ && clock_.now() < deadline)
    heard_.wait_for(mutex_, deadline - clock_.now());
  return proved_ ? Status() : fail(ErrorCode::DeadlineExceeded, "the stream did not come up");
}

void FileMount::hang_up() {
  static_cast<void>(streams_->hang_up(*stream_));
}

void FileMount::be_silent() {
  streams_->stop();
}

// --- calls ---

Result<json> FileMount::call(std::string_view operation, const json& args) {
  rpc::Request request;
  request.service = "file";
  request.operation = operation;
  request.args = args.dump();
  TROTH_TRY(json answer, answer_of(client_->call(request)));
  if (answer.is_object() && answer.contains("grants"))
    seen_ = std::max(seen_, answer["grants"].get<std::uint64_t>());
  return answer;
}

Result<json> FileMount::change(std::string_view operation, json args, const ChangeCall& how) {
  if (!args.contains("s"))
    args["s"] = session_;
  args["seen"] = seen_;
  ChangeCall numbered = how;
  if (numbered.number == 0)
    numbered.number = next_number();
  return send(operation, args, numbered);
}

Result<json> FileMount::change_without_session(std::string_view operation, const json& args,
                                               std::uint64_t number) {
  // Behind the milliseconds are 20 bits; more calls than they tell apart a test does not make in
  // one.
  constexpr unsigned kBits = 20;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall_now().time_since_epoch());
  ChangeCall how;
  how.number =
      number != 0 ? number : (static_cast<std::uint64_t>(now.count()) << kBits) + ++number_;
  return send(operation, args, how);
}

Result<json> FileMount::send(std::string_view operation, const json& args, const ChangeCall& how) {
  rpc::Request request;
  request.service = "file";
  request.operation = operation;
  request.head.id = {0, how.number};
  request.head.trace = how.trace;
  request.args = args.dump();
  request.bytes = std::as_bytes(std::span(how.bytes));
  request.deadline = clock_.now() + how.deadline;
  TROTH_TRY(json answer, answer_of(client_->call(request)));
  if (answer.contains("grants"))
    seen_ = std::max(seen_, answer["grants"].get<std::uint64_t>());
  return answer;
}

// --- what the server says ---

void FileMount::acknowledge_at_once(bool at_once) {
  const common::MutexLock lock(mutex_);
  at_once_ = at_once;
}

Result<fileproto::Break> FileMount::wait_break(std::chrono::nanoseconds within) {
  const common::MutexLock lock(mutex_);
  const common::Instant deadline = clock_.now() + within;
  while (breaks_.empty() && clock_.now() < deadline)
    heard_.wait_for(mutex_, deadline - clock_.now());
  if (breaks_.empty())
    return fail(ErrorCode::DeadlineExceeded, "no break came");
  const fileproto::Break first = breaks_.front();
  breaks_.pop_front();
  return first;
}

Result<fileproto::Update> FileMount::wait_update(std::chrono::nanoseconds within) {
  const common::MutexLock lock(mutex_);
  const common::Instant deadline = clock_.now() + within;
  while (updates_.empty() && clock_.now() < deadline)
    heard_.wait_for(mutex_, deadline - clock_.now());
  if (updates_.empty())
    return fail(ErrorCode::DeadlineExceeded, "no update came");
  const fileproto::Update first = updates_.front();
  updates_.pop_front();
  return first;
}

bool FileMount::has_break() {
  const common::MutexLock lock(mutex_);
  return !breaks_.empty();
}

void FileMount::acknowledge(std::uint64_t number) {
  acknowledge_on(*stream_, number);
}

void FileMount::acknowledge_on(stream::StreamId id, std::uint64_t number) {
  const auto message =
      fileproto::encode_message(fileproto::MountMessage(fileproto::Acknowledge{number}));
  if (message)
    static_cast<void>(streams_->send(id, *message));
}

bool FileMount::wait_closed(std::chrono::nanoseconds within) {
  const common::MutexLock lock(mutex_);
  const common::Instant deadline = clock_.now() + within;
  while (!closed_ && clock_.now() < deadline)
    heard_.wait_for(mutex_, deadline - clock_.now());
  return closed_;
}

// --- the stream's thread ---

stream::Bytes FileMount::credential(stream::StreamId, const std::array<std::byte, 32>& binding) {
  fileproto::StreamCredential credential;
  credential.session = common::SessionId{session_};
  const auto ticket =
      address_.source->for_service(address_.service, clock_.now() + test_support::kPatience);
  if (!ticket)
    return {};
  const auto mine =
      fileproto::session_proof(key_, fileproto::kStreamLabel, binding, (*ticket)->client.name);
  if (mine)
    credential.proof = *mine;
  return fileproto::encode_stream_credential(credential);
}

void FileMount::on_open(stream::StreamId, std::uint64_t, common::Instant) {}

void FileMount::on_message(stream::StreamId id, stream::BytesView bytes) {
  const auto message = fileproto::decode_server_message(bytes);
  if (!message)
    return;
  bool acknowledge_it = false;
  std::uint64_t number = 0;
  {
    const common::MutexLock lock(mutex_);
    if (std::holds_alternative<fileproto::ServerProof>(*message)) {
      proved_ = true;
    } else if (const auto* const broken = std::get_if<fileproto::Break>(&*message)) {
      breaks_.push_back(*broken);
      acknowledge_it = at_once_;
      number = broken->number;
    } else if (const auto* const update = std::get_if<fileproto::Update>(&*message)) {
      updates_.push_back(*update);
    }
  }
  heard_.notify_all();
  if (acknowledge_it)
    acknowledge_on(id, number);
}

void FileMount::on_close(stream::StreamId, const stream::CloseInfo&) {
  {
    const common::MutexLock lock(mutex_);
    closed_ = true;
  }
  heard_.notify_all();
}

}  // namespace test_support
