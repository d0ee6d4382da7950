// troth volume dump, load

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "cli/files/progress_line.hpp"
#include "cli/files/volumes.hpp"
#include "cli/output.hpp"
#include "common/fileproto/contents.hpp"
#include "common/fileproto/volumes.hpp"
#include "common/io/unique_fd.hpp"
#include "common/rpc/socket.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::fail_errno;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr std::size_t kPiece = std::size_t{8} << 20;

// The last piece is verified before it is answered: a whole volume is read for that.
constexpr std::chrono::hours kLoadPatience{1};

struct StreamArguments {
  std::string volume;
  std::string file = "-";
  std::string server;
  bool follow = false;
  bool onto = false;
  std::optional<std::uint64_t> from_given;
  std::optional<std::uint64_t> to;
  bool quiet = false;
};

Status write_all(int fd, common::ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      return fail_errno(errno, "write the dump");
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

// Fewer only at the end of the input.
Result<common::Bytes> read_piece(int fd) {
  common::Bytes bytes(kPiece);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR)
      return fail(ErrorCode::Cancelled, "interrupted");
    if (got < 0)
      return fail_errno(errno, "read the dump");
    if (got == 0)
      break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

Result<common::VolumeId> number_of(Files& files, fileclient::FileServer& server,
                                   const std::string& name) {
  fileproto::VolumeShowArgs args;
  args.which.name = name;
  TROTH_TRY(
      const auto answer,
      server.call(
          {.operation = "volume-show", .args = fileproto::encode(args), .bytes = {}, .id = {}},
          files.client().filled(files.calls())));
  TROTH_TRY(const auto result, fileproto::decode<fileproto::VolumeResult>(answer.result()));
  return result.volume.volume;
}

Status dump(Files& files, const StreamArguments& arguments) {
  const auto calls = [&] { return files.client().filled(files.calls()); };
  TROTH_TRY(const auto volume, files.client().volumes().find(arguments.volume, calls()));
  if (arguments.file == "-" && ::isatty(STDOUT_FILENO) == 1)
    return fail(ErrorCode::InvalidArgument,
                "a dump is no text: name a file, or send standard output into one");
  UniqueFd file;
  const std::string part = arguments.file + ".part";
  if (arguments.file != "-") {
    // Beside its place until it is whole: half a backup must not look like one.
    file.reset(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.valid())
      return fail_errno(errno, "make {}", said(part));
  }
  fileclient::Progress progress;
  const ProgressLine line(progress, arguments.quiet);
  progress.begin_file("volume " + arguments.volume);
  fileproto::DumpArgs args;
  args.volume = volume.entry.volume;
  args.from = common::Seq{arguments.from_given.value_or(0)};
  if (arguments.to)
    args.to = common::Seq{*arguments.to};
  for (;;) {
    TROTH_TRY(const auto answer, files.client().send(args.volume,
                                                     {.operation = "dump",
                                                      .args = fileproto::encode(args),
                                                      .bytes = {},
                                                      .id = {},
                                                      .lane = common::rpc::Lane::Bulk},
                                                     calls()));
    TROTH_TRY(auto result, fileproto::decode<fileproto::CursorResult>(answer.result()));
    TROTH_TRY_VOID(write_all(file.valid() ? file.get() : STDOUT_FILENO, answer.bytes));
    progress.bytes_done += answer.bytes.size();
    if (!result.cursor || result.cursor->empty())
      break;
    if (*result.cursor == args.cursor)
      return fail(ErrorCode::Protocol, "the file server gave the same place twice");
    args.cursor = *std::move(result.cursor);
  }
  if (!file.valid())
    return {};
  if (::fsync(file.get()) != 0 || ::rename(part.c_str(), arguments.file.c_str()) != 0)
    return fail_errno(errno, "keep {}", said(arguments.file));
  return {};
}

// Which volume is made, or brought forward; and the server that does it.
Result<ServerPtr> target_of_load(Files& files, const StreamArguments& arguments,
                                 fileproto::LoadArgs& args) {
  if (!arguments.onto) {
    args.name = arguments.volume;
    return server_named(files, arguments.server);
  }
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.volume));
  TROTH_TRY(args.volume, number_of(files, *server, arguments.volume));
  return server;
}

