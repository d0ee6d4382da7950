#pragma once

// What the commands that work with files share: the cell's files as the person at the keyboard may
// see them, where relative paths begin, and how a command is interrupted.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/user_session.hpp"
#include "common/fileclient/file_client.hpp"
#include "common/fileclient/transfer/upload.hpp"
#include "common/fileclient/walker.hpp"

namespace cli {

namespace fileclient = common::fileclient;
namespace fileproto = common::fileproto;

// One person's files of one cell. Main thread.
class Files {
 public:
  // `cell` as --cell gave it. Asks nobody: that somebody is logged in shows with the first call.
  static common::Result<std::unique_ptr<Files>> open(const std::string& cell);

  [[nodiscard]] fileclient::FileClient& client() { return *client_; }
  [[nodiscard]] fileclient::Walker walker() { return fileclient::Walker(*client_); }
  [[nodiscard]] UserSession& session() { return session_; }

  // What a person typed, seen from where he is.
  [[nodiscard]] common::Result<fileclient::RemotePath> path(std::string_view text) const;
  [[nodiscard]] common::Result<fileclient::Found> find(
      std::string_view text, fileclient::Follow follow = fileclient::Follow::Last);

  [[nodiscard]] const fileclient::RemotePath& here() const { return here_; }
  void go(fileclient::RemotePath to) { here_ = std::move(to); }

  // For one call: its time begins now, and an interrupt ends it.
  [[nodiscard]] fileclient::CallOptions calls() const;
  // For a transfer that is gone on with if its process is killed.
  [[nodiscard]] fileclient::TransferOptions transfer(fileclient::Progress* progress) const;

  // A command begins: what interrupted the last one counts no more.
  void begin();
  [[nodiscard]] common::rpc::Cancellation& cancellation() { return *cancellation_; }
  [[nodiscard]] bool interrupted() const { return cancellation_->cancelled(); }

 private:
  explicit Files(UserSession session)
      : session_(std::move(session)), cancellation_(std::make_unique<common::rpc::Cancellation>()) {
    here_.path = "/";
  }

  UserSession session_;
  common::SystemClock clock_;
  std::unique_ptr<common::rpc::Cancellation> cancellation_;
  std::unique_ptr<fileclient::FileClient> client_;
  fileclient::RemotePath here_;
};

// Where commands find their files: opened by the first that needs them.
struct FileContext {
  std::string cell;
  std::unique_ptr<Files> files;
  // Commands of the shell: the cell is chosen, and interrupts are the shell's to handle.
  bool in_shell = false;
};
using FileContextPtr = std::shared_ptr<FileContext>;

// A new command that works with files. `run` is its action; a failure is printed, with what to do.
// Its options and arguments are the caller's to add.
Command add_file_command(Command parent, Session& session, const FileContextPtr& context,
                         const char* name, const char* help, std::function<int(Files&)> run);

// What was typed, one after the other; a failure is printed, and the next one's turn comes.
int for_each_path(Files& files, const std::vector<std::string>& paths,
                  const std::function<common::Status(const std::string&)>& run);
[[nodiscard]] common::Result<fileclient::Spot> spot_of(Files& files, const std::string& text);
template <typename T>
[[nodiscard]] common::Status done_at(const std::string& path, const common::Result<T>& result) {
  return result ? common::Status() : tl::unexpected(result.error().in(said(path)));
}
// Of what is made: these bits, without those of the process's umask.
[[nodiscard]] std::uint32_t creation_mode(std::uint32_t bits);

// One line on standard error, with what would help.
void print_failure(const common::Error& error);
[[nodiscard]] common::Error helped(const common::Error& error);
// Prints it; kExitFailure.
int failed(const common::Error& error);

// All commands of files; those of volumes.
void add_file_commands(Command app, Session& session, const FileContextPtr& context);
void add_volume_commands(Command app, Session& session, const FileContextPtr& context);
// The families, each in its own file.
void add_listing_commands(Command app, Session& session, const FileContextPtr& context);
void add_stat_commands(Command app, Session& session, const FileContextPtr& context);
void add_reading_commands(Command app, Session& session, const FileContextPtr& context);
void add_transfer_commands(Command app, Session& session, const FileContextPtr& context);
void add_changing_commands(Command app, Session& session, const FileContextPtr& context);
void add_copying_commands(Command app, Session& session, const FileContextPtr& context);
void add_moving_commands(Command app, Session& session, const FileContextPtr& context);
void add_find_command(Command app, Session& session, const FileContextPtr& context);
void add_usage_commands(Command app, Session& session, const FileContextPtr& context);
void add_access_commands(Command app, Session& session, const FileContextPtr& context);
void add_history_commands(Command app, Session& session, const FileContextPtr& context);
// For completion scripts; not shown in help.
void add_complete_path_command(Command app, Session& session, const FileContextPtr& context);

}  // namespace cli
