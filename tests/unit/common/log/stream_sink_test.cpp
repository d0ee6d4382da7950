#include "common/log/stream_sink.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "common/io/unique_fd.hpp"
#include "tests/support/test.hpp"

using common::log::StreamSink;

TEST_CASE("a socket, as the journal gives one, is written without waiting and without a signal") {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
  const common::UniqueFd ours(fds[0]);
  common::UniqueFd theirs(fds[1]);
  StreamSink sink(ours.get());
  CHECK(sink.write_line("hello\n"));
  std::array<char, 16> buffer{};
  CHECK(::read(theirs.get(), buffer.data(), buffer.size()) == 6);
  CHECK(std::string(buffer.data()) == "hello\n");

  theirs.reset();
  CHECK_FALSE(sink.write_line("nobody\n"));  // SIGPIPE would have ended this program
  CHECK(sink.dropped() == 1);
}

TEST_CASE("a descriptor that cannot be written loses lines, not the program") {
  StreamSink sink(-1);
  CHECK_FALSE(sink.write_line("lost\n"));
  CHECK_FALSE(sink.write_line("lost\n"));
  CHECK(sink.dropped() == 2);
  CHECK(sink.dropped_in_a_row() == 2);
}