Status load(Files& files, const StreamArguments& arguments) {
  fileproto::LoadArgs args;
  args.then = arguments.follow ? fileproto::LoadThen::Follow : fileproto::LoadThen::Serve;
  TROTH_TRY(const ServerPtr server, target_of_load(files, arguments, args));
  UniqueFd file;
  if (arguments.file != "-") {
    file.reset(::open(arguments.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid())
      return fail_errno(errno, "{}", said(arguments.file));
  } else if (::isatty(STDIN_FILENO) == 1) {
    return fail(ErrorCode::InvalidArgument, "name the file that the dump is in");
  }
  fileclient::Progress progress;
  fileproto::LoadResult loaded;
  {
    const ProgressLine line(progress, arguments.quiet);
    progress.begin_file("volume " + arguments.volume);
    while (!args.end) {
      TROTH_TRY(const auto bytes, read_piece(file.valid() ? file.get() : STDIN_FILENO));
      args.end = bytes.size() < kPiece;
      auto calls = files.calls();
      calls.deadline = common::rpc::now() + kLoadPatience;
      TROTH_TRY(const auto answer, server->call({.operation = "load",
                                                 .args = fileproto::encode(args),
                                                 .bytes = bytes,
                                                 .id = {},
                                                 .lane = common::rpc::Lane::Bulk},
                                                files.client().filled(calls)));
      TROTH_TRY(loaded, fileproto::decode<fileproto::LoadResult>(answer.result()));
      progress.bytes_done += bytes.size();
      args.cursor = loaded.cursor.value_or("");
    }
  }
  if (!loaded.volume || !loaded.seq)
    return fail(ErrorCode::Protocol,
                "the file server took all of the dump, and did not say what "
                "became of it");
  files.client().volumes().forget();
  standard_out().write(fmt::format(
      "Volume {}, number {}, stands at seq {}.{}\n", said(arguments.volume), loaded.volume->value,
      loaded.seq->value,
      arguments.follow ? " It follows: what is dumped from there on can be loaded onto it." : ""));
  return {};
}

}  // namespace

void add_volume_stream_commands(Command group, Session& session, const FileContextPtr& context) {
  const auto run = [](auto arguments, auto what) {
    return [arguments, what](Files& files) {
      const Status done = what(files, *arguments);
      return done ? kExitOk : failed(done.error());
    };
  };
  auto dumped = std::make_shared<StreamArguments>();
  auto command =
      add_file_command(group, session, context, "dump",
                       "Write a volume to a file, for a backup or a copy.", run(dumped, &dump));
  command.add_option("volume", dumped->volume, "Which").type_name("VOLUME").required();
  command.add_option("file", dumped->file, "Where to; - is standard output").type_name("FILE");
  command.add_option("--from", dumped->from_given,
                     "Only what was committed after this seq, for a copy that stands there.");
  command.add_option("--to", dumped->to, "As it was at this seq; now, if none is given.");
  command.add_flag("-q,--quiet", dumped->quiet, "Show no progress.");

  auto loaded = std::make_shared<StreamArguments>();
  command = add_file_command(group, session, context, "load", "Make a volume of a dump.",
                             run(loaded, &load));
  command.add_option("volume", loaded->volume, "Its name").type_name("VOLUME").required();
  command.add_option("file", loaded->file, "The dump; - is standard input").type_name("FILE");
  command.add_flag("--follow", loaded->follow,
                   "A copy that takes later dumps, and serves nobody until one is loaded without "
                   "this.");
  command.add_flag("--onto", loaded->onto,
                   "Bring a copy that follows forward, by a dump of what came since.");
  command.add_option("--server", loaded->server, "On which file server.").type_name("NAME");
  command.add_flag("-q,--quiet", loaded->quiet, "Show no progress.");
}

}  // namespace cli
