#include "common/tls/connection.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "common/crypto/certificates.hpp"
#include "common/tls/openssl_error.hpp"
#include "common/tls/socket_bio.hpp"

namespace common::tls {
namespace {

bool is_ip_address(const std::string& name) {
  in6_addr address{};
  return ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

// Makes the handshake fail unless the server's certificate carries this name.
bool expect_name(SSL* session, const std::string& name) {
  X509_VERIFY_PARAM* check = SSL_get0_param(session);
  X509_VERIFY_PARAM_set_hostflags(
      check, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (is_ip_address(name))
    return X509_VERIFY_PARAM_set1_ip_asc(check, name.c_str()) == 1;
  return SSL_set1_host(session, name.c_str()) == 1 &&
         SSL_set_tlsext_host_name(session, name.c_str()) == 1;
}

std::string common_name_of(X509* certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0)
    return {};
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0)
    return {};
  std::string name(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return name;
}

constexpr std::string_view kRolePrefix = "troth:";

// "troth://<cell-id>/<role>/<name>", as a cell's authority issues them, or "troth:<role>". One that
// begins like the first and is not of its form names no role.
std::string role_of(const std::string& uri) {
  if (!uri.starts_with("troth://"))
    return uri.substr(kRolePrefix.size());
  const auto identity = crypto::identity_from_uri(uri);
  return identity ? identity->role : std::string();
}

void read_alternative_names(X509* certificate, PeerCertificate& into) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr)
    return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_URI)
      continue;
    const ASN1_IA5STRING* text = name->d.ia5;
    std::string value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (name->type == GEN_DNS) {
      into.dns_names.push_back(std::move(value));
      continue;
    }
    if (into.role.empty() && value.starts_with(kRolePrefix))
      into.role = role_of(value);
    into.uris.push_back(std::move(value));
  }
  GENERAL_NAMES_free(names);
}

}  // namespace

void Connection::Free::operator()(ssl_st* session) const noexcept {
  SSL_free(session);
}

Connection::Connection(ContextPtr context, std::unique_ptr<ssl_st, Free> session,
                       std::string server_name)
    : context_(std::move(context)),
      session_(std::move(session)),
      server_name_(std::move(server_name)) {}

Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Result<Connection> Connection::make(ContextPtr context, int socket, std::string server_name) {
  ERR_clear_error();
  std::unique_ptr<ssl_st, Free> session(SSL_new(context->native()));
  BIO* bio = session ? new_socket_bio(socket) : nullptr;
  if (bio == nullptr) {
    return fail(ErrorCode::ResourceExhausted, "cannot begin a TLS session: {}",
                take_openssl_text());
  }
  SSL_set_bio(session.get(), bio, bio);  // one BIO for both directions, owned by the session
  return Connection(std::move(context), std::move(session), std::move(server_name));
}

Result<Connection> Connection::accept(ContextPtr context, int socket) {
  TROTH_TRY(auto connection, make(std::move(context), socket, {}));
  SSL_set_accept_state(connection.session_.get());
  return connection;
}

Result<Connection> Connection::connect(ContextPtr context, int socket,
                                       const std::string& server_name) {
  TROTH_TRY(auto connection, make(std::move(context), socket, server_name));
  if (!expect_name(connection.session_.get(), server_name)) {
    return fail(ErrorCode::InvalidArgument, "\"{}\" cannot be a server's name", server_name);
  }
  SSL_set_connect_state(connection.session_.get());
  return connection;
}

// Translates what OpenSSL returned; `returned` <= 0.
Result<Progress> Connection::outcome(int returned, const char* doing) {
  const int saved_errno = errno;
  SSL* session = session_.get();
  const std::string_view whom = server_name_.empty() ? std::string_view("the peer") : server_name_;
  switch (SSL_get_error(session, returned)) {
    case SSL_ERROR_WANT_READ:
      return Progress{.want_read = true};
    case SSL_ERROR_WANT_WRITE:
      return Progress{.want_write = true};
    case SSL_ERROR_ZERO_RETURN:
      return Progress{.closed = true};
    case SSL_ERROR_SYSCALL:
      failed_ = true;
      ERR_clear_error();
      if (saved_errno == 0)
        return Progress{.closed = true};
      return fail(ErrorCode::IoError, "{} with {}: {}", doing, whom,
                  std::generic_category().message(saved_errno));
    default:
      break;
  }
  failed_ = true;
  const int reason = ERR_GET_REASON(ERR_peek_error());
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    return Progress{.closed = true};
  }
  if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
    ERR_clear_error();
    return tl::unexpected(alert_error(reason - SSL_AD_REASON_OFFSET, whom));
  }
  if (const long verdict = SSL_get_verify_result(session); verdict != X509_V_OK) {
    ERR_clear_error();
    return tl::unexpected(certificate_error(verdict, whom, SSL_get0_peer_certificate(session)));
  }
  return fail(ErrorCode::Protocol, "{} with {}: {}", doing, whom, take_openssl_text());
}

Result<Progress> Connection::handshake() {
  ERR_clear_error();
  errno = 0;
  const int returned = SSL_do_handshake(session_.get());
  if (returned == 1)
    return Progress{};
  return outcome(returned, "TLS handshake");
}

Result<Progress> Connection::read(std::span<std::byte> into) {
  if (into.empty())
    return Progress{};
  ERR_clear_error();
  errno = 0;
  std::size_t done = 0;
  const int returned = SSL_read_ex(session_.get(), into.data(), into.size(), &done);
  if (returned == 1)
    return Progress{.done = done};
  return outcome(returned, "reading");
}

Result<Progress> Connection::write(std::span<const std::byte> from) {
  if (from.empty())
    return Progress{};
  ERR_clear_error();
  errno = 0;
  std::size_t done = 0;
  const int returned = SSL_write_ex(session_.get(), from.data(), from.size(), &done);
  if (returned == 1)
    return Progress{.done = done};
  return outcome(returned, "writing");
}

bool Connection::has_pending() const {
  return SSL_has_pending(session_.get()) == 1;
}

Result<std::array<std::byte, 32>> Connection::export_key(std::string_view label) const {
  std::array<std::byte, 32> key{};
  ERR_clear_error();
  if (SSL_export_keying_material(session_.get(), reinterpret_cast<unsigned char*>(key.data()),
                                 key.size(), label.data(), label.size(), nullptr, 0, 0) != 1) {
    return fail(ErrorCode::Internal, "cannot export a key from the TLS session: {}",
                take_openssl_text());
  }
  return key;
}

std::optional<PeerCertificate> Connection::peer_certificate() const {
  X509* certificate = SSL_get0_peer_certificate(session_.get());
  if (certificate == nullptr || SSL_get_verify_result(session_.get()) != X509_V_OK) {
    return std::nullopt;
  }
  PeerCertificate result;
  result.name = common_name_of(certificate);
  result.not_before = not_before_of(certificate);
  result.not_after = not_after_of(certificate);
  read_alternative_names(certificate, result);
  unsigned int size = 0;
  X509_digest(certificate, EVP_sha256(),
              reinterpret_cast<unsigned char*>(result.fingerprint.data()), &size);
  ERR_clear_error();
  return result;
}

void Connection::close_notify() noexcept {
  // OpenSSL forbids SSL_shutdown after a fatal error and before the handshake is done.
  if (close_sent_ || failed_ || SSL_in_init(session_.get()) != 0)
    return;
  close_sent_ = true;
  SSL_shutdown(session_.get());
  ERR_clear_error();
}

void Connection::release_buffers() noexcept {
  SSL_free_buffers(session_.get());
}

}  // namespace common::tls
