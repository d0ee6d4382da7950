#include "common/rpc/socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <exception>
#include <memory>
#include <new>
#include <thread>

#include "common/sync/locked.hpp"

namespace common::rpc {
namespace {

// Refused by kernels below it anyway; the default of many systems, 128, loses bursts.
constexpr int kBacklog = 4096;

struct AddressInfoFree {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using AddressInfo = std::unique_ptr<addrinfo, AddressInfoFree>;

Result<AddressInfo> resolve(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int problem = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (problem == 0)
    return AddressInfo(list);
  return fail(problem == EAI_NONAME ? ErrorCode::InvalidArgument : ErrorCode::Unavailable,
              "cannot resolve {}: {}", host, ::gai_strerror(problem));
}

// Look-ups that may be under way in this process. A resolver that does not answer costs each a
// thread for half a minute or so.
constexpr int kMaxLookUps = 32;
std::atomic<int> look_ups{0};

// What a look-up's thread and its caller share. Whoever is last destroys it.
struct LookUp {
  std::string host;
  std::uint16_t port;
  UniqueFd done;                      // readable at the end
  Locked<Result<AddressInfo>> found;  // before the end: an error
};

void look_up_main(const std::shared_ptr<LookUp>& look_up) {
  try {
    auto found = resolve(look_up->host, look_up->port, 0);
    *look_up->found.lock() = std::move(found);
  } catch (const std::bad_alloc&) {
    // There is no room for words either: what is there already says that nothing was found.
  }
  const std::uint64_t one = 1;
  (void)!::write(look_up->done.get(), &one, sizeof one);
  look_ups.fetch_sub(1);
}

// getaddrinfo() knows no deadline, so a thread of its own waits for it; one that is no longer
// wanted ends when the resolver gives up.
Result<AddressInfo> look_up_name(const std::string& host, std::uint16_t port, Instant deadline,
                                 int cancel_fd) {
  auto look_up = std::make_shared<LookUp>();
  *look_up->found.lock() = fail(ErrorCode::ResourceExhausted, "cannot resolve {}: no memory", host);
  look_up->host = host;
  look_up->port = port;
  look_up->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!look_up->done.valid())
    return fail_errno(errno, "cannot resolve {}", host);
  if (look_ups.fetch_add(1) >= kMaxLookUps) {
    look_ups.fetch_sub(1);
    return fail(ErrorCode::Unavailable,
                "cannot resolve {}: too many names are being looked up; is the resolver answering?",
                host);
  }
  try {
    std::thread([look_up] { look_up_main(look_up); }).detach();
  } catch (const std::exception&) {
    look_ups.fetch_sub(1);
    return fail(ErrorCode::ResourceExhausted, "cannot resolve {}: cannot start a thread", host);
  }
  switch (wait_for(look_up->done.get(), POLLIN, deadline, cancel_fd)) {
    case Ready::Timeout:
      return fail(ErrorCode::Unavailable, "the name {} was not resolved in time", host);
    case Ready::Cancelled:
      return fail(ErrorCode::Cancelled, "the call was cancelled");
    case Ready::Yes:
      break;
  }
  return std::move(*look_up->found.lock());
}

// Numeric addresses need neither the resolver nor a thread.
Result<AddressInfo> addresses_of(const std::string& host, std::uint16_t port, Instant deadline,
                                 int cancel_fd) {
  auto numeric = resolve(host, port, AI_NUMERICHOST);
  if (numeric || numeric.error().code != ErrorCode::InvalidArgument)
    return numeric;
  return look_up_name(host, port, deadline, cancel_fd);
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// EINVAL is what Linux says of a route that leads nowhere: no fault of who asked to be connected.
tl::unexpected<Error> cannot_reach(int problem, const std::string& host) {
  auto failure = fail_errno(problem, "cannot reach {}", host);
  if (problem == EINVAL)
    failure.value().code = ErrorCode::Unavailable;
  return failure;
}

Result<UniqueFd> dial_one(const addrinfo& target, const std::string& host, Instant deadline,
                          int cancel_fd) {
  UniqueFd fd(::socket(target.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    return fail_errno(errno, "socket");
  set_no_delay(fd.get());
  if (::connect(fd.get(), target.ai_addr, target.ai_addrlen) == 0)
    return fd;
  if (errno != EINPROGRESS)
    return cannot_reach(errno, host);
  switch (wait_for(fd.get(), POLLOUT, deadline, cancel_fd)) {
    case Ready::Timeout:
      return fail(ErrorCode::Unavailable, "{} did not answer in time", host);
    case Ready::Cancelled:
      return fail(ErrorCode::Cancelled, "the call was cancelled");
    case Ready::Yes:
      break;
  }
  int problem = 0;
  socklen_t size = sizeof problem;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  if (problem != 0)
    return cannot_reach(problem, host);
  return fd;
}

}  // namespace

Instant now() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return Instant{std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)};
}

Result<Listener> listen_on(const std::string& address, std::uint16_t port) {
  TROTH_TRY(auto list, resolve(address, port, AI_NUMERICHOST | AI_PASSIVE));
  Listener listener;
  listener.fd.reset(::socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener.fd.valid())
    return fail_errno(errno, "socket");
  const int fd = listener.fd.get();
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  set_no_delay(fd);
  if (::bind(fd, list->ai_addr, list->ai_addrlen) != 0) {
    if (errno == EADDRINUSE) {
      return fail(ErrorCode::Busy, "port {} of {} is in use; is another server running?", port,
                  address);
    }
    return fail_errno(errno, "cannot listen on {} port {}", address, port);
  }
  if (::listen(fd, kBacklog) != 0)
    return fail_errno(errno, "cannot listen on {}", address);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  // The port is at the same place in both families.
  listener.port = ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  return listener;
}

bool is_loopback(const std::string& address) {
  in_addr v4{};
  if (::inet_pton(AF_INET, address.c_str(), &v4) == 1)
    return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return ::inet_pton(AF_INET6, address.c_str(), &v6) == 1 &&
         std::memcmp(&v6, &in6addr_loopback, sizeof v6) == 0;
}

namespace {

Origin origin_of_v4(const void* address) {
  std::array<char, INET_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET, address, text.data(), text.size());
  return {text.data(), text.data()};
}

}  // namespace

Origin origin_of(const void* socket_address) {
  sa_family_t family = 0;
  std::memcpy(&family, socket_address, sizeof family);
  if (family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, socket_address, sizeof v4);
    return origin_of_v4(&v4.sin_addr);
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, socket_address, sizeof v6);
  // A listener on [::] sees IPv4 callers so; all of IPv4 is within one /64 of these.
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
    return origin_of_v4(&v6.sin6_addr.s6_addr[12]);
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  // Whoever has one IPv6 address usually has its whole /64.
  return {text.data(), std::string(reinterpret_cast<const char*>(&v6.sin6_addr), 8)};
}

