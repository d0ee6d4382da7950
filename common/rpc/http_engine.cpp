#include "common/rpc/http_engine.hpp"

#include <httplib.h>

#include <cstring>

#include "common/log/log.hpp"

namespace common::rpc {
namespace {

// The cheapest stream there is: a head to read, a string to write to. The methods differ between
// the versions of cpp-httplib that we build with, hence no `override`.
class MemoryStream final : public httplib::Stream {
 public:
  MemoryStream(std::string_view head, std::string& out) : head_(head), out_(out) {}

  using httplib::Stream::write;

  bool is_readable() const { return at_ < head_.size(); }
  bool is_writable() const { return true; }
  bool wait_readable() const { return at_ < head_.size(); }
  bool wait_writable() const { return true; }
  bool is_peer_alive() const { return true; }

  // After the head there is nothing: bodies are read past the engine.
  ssize_t read(char* into, size_t size) {
    const std::size_t count = std::min(size, head_.size() - at_);
    std::memcpy(into, head_.data() + at_, count);
    at_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* from, size_t size) {
    out_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const {}
  void get_local_ip_and_port(std::string&, int&) const {}
  socket_t socket() const { return -1; }
  time_t duration() const { return 0; }

 private:
  std::string_view head_;
  std::size_t at_ = 0;
  std::string& out_;
};

// The exchange that this thread's engine call belongs to.
struct Current {
  HttpExchange* exchange = nullptr;
  bool ran = false;
};
thread_local Current current;

}  // namespace

class HttpEngine::Impl final : public httplib::Server {
 public:
  Impl() {
    // One pattern without regular expressions; the table behind it is ours.
    Post("/v1/:service/:operation", [](const httplib::Request& request, httplib::Response& response,
                                       const httplib::ContentReader&) {
      current.ran = true;
      response.status = current.exchange->run(request.path_params.at("service"),
                                              request.path_params.at("operation"));
    });
    set_header_writer([](httplib::Stream& stream, httplib::Headers&) -> ssize_t {
      if (!current.ran)
        return -1;  // a refusal of the engine's own: ours is written instead
      const std::string_view lines = current.exchange->answer_headers();
      return stream.write(lines.data(), lines.size());
    });
    // Operations let none escape; see the dispatcher. What is left is memory that ran out while the
    // answer was made: half a head must not be sent, its reader would wait for the rest.
    set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
          response.status = 500;
          current.ran = false;
        });
  }

  bool process(std::string_view head, const std::string& peer_address, HttpExchange& exchange,
               std::string& out) {
    current = {&exchange, false};
    MemoryStream stream(head, out);
    bool closed = false;
    const bool written =
        process_request(stream, peer_address, 0, std::string(), 0, false, closed, nullptr);
    const bool good = written && current.ran;
    current = {};
    return good;
  }

 private:
  // The library's own connection loop must never serve a socket.
  bool process_and_close_socket(socket_t socket) override {
    log::error("a connection reached the HTTP library's own loop", {});
    ::close(socket);
    return false;
  }
};

HttpEngine::HttpEngine() : impl_(std::make_unique<Impl>()) {}
HttpEngine::~HttpEngine() = default;

bool HttpEngine::process(std::string_view head, const std::string& peer_address,
                         HttpExchange& exchange, std::string& out) {
  const std::size_t before = out.size();
  const bool good = impl_->process(head, peer_address, exchange, out);
  if (!good)
    out.resize(before);
  return good;
}

}  // namespace common::rpc
