#pragma once

// How OpenSSL reaches the socket: without waiting and without SIGPIPE, whatever the socket's own
// flags are. Internal to common/tls.

struct bio_st;

namespace common::tls {

// A new BIO on `socket`, which it does not own; nullptr when memory is short.
bio_st* new_socket_bio(int socket);

}  // namespace common::tls
