// troth history, troth restore

#include <ctime>

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using fileclient::Found;

struct HistoryArguments {
  std::string path;
  std::uint32_t limit = 50;
  bool human = false;
  bool json = false;
};

int history(Files& files, const HistoryArguments& arguments) {
  const auto found = files.find(arguments.path);
  if (!found)
    return failed(found.error());
  fileproto::HistoryArgs args;
  args.fid = found->fid;
  args.limit = arguments.limit;
  const auto result = files.client().ask(args, files.calls());
  if (!result)
    return failed(result.error().in(said(arguments.path)));
  if (arguments.json) {
    JsonList json({{"path", json_name(found->path)}, {"node", found->fid.node.value}}, "versions");
    for (const auto& version : result->versions) {
      nlohmann::json item = describe(version.node);
      item["until"] = version.until ? nlohmann::json(version.until->value) : nlohmann::json();
      json.add(item);
    }
    json.end();
    return kExitOk;
  }
  std::string text = fmt::format("{:>12}  {:>12}  {:<35}  {}\n", "VERSION", "SIZE", "SINCE", "");
  for (const auto& version : result->versions) {
    text += fmt::format(
        "{:>12}  {:>12}  {:<35}  {}\n", version.node.version.value,
        arguments.human ? human_size(version.node.size) : std::to_string(version.node.size),
        full_time(version.node.ctime), version.until ? "" : "present");
  }
  standard_out().write(text);
  return kExitOk;
}

struct RestoreArguments {
  std::string path;
  std::optional<std::uint64_t> version;
  std::string at;
};

// "2026-11-21 18:00[:00]" of local time, or "@SECONDS".
Result<fileproto::FileTime> time_of(const std::string& text) {
  constexpr std::int64_t kNsPerS = 1'000'000'000;
  std::tm parts{};
  const auto whole = [](const char* end) { return end != nullptr && *end == '\0'; };
  const auto begin = [&] {
    parts = {};
    parts.tm_isdst = -1;
    return text.c_str();
  };
  if (whole(::strptime(begin(), "@%s", &parts)) ||
      whole(::strptime(begin(), "%Y-%m-%d %H:%M:%S", &parts)) ||
      whole(::strptime(begin(), "%Y-%m-%d %H:%M", &parts)) ||
      whole(::strptime(begin(), "%Y-%m-%d", &parts)))
    return ::mktime(&parts) * kNsPerS;
  return fail(ErrorCode::InvalidArgument,
              "\"{}\" is no time; expected YYYY-MM-DD HH:MM[:SS], or @SECONDS since 1970", text);
}

Result<common::Seq> version_at(Files& files, const Found& found, const std::string& text) {
  TROTH_TRY(const auto time, time_of(text));
  fileproto::SeqAtArgs args;
  args.volume = found.fid.volume;
  args.time = time;
  TROTH_TRY(const auto moment, files.client().ask(args, files.calls()));
  fileproto::GetattrArgs node;
  node.scope.at = moment.seq;
  node.fids = {found.fid};
  TROTH_TRY(const auto then, files.client().ask(node, files.calls()));
  if (then.nodes.size() != 1 || !then.nodes[0])
    return fail(ErrorCode::NotFound, "{}: was not there at that time", said(found.path));
  return then.nodes[0]->version;
}

int restore(Files& files, const RestoreArguments& arguments) {
  if (arguments.version.has_value() == !arguments.at.empty()) {
    print_error("say which version: its number, as troth history shows it, or --at TIME");
    return kExitUsage;
  }
  const auto found = files.find(arguments.path);
  if (!found)
    return failed(found.error());
  fileproto::Restore restore;
  restore.fid = found->fid;
  if (arguments.version) {
    restore.version = common::Seq{*arguments.version};
  } else {
    const auto version = version_at(files, *found, arguments.at);
    if (!version)
      return failed(version.error());
    restore.version = *version;
  }
  const auto done = files.client().change(restore, files.calls());
  if (!done)
    return failed(done.error().in(said(arguments.path)));
  standard_out().write(fmt::format("{} is as it was at version {}; version {} is in its history.\n",
                                   shown_name(arguments.path), restore.version.value,
                                   found->node.version.value));
  return kExitOk;
}

}  // namespace

void add_history_commands(Command app, Session& session, const FileContextPtr& context) {
  auto history_arguments = std::make_shared<HistoryArguments>();
  auto command = add_file_command(
      app, session, context, "history", "List the versions of a file.",
      [history_arguments](Files& files) { return history(files, *history_arguments); });
  command.help_without_short();
  command.add_option("path", history_arguments->path, "The file").type_name("REMOTE").required();
  command.add_option("-n,--limit", history_arguments->limit, "At most so many, newest first.")
      .show_default();
  command.add_flag("-h,--human-readable", history_arguments->human, "Sizes such as 1.5K, 20M.");
  command.add_flag("--json", history_arguments->json, "One JSON object.");

  auto restore_arguments = std::make_shared<RestoreArguments>();
  command = add_file_command(
      app, session, context, "restore", "Make an earlier version of a file the present one.",
      [restore_arguments](Files& files) { return restore(files, *restore_arguments); });
  command.add_option("path", restore_arguments->path, "The file").type_name("REMOTE").required();
  command.add_option("version", restore_arguments->version, "Which; see: troth history");
  command
      .add_option("--at", restore_arguments->at,
                  "As it was then: YYYY-MM-DD HH:MM[:SS] of local time.")
      .type_name("TIME");
}

}  // namespace cli
