#include "fuse-client/status_socket.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <new>

#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using fuse_client::StatusSocket;
namespace fs = std::filesystem;

namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

common::UniqueFd new_socket() {
  common::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{30, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  return fd;
}

void dial(const common::UniqueFd& fd, const std::string& path) {
  const sockaddr_un address = address_of(path);
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
}

std::string read_all(const common::UniqueFd& fd) {
  std::string all;
  std::array<char, 256> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n <= 0)
      return all;
    all.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

std::string ask(const std::string& path) {
  const common::UniqueFd fd = new_socket();
  dial(fd, path);
  return read_all(fd);
}

// No descriptor can be made while this lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    // The lowest free number: everything below it is taken.
    const int free = ::dup(STDERR_FILENO);
    REQUIRE(free >= 0);
    ::close(free);
    const rlimit none{static_cast<rlim_t>(free), before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

// Counts the beats of a heartbeat: one in each turn of the socket's thread.
class CountingClock final : public common::Clock {
 public:
  [[nodiscard]] common::Instant now() const override {
    ++asked_;
    return {};
  }
  [[nodiscard]] common::WallTime wall_now() const override { return {}; }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  mutable std::atomic<int> asked_{0};
};

struct Fixture {
  test_support::TempDir dir;
  std::string directory = (dir / "mounts").string();

  Fixture() { ::umask(077); }  // as every program of ours does

  auto open() const {
    return StatusSocket::open(
        {.directory = directory, .name = "m.sock", .line = [] { return std::string("{}\n"); }});
  }
  std::string path() const { return directory + "/m.sock"; }
};

mode_t mode_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

}  // namespace

TEST_CASE("whoever asks gets the line, and nobody else may ask") {
  const Fixture fixture;
  const auto socket = fixture.open();
  REQUIRE_OK(socket);
  CHECK(ask(fixture.path()) == "{}\n");
  CHECK(ask(fixture.path()) == "{}\n");
  CHECK(mode_of(fixture.directory) == 0700);
  CHECK(mode_of(fixture.path()) == 0600);
}

TEST_CASE("F34: out of descriptors it waits without spinning, and answers once there are some") {
  const Fixture fixture;
  const CountingClock clock;
  common::daemon::Heartbeat turns(clock, "status socket", std::chrono::seconds(1));
  const auto socket = StatusSocket::open({.directory = fixture.directory,
                                          .name = "m.sock",
                                          .line = [] { return std::string("{}\n"); },
                                          .heartbeat = &turns});
  REQUIRE_OK(socket);
  const common::UniqueFd asker = new_socket();
  {
    const NoDescriptors none;
    dial(asker, fixture.path());
    const int before = clock.asked();
    pollfd answer{asker.get(), POLLIN, 0};
    CHECK(::poll(&answer, 1, 1000) == 0);
    // Ten pauses fit into that second. A thread that asks again at once turns many thousand times,
    // and hundreds on a machine that has no time for it.
    CHECK(clock.asked() - before < 30);
  }
  CHECK(read_all(asker) == "{}\n");
}

TEST_CASE("F34: out of descriptors it can still be ended") {
  const Fixture fixture;
  auto socket = fixture.open();
  REQUIRE_OK(socket);
  const common::UniqueFd asker = new_socket();
  const NoDescriptors none;
  dial(asker, fixture.path());
  socket->reset();
  CHECK_FALSE(fs::exists(fixture.path()));
}

TEST_CASE("an answer that memory does not suffice for is left out, and the next is given") {
  const Fixture fixture;
  int asked = 0;
  const auto socket = StatusSocket::open(
      {.directory = fixture.directory, .name = "m.sock", .line = [&asked]() -> std::string {
         if (++asked == 1)
           throw std::bad_alloc();
         return "{}\n";
       }});
  REQUIRE_OK(socket);
  CHECK(ask(fixture.path()).empty());
  CHECK(ask(fixture.path()) == "{}\n");
}

TEST_CASE("the socket goes with the mount") {
  const Fixture fixture;
  { REQUIRE_OK(fixture.open()); }
  CHECK_FALSE(fs::exists(fixture.path()));
}

TEST_CASE("a live socket is refused and goes on living") {
  const Fixture fixture;
  const auto first = fixture.open();
  REQUIRE_OK(first);
  CHECK_FAILS(fixture.open(), ErrorCode::Busy);
  CHECK(ask(fixture.path()) == "{}\n");
}

TEST_CASE("a socket that a dead process left is replaced") {
  const Fixture fixture;
  REQUIRE(::mkdir(fixture.directory.c_str(), 0700) == 0);
  {
    const common::UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(fixture.path());
    REQUIRE(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  }
  REQUIRE(fs::exists(fixture.path()));
  const auto socket = fixture.open();
  REQUIRE_OK(socket);
  CHECK(ask(fixture.path()) == "{}\n");
}

TEST_CASE("a socket that somebody serves without our lock is refused, too") {
  const Fixture fixture;
  REQUIRE(::mkdir(fixture.directory.c_str(), 0700) == 0);
  const common::UniqueFd other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(fixture.path());
  REQUIRE(::bind(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(other.get(), 1) == 0);
  CHECK_FAILS(fixture.open(), ErrorCode::Busy);
  CHECK(fs::exists(fixture.path()));
}

TEST_CASE("what is no socket is left alone") {
  const Fixture fixture;
  REQUIRE(::mkdir(fixture.directory.c_str(), 0700) == 0);
  REQUIRE_OK(test_support::write_file(fixture.path(), "precious"));
  CHECK_FAILS(fixture.open(), ErrorCode::AlreadyExists);
  CHECK(*test_support::read_file(fixture.path()) == "precious");
}

TEST_CASE("a directory open to others, or a link in its place, is refused") {
  const Fixture fixture;
  REQUIRE(::mkdir(fixture.directory.c_str(), 0700) == 0);
  REQUIRE(::chmod(fixture.directory.c_str(), 0755) == 0);
  CHECK_FAILS(fixture.open(), ErrorCode::PermissionDenied);
  REQUIRE(::rmdir(fixture.directory.c_str()) == 0);
  REQUIRE(::mkdir((fixture.dir / "real").c_str(), 0700) == 0);
  REQUIRE(::symlink((fixture.dir / "real").c_str(), fixture.directory.c_str()) == 0);
  CHECK_FAILS(fixture.open(), ErrorCode::PermissionDenied);
}

TEST_CASE("mount points have different names that fit a socket") {
  using fuse_client::socket_name;
  CHECK(socket_name("/mnt/a").starts_with("a-"));
  CHECK(socket_name("/mnt/a") != socket_name("/srv/a"));
  CHECK(socket_name("/").starts_with("root-"));
  CHECK(socket_name("/x/" + std::string(4000, 'y')).size() < 60);
  CHECK(socket_name("/x/a b\n/..").find('/') == std::string::npos);
}
