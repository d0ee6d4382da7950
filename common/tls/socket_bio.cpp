#include "common/tls/socket_bio.hpp"

#include <openssl/bio.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>

namespace common::tls {
namespace {

int socket_of(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

bool is_retry(int error_number) {
  return error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == EINTR;
}

int bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* written) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = ::send(socket_of(bio), from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    *written = static_cast<std::size_t>(sent);
    return 1;
  }
  if (is_retry(errno))
    BIO_set_retry_write(bio);
  *written = 0;
  // Not 0: OpenSSL from 3.2 on takes that for the success of an empty write, tells its caller that
  // the record has left, and refuses every later one as a bug of the caller's.
  return -1;
}

int bio_read(BIO* bio, char* into, std::size_t size, std::size_t* read) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = ::recv(socket_of(bio), into, size, MSG_DONTWAIT);
  if (got > 0) {
    *read = static_cast<std::size_t>(got);
    return 1;
  }
  *read = 0;
  if (got == 0) {
    BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return 0;
  }
  if (is_retry(errno))
    BIO_set_retry_read(bio);
  return -1;
}

long bio_ctrl(BIO* bio, int command, long, void*) {
  switch (command) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP:
      return 1;
    case BIO_CTRL_EOF:
      return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    default:
      return 0;  // kernel TLS, peeking and the like are not offered
  }
}

BIO_METHOD* make_method() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "troth socket");
  if (method == nullptr)
    return nullptr;
  BIO_meth_set_write_ex(method, bio_write);
  BIO_meth_set_read_ex(method, bio_read);
  BIO_meth_set_ctrl(method, bio_ctrl);
  return method;
}

}  // namespace

bio_st* new_socket_bio(int socket) {
  // Made once, lives as long as the process: sessions may outlive any static.
  static BIO_METHOD* const method = make_method();
  if (method == nullptr)
    return nullptr;
  BIO* bio = BIO_new(method);
  if (bio == nullptr)
    return nullptr;
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(socket)));
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace common::tls
