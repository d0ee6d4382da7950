#pragma once

// A TCP proxy on loopback that does to a connection what networks do: delay it, slow it down, cut
// it at an exact byte, let only one direction through, swallow the reply. It acts on command only,
// by byte counts and not by chance, so a test says exactly what happened.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/result.hpp"

namespace test_support {

enum class Direction : std::uint8_t { ToServer, ToClient };

// What happens to the bytes of one direction. Counts are per connection.
struct Path {
  std::chrono::nanoseconds delay{0};              // between arriving here and going on
  std::optional<std::uint64_t> bytes_per_second;  // none: as fast as it goes
  // After exactly so many bytes have gone on, both sides see a reset (or the end, if half_close).
  std::optional<std::uint64_t> cut_after;
  bool half_close =
      false;             // at cut_after: end of stream to the receiver, the other direction lives
  bool stalled = false;  // bytes are held here, connections stay open
  bool swallow = false;  // bytes vanish; the end of the stream still goes on
};

// Runs one thread of its own. All functions are safe from any thread.
class TcpProxy {
 public:
  // Forwards connections to `address`:`port` (IPv4 literal).
  [[nodiscard]] static common::Result<std::unique_ptr<TcpProxy>> start(std::string address,
                                                                       std::uint16_t port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  // Where clients connect: 127.0.0.1 and this port.
  [[nodiscard]] std::uint16_t port() const;

  // Holds for the connections that exist and for later ones, from the next byte on.
  void set(Direction direction, const Path& path);
  // As if nothing had ever been set; held bytes go on.
  void clear();
  // Resets every connection there is.
  void reset_all();
  // Whether new connections are reset at once.
  void refuse(bool refused);

  [[nodiscard]] std::uint64_t connections() const;  // accepted so far
  [[nodiscard]] std::uint64_t open_connections() const;
  // Bytes that went on, over all connections.
  [[nodiscard]] std::uint64_t bytes(Direction direction) const;
  // Waits until so many bytes have arrived here in all, gone on or not; false after the timeout.
  bool wait_arrived(Direction direction, std::uint64_t count, std::chrono::nanoseconds timeout);

 private:
  struct Impl;
  explicit TcpProxy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace test_support
