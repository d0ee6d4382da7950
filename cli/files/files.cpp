#include "cli/files/files.hpp"

#include <sys/stat.h>

#include "cli/files/interrupt.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/auth/credential_source.hpp"
#include "common/fileclient/transfer/resume_file.hpp"
#include "common/rpc/socket.hpp"

namespace cli {

using common::Error;
using common::ErrorCode;
using common::Result;

Result<std::unique_ptr<Files>> Files::open(const std::string& cell) {
  TROTH_TRY(UserSession session, open_user_session(cell));
  auto source = common::auth::from_kdc(session.kdc);
  source.cache = session.cache;
  std::unique_ptr<Files> files(new Files(std::move(session)));
  source.clock = &files->clock_;
  fileclient::FileClientOptions options;
  options.cell = files->session_.description;
  options.tls = files->session_.kdc.options().tls;
  options.tickets = std::make_shared<common::auth::CredentialSource>(std::move(source));
  options.clock = &files->clock_;
  TROTH_TRY(files->client_, fileclient::FileClient::open(std::move(options)));
  return files;
}

Result<fileclient::RemotePath> Files::path(std::string_view text) const {
  TROTH_TRY(auto parsed, fileclient::parse_remote_path(text));
  return fileclient::seen_from(here_, std::move(parsed));
}

Result<fileclient::Found> Files::find(std::string_view text, fileclient::Follow follow) {
  TROTH_TRY(const auto parsed, path(text));
  return walker().find(parsed, follow, calls());
}

fileclient::CallOptions Files::calls() const {
  fileclient::CallOptions options;
  options.cancellation = cancellation_.get();
  return options;
}

fileclient::TransferOptions Files::transfer(fileclient::Progress* progress) const {
  fileclient::TransferOptions options;
  options.calls.cancellation = cancellation_.get();
  options.progress = progress;
  // Without a place for its memory a transfer works all the same.
  options.resume_directory =
      fileclient::resume_directory(session_.cache->where(), session_.description.id).value_or("");
  return options;
}

void Files::begin() {
  if (cancellation_->cancelled())
    cancellation_ = std::make_unique<common::rpc::Cancellation>();
}

Error helped(const Error& error) {
  Error told = error;
  const auto add = [&](std::string_view hint) {
    if (told.message.find("troth ") == std::string::npos)
      told.message += fmt::format("; {}", hint);
  };
  switch (error.code) {
    case ErrorCode::PermissionDenied:
      add("to see why: troth whynot");
      break;
    case ErrorCode::ResourceExhausted:
      add("see: troth df");
      break;
    case ErrorCode::NoSpace:
      add("see: troth df");
      break;
    case ErrorCode::Unavailable:
    case ErrorCode::Overloaded:
      add("see: troth status");
      break;
    case ErrorCode::DeadlineExceeded:
      add("no answer in time; see: troth status");
      break;
    case ErrorCode::Unauthenticated:
    case ErrorCode::Expired:
      add("log in again: troth login");
      break;
    case ErrorCode::Conflict:
      add("somebody else changed it meanwhile: look at it and try again");
      break;
    default:
      break;
  }
  return told;
}

void print_failure(const Error& error) {
  if (error.code == ErrorCode::Cancelled)
    return;  // whoever did it knows
  standard_out().flush();
  print_error(helped(error).message);
}

int failed(const Error& error) {
  print_failure(error);
  return kExitFailure;
}

Command add_file_command(Command parent, Session& session, const FileContextPtr& context,
                         const char* name, const char* help, std::function<int(Files&)> run) {
  auto command = parent.add_command(name, help);
  if (!context->in_shell)
    command.add_option("--cell", context->cell, "The cell's directory.").type_name("DIR");
  command.on_chosen([&session, context, run = std::move(run)] {
    session.action = [context, run] {
      if (!context->files) {
        auto opened = Files::open(context->cell);
        if (!opened)
          return failed(opened.error());
        context->files = *std::move(opened);
      }
      Files& files = *context->files;
      const auto all = [&] {
        const int code = run(files);
        return standard_out().flush() || code != kExitOk ? code : failed(standard_out().trouble());
      };
      if (context->in_shell)
        return all();
      files.begin();
      InterruptScope interrupts(files.cancellation(), false);
      return interrupts.ended(all());
    };
  });
  return command;
}

int for_each_path(Files& files, const std::vector<std::string>& paths,
                  const std::function<common::Status(const std::string&)>& run) {
  int code = kExitOk;
  for (const std::string& path : paths) {
    if (const common::Status done = run(path); !done)
      code = failed(done.error());
    if (files.interrupted())
      return kExitFailure;
  }
  return code;
}

Result<fileclient::Spot> spot_of(Files& files, const std::string& text) {
  TROTH_TRY(const auto path, files.path(text));
  return files.walker().find_spot(path, files.calls());
}

std::uint32_t creation_mode(std::uint32_t bits) {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return bits & ~mask;
}

void add_file_commands(Command app, Session& session, const FileContextPtr& context) {
  add_listing_commands(app, session, context);
  add_stat_commands(app, session, context);
  add_reading_commands(app, session, context);
  add_transfer_commands(app, session, context);
  add_changing_commands(app, session, context);
  add_copying_commands(app, session, context);
  add_moving_commands(app, session, context);
  add_find_command(app, session, context);
  add_usage_commands(app, session, context);
  add_access_commands(app, session, context);
  add_history_commands(app, session, context);
}

}  // namespace cli