Ready wait_for(int fd, short events, Instant deadline, int cancel_fd) {
  for (;;) {
    const Duration left = std::max(deadline - now(), Duration::zero());
    timespec timeout{};
    timeout.tv_sec = static_cast<std::time_t>(left / std::chrono::seconds(1));
    timeout.tv_nsec = static_cast<long>((left % std::chrono::seconds(1)).count());
    std::array<pollfd, 2> fds{pollfd{fd, events, 0}, pollfd{cancel_fd, POLLIN, 0}};
    const int ready = ::ppoll(fds.data(), cancel_fd >= 0 ? 2 : 1, &timeout, nullptr);
    if (ready == 0)
      return Ready::Timeout;
    if (ready < 0) {
      if (errno == EINTR)
        continue;
      return Ready::Yes;  // let the next system call on the socket say what is wrong
    }
    if (fds[1].revents != 0)
      return Ready::Cancelled;
    return Ready::Yes;
  }
}

Result<UniqueFd> dial(const std::string& host, std::uint16_t port, Instant deadline,
                      int cancel_fd) {
  TROTH_TRY(auto list, addresses_of(host, port, deadline, cancel_fd));
  Result<UniqueFd> last = fail(ErrorCode::Unavailable, "{} has no address", host);
  for (const addrinfo* target = list.get(); target != nullptr; target = target->ai_next) {
    last = dial_one(*target, host, deadline, cancel_fd);
    if (last || last.error().code == ErrorCode::Cancelled || now() >= deadline)
      break;
  }
  return last;
}

}  // namespace common::rpc
