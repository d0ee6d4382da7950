#include "common/tls/context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

#include "common/tls/openssl_error.hpp"

namespace common::tls {
namespace {

// A client's chain is a leaf and perhaps an intermediate; OpenSSL's default of 100 KiB is memory
// for strangers.
constexpr long kMaxCertificateListBytes = 16L * 1024;
// Leaf, one intermediate, root.
constexpr int kMaxChainDepth = 2;

struct ContextFree {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using ContextHolder = std::unique_ptr<SSL_CTX, ContextFree>;

struct StoreContextFree {
  void operator()(X509_STORE_CTX* context) const noexcept { X509_STORE_CTX_free(context); }
};

Result<ContextHolder> make_bare(const SSL_METHOD* method, Content content = Content::Data) {
  ERR_clear_error();
  ContextHolder context(SSL_CTX_new(method));
  if (!context)
    return fail(ErrorCode::Internal, "cannot set up TLS: {}", take_openssl_text());
  SSL_CTX* raw = context.get();
  if (SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set1_groups_list(raw, "X25519:P-256") != 1) {
    return fail(ErrorCode::Internal, "cannot set up TLS: {}", take_openssl_text());
  }
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  if (content == Content::Secrets)
    SSL_CTX_set_options(raw, SSL_OP_CLEANSE_PLAINTEXT);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_max_early_data(raw, 0);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  // One recv for a small record instead of one for its five bytes of header and one for the rest.
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_max_cert_list(raw, kMaxCertificateListBytes);
  SSL_CTX_set_verify_depth(raw, kMaxChainDepth);
  return context;
}

Status load_authority(SSL_CTX* context, const std::string& path) {
  if (path.empty())
    return fail(ErrorCode::InvalidArgument, "no certificate authority was named");
  if (SSL_CTX_load_verify_file(context, path.c_str()) != 1) {
    return fail(ErrorCode::InvalidArgument, "cannot read the certificate authority {}: {}", path,
                take_openssl_text());
  }
  return {};
}

// Our own certificate must pass the check that our peers will make.
Status check_own_certificate(SSL_CTX* context, const std::string& path) {
  X509* certificate = SSL_CTX_get0_certificate(context);
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  std::unique_ptr<X509_STORE_CTX, StoreContextFree> check(X509_STORE_CTX_new());
  if (!check ||
      X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context), certificate, chain) != 1) {
    return fail(ErrorCode::Internal, "cannot check the certificate {}: {}", path,
                take_openssl_text());
  }
  const int verified = X509_verify_cert(check.get());
  const int reason = X509_STORE_CTX_get_error(check.get());
  ERR_clear_error();
  if (verified == 1)
    return {};
  return tl::unexpected(certificate_error(reason, path, certificate));
}

Status load_identity(SSL_CTX* context, const std::string& certificate, const std::string& key) {
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
    return fail(ErrorCode::InvalidArgument, "cannot read the certificate {}: {}", certificate,
                take_openssl_text());
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const bool mismatch = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
    const std::string text = take_openssl_text();
    if (mismatch) {
      return fail(ErrorCode::InvalidArgument, "the key {} does not belong to the certificate {}",
                  key, certificate);
    }
    return fail(ErrorCode::InvalidArgument, "cannot read the key {}: {}", key, text);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::InvalidArgument, "the key {} does not belong to the certificate {}", key,
                certificate);
  }
  return check_own_certificate(context, certificate);
}

int verify_mode(ClientCertificates wanted) {
  switch (wanted) {
    case ClientCertificates::None:
      return SSL_VERIFY_NONE;
    case ClientCertificates::Optional:
      return SSL_VERIFY_PEER;
    case ClientCertificates::Required:
      return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

}  // namespace

Context::Context(ssl_ctx_st* context, bool is_server) : context_(context), is_server_(is_server) {}

Context::~Context() {
  SSL_CTX_free(context_);
}

Result<ContextPtr> make_server(const ServerOptions& options) {
  TROTH_TRY(auto bare, make_bare(TLS_server_method(), options.content));
  TROTH_TRY_VOID(load_authority(bare.get(), options.ca));
  TROTH_TRY_VOID(load_identity(bare.get(), options.certificate, options.key));
  SSL_CTX_set_verify(bare.get(), verify_mode(options.client_certificates), nullptr);
  if (options.client_certificates != ClientCertificates::None) {
    // The list of authorities we accept, so that a client with several certificates can choose.
    SSL_CTX_set_client_CA_list(bare.get(), SSL_load_client_CA_file(options.ca.c_str()));
  }
  std::shared_ptr<Context> context(new Context(bare.release(), true));
  context->client_certificates_ = options.client_certificates;
  context->not_after_ = not_after_of(SSL_CTX_get0_certificate(context->context_));
  return ContextPtr(std::move(context));
}

Result<ContextPtr> make_client(const ClientOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return fail(ErrorCode::InvalidArgument, "a client certificate needs both certificate and key");
  }
  TROTH_TRY(auto bare, make_bare(TLS_client_method(), options.content));
  TROTH_TRY_VOID(load_authority(bare.get(), options.ca));
  if (!options.certificate.empty()) {
    TROTH_TRY_VOID(load_identity(bare.get(), options.certificate, options.key));
  }
  SSL_CTX_set_verify(bare.get(), SSL_VERIFY_PEER, nullptr);
  std::shared_ptr<Context> context(new Context(bare.release(), false));
  if (!options.certificate.empty()) {
    context->not_after_ = not_after_of(SSL_CTX_get0_certificate(context->context_));
  }
  return ContextPtr(std::move(context));
}

Result<ContextPtr> make_client_that_believes_nobody() {
  TROTH_TRY(auto bare, make_bare(TLS_client_method()));
  SSL_CTX_set_verify(bare.get(), SSL_VERIFY_NONE, nullptr);
  return ContextPtr(new Context(bare.release(), false));
}

ReloadableContext::ReloadableContext(Maker maker, ContextPtr first)
    : maker_(std::move(maker)), current_(std::move(first)) {}

Result<std::unique_ptr<ReloadableContext>> ReloadableContext::make(Maker maker) {
  TROTH_TRY(auto first, maker());
  return std::unique_ptr<ReloadableContext>(
      new ReloadableContext(std::move(maker), std::move(first)));
}

ContextPtr ReloadableContext::current() const {
  return *current_.lock();
}

Status ReloadableContext::reload() {
  TROTH_TRY(auto next, maker_());  // no lock held: reads files
  *current_.lock() = std::move(next);
  return {};
}

}  // namespace common::tls
