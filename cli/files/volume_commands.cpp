// troth volume …, but dump and load

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/names.hpp"
#include "cli/files/out.hpp"
#include "cli/files/volumes.hpp"
#include "cli/output.hpp"
#include "cli/prompt.hpp"
#include "common/fileproto/volumes.hpp"
#include "common/wire/hex.hpp"

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using fileclient::FileServer;
using fileproto::VolumeDescription;

Result<std::uint64_t> parse_size(const std::string& text) {
  static constexpr std::string_view kUnits = "KMGTPE";
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  unsigned shift = 0;
  if (!rest.empty()) {
    const std::size_t unit = kUnits.find(static_cast<char>(rest[0] & ~0x20));
    if (unit != std::string_view::npos) {
      shift = static_cast<unsigned>(10 * (unit + 1));
      rest.remove_prefix(1);
      if (rest == "iB" || rest == "B")
        rest = {};
    }
  }
  if (error != std::errc() || !rest.empty() || (shift > 0 && value >> (64 - shift) != 0))
    return fail(ErrorCode::InvalidArgument,
                "\"{}\" is no size; expected a number with K, M, G or T behind it", said(text));
  return value << shift;
}

namespace {

template <typename Args>
Result<VolumeDescription> call_volume(Files& files, FileServer& server, std::string_view operation,
                                      const Args& args, bool commits = false) {
  TROTH_TRY(const auto answer,
            server.call({.operation = operation,
                         .args = fileproto::encode(args),
                         .bytes = {},
                         .id = commits ? files.client().new_id() : common::OperationId{}},
                        files.client().filled(files.calls())));
  TROTH_TRY(auto result, fileproto::decode<fileproto::VolumeResult>(answer.result()));
  return std::move(result.volume);
}

fileproto::VolumeRef by_name(const std::string& name) {
  fileproto::VolumeRef which;
  which.name = name;
  return which;
}

}  // namespace

Result<ServerPtr> server_named(Files& files, const std::string& name) {
  const auto& servers = files.client().volumes().servers();
  if (name.empty() && servers.size() == 1)
    return servers[0];
  std::string names;
  for (const ServerPtr& server : servers) {
    if (server->name() == name)
      return server;
    names += (names.empty() ? "" : ", ") + server->name();
  }
  return fail(ErrorCode::NotFound, "{} file server with --server; there are: {}",
              name.empty() ? "choose a" : "no such", names);
}

Result<ServerPtr> server_of(Files& files, const std::string& volume) {
  const auto calls = files.client().filled(files.calls());
  const auto found = files.client().volumes().find(volume, calls);
  if (found)
    return files.client().volumes().server_of(found->entry.volume, calls);
  // One that cannot be used just now is told of by its server only.
  for (const ServerPtr& server : files.client().volumes().servers()) {
    if (call_volume(files, *server, "volume-show", fileproto::VolumeShowArgs{by_name(volume)}))
      return server;
  }
  return tl::unexpected(found.error());
}

namespace {

struct VolumeArguments {
  std::string name;
  std::string other;  // a new name, a path, a size
  std::string server;
  std::string quota;
  std::optional<std::uint64_t> nodes;
  std::string owner;
  std::string mode;
  std::string attach;
  std::string write_conflict;
  std::string close_level;
  std::vector<std::string> trusted_hosts;
  std::vector<std::string> administrators;
  bool no_trusted_hosts = false;
  bool no_administrators = false;
  bool root = false;
  bool sealed = false;
  bool yes = false;
  bool json = false;
};

// Where a volume lies, as people say it.
std::string place_text(Files& files, const VolumeDescription& volume) {
  if (volume.root)
    return "/";
  return volume.attached ? quoted_name(place_of(files, *volume.attached)) : "-";
}

nlohmann::json json_of(Files& files, const VolumeDescription& volume, const std::string& server) {
  nlohmann::json object = {
      {"name", volume.name},
      {"volume", volume.volume.value},
      {"uuid", common::wire::to_hex(volume.uuid)},
      {"server", server},
      {"root", volume.root},
      {"sealed", volume.sealed},
      {"state", volume.state},
      {"write_conflict",
       volume.policy.write_conflict == fileproto::WriteConflict::Refuse ? "refuse" : "last-wins"},
      {"close",
       volume.policy.close_level == fileproto::CloseLevel::Stable ? "stable" : "committed"},
      {"trusted_hosts", volume.policy.trusted_hosts},
      {"administrators", volume.policy.administrators},
      {"used_bytes", volume.used_bytes},
      {"used_nodes", volume.used_nodes}};
  object["quota_bytes"] =
      volume.quota_bytes ? nlohmann::json(*volume.quota_bytes) : nlohmann::json();
  object["quota_nodes"] =
      volume.quota_nodes ? nlohmann::json(*volume.quota_nodes) : nlohmann::json();
  if (volume.attached)
    object["attached"] = {{"volume", volume.attached->volume.value},
                          {"node", volume.attached->node.value},
                          {"path", json_name(place_of(files, *volume.attached))}};
  if (!volume.why.empty())
    object["why"] = volume.why;
  return object;
}

std::string quota_text(const std::optional<std::uint64_t>& quota, bool bytes) {
  return !quota || *quota == 0 ? "none" : bytes ? human_size(*quota) : std::to_string(*quota);
}

void print_json_of(Files& files, const VolumeDescription& volume, const std::string& server) {
  write_json(json_of(files, volume, server));
  standard_out().write("\n");
}

void print_volume(Files& files, const VolumeDescription& volume, const std::string& server) {
  std::string numbers;
  for (const std::uint32_t host : volume.policy.trusted_hosts)
    numbers += fmt::format(" {}", host);
  std::string administrators;
  for (const std::uint32_t who : volume.policy.administrators)
    administrators += fmt::format(" {}", who);
  standard_out().write(fmt::format(
      "{}\n  number          {}\n  server          {}\n  place           {}\n"
      "  state           {}{}\n  used            {} in {} nodes\n"
      "  quota           {}, nodes: {}\n  on conflict     {}\n  close waits for {}\n"
      "  trusted hosts  {}\n  administrators {}\n  sealed          {}\n",
      said(volume.name), volume.volume.value, said(server), place_text(files, volume),
      said(volume.state), volume.why.empty() ? "" : ": " + said(volume.why, kMaxReason),
      human_size(volume.used_bytes), volume.used_nodes, quota_text(volume.quota_bytes, true),
      quota_text(volume.quota_nodes, false),
      volume.policy.write_conflict == fileproto::WriteConflict::Refuse ? "refuse" : "last-wins",
      volume.policy.close_level == fileproto::CloseLevel::Stable ? "stable" : "committed",
      numbers.empty() ? " none" : numbers,
      administrators.empty() ? " none of its own" : administrators, volume.sealed ? "yes" : "no"));
}

Status show(Files& files, const VolumeArguments& arguments) {
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.name));
  TROTH_TRY(const auto volume, call_volume(files, *server, "volume-show",
                                           fileproto::VolumeShowArgs{by_name(arguments.name)}));
  if (arguments.json)
    print_json_of(files, volume, server->name());
  else
    print_volume(files, volume, server->name());
  return {};
}

Status list(Files& files, const VolumeArguments& arguments) {
  std::vector<std::pair<VolumeDescription, std::string>> volumes;
  std::optional<common::Error> trouble;
  for (const ServerPtr& server : files.client().volumes().servers()) {
    const auto answer = server->call({.operation = "volume-list",
                                      .args = fileproto::encode(fileproto::VolumeListArgs{}),
                                      .bytes = {},
                                      .id = {}},
                                     files.client().filled(files.calls()));
    if (!answer) {
      trouble = answer.error().in("file server " + server->name());
      print_failure(*trouble);
      continue;
    }
    TROTH_TRY(auto result, fileproto::decode<fileproto::VolumeListResult>(answer->result()));
    for (auto& volume : result.volumes)
      volumes.emplace_back(std::move(volume), server->name());
  }
  std::sort(volumes.begin(), volumes.end(),
            [](const auto& a, const auto& b) { return a.first.name < b.first.name; });
  if (arguments.json) {
    JsonList json(nlohmann::json::object(), "volumes");
    for (const auto& [volume, server] : volumes)
      json.add(json_of(files, volume, server));
    json.end();
  } else if (volumes.empty() && !trouble) {
    standard_out().write(
        "There is no volume yet. The first one: troth volume create root --root\n");
  } else {
    standard_out().write(fmt::format("{:<24} {:>8}  {:<16} {:<12} {}\n", "NAME", "NUMBER", "SERVER",
                                     "STATE", "PLACE"));
    for (const auto& [volume, server] : volumes)
      standard_out().write(fmt::format("{:<24} {:>8}  {:<16} {:<12} {}\n", said(volume.name),
                                       volume.volume.value, said(server), said(volume.state),
                                       place_text(files, volume)));
  }
  return trouble ? Status(fail(trouble->code, "not all file servers answered")) : Status();
}

Status set_policy(Files& files, const VolumeArguments& arguments, const std::string& cell,
                  fileproto::VolumePolicy& policy) {
  if (!arguments.write_conflict.empty()) {
    if (arguments.write_conflict != "refuse" && arguments.write_conflict != "last-wins")
      return fail(ErrorCode::InvalidArgument, "--write-conflict: last-wins or refuse");
    policy.write_conflict = arguments.write_conflict == "refuse"
                                ? fileproto::WriteConflict::Refuse
                                : fileproto::WriteConflict::LastWins;
  }
  if (!arguments.close_level.empty()) {
    if (arguments.close_level != "stable" && arguments.close_level != "committed")
      return fail(ErrorCode::InvalidArgument, "--close: committed or stable");
    policy.close_level = arguments.close_level == "stable" ? fileproto::CloseLevel::Stable
                                                           : fileproto::CloseLevel::Committed;
  }
  const PrincipalNames names = names_from_kdc(files, cell);
  const auto add = [](std::vector<std::uint32_t>& to, std::uint32_t number) {
    to.push_back(number);
    std::sort(to.begin(), to.end());
    to.erase(std::unique(to.begin(), to.end()), to.end());
  };
  if (arguments.no_trusted_hosts)
    policy.trusted_hosts.clear();
  if (arguments.no_administrators)
    policy.administrators.clear();
  for (const std::string& host : arguments.trusted_hosts) {
    TROTH_TRY(const auto number, names.number(fileproto::AclWho::Host, host));
    add(policy.trusted_hosts, number);
  }
  for (const std::string& who : arguments.administrators) {
    const bool group = who.find(':') != std::string::npos;
    TROTH_TRY(const auto number,
              names.number(group ? fileproto::AclWho::Group : fileproto::AclWho::User, who));
    add(policy.administrators, number);
  }
  return {};
}

Status attach_at(Files& files, FileServer& server, const std::string& name,
                 const std::string& path) {
  TROTH_TRY(const auto parsed, files.path(path));
  TROTH_TRY(const auto directory,
            files.walker().find(parsed, fileclient::Follow::Last, files.calls()));
  if (!directory.is_directory())
    return fail(ErrorCode::InvalidArgument, "{}: not a directory", said(path));
  fileproto::VolumeAttachArgs args;
  args.which = by_name(name);
  args.dir = directory.fid;
  TROTH_TRY(const auto volume, call_volume(files, server, "volume-attach", args, true));
  static_cast<void>(volume);
  files.client().volumes().forget();
  standard_out().write(fmt::format("Volume {} is at {}.\n", name, shown_name(path)));
  return {};
}

Status create(Files& files, const VolumeArguments& arguments, const std::string& cell) {
  TROTH_TRY(const ServerPtr server, server_named(files, arguments.server));
  fileproto::VolumeCreateArgs args;
  args.name = arguments.name;
  args.root = arguments.root;
  args.sealed = arguments.sealed;
  TROTH_TRY_VOID(set_policy(files, arguments, cell, args.policy));
  if (!arguments.quota.empty()) {
    TROTH_TRY(args.quota_bytes, parse_size(arguments.quota));
  }
  args.quota_nodes = arguments.nodes;
  if (!arguments.owner.empty()) {
    TROTH_TRY(args.uid,
              names_from_kdc(files, cell).number(fileproto::AclWho::User, arguments.owner));
  }
  if (!arguments.mode.empty()) {
    const auto [end, error] = std::from_chars(
        arguments.mode.data(), arguments.mode.data() + arguments.mode.size(), args.mode, 8);
    if (error != std::errc() || *end != '\0' || args.mode > fileproto::kMaxMode)
      return fail(ErrorCode::InvalidArgument, "--mode: octal digits, as in 0750");
  }
  TROTH_TRY(const auto volume, call_volume(files, *server, "volume-create", args));
  files.client().volumes().forget();
  standard_out().write(fmt::format("Made volume {}, number {}, on {}.\n", said(volume.name),
                                   volume.volume.value, server->name()));
  if (!arguments.attach.empty())
    return attach_at(files, *server, arguments.name, arguments.attach);
  if (!arguments.root)
    standard_out().write(fmt::format(
        "Its files are at {0}:/ ; to have them in a directory: troth volume attach {0} DIR\n",
        said(volume.name)));
  return {};
}

Status remove(Files& files, const VolumeArguments& arguments) {
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.name));
  if (!arguments.yes) {
    auto typed = ask_line(fmt::format(
        "All files in volume {} will be gone, with their history. Type its name to go on: ",
        said(arguments.name)));
    if (!typed)
      return fail(ErrorCode::InvalidArgument, "without a terminal, say --yes to delete volume {}",
                  said(arguments.name));
    if (*typed != arguments.name)
      return fail(ErrorCode::InvalidArgument, "that is not its name: nothing was deleted");
  }
  TROTH_TRY(
      const auto answer,
      server->call({.operation = "volume-delete",
                    .args = fileproto::encode(fileproto::VolumeDeleteArgs{by_name(arguments.name)}),
                    .bytes = {},
                    .id = {}},
                   files.client().filled(files.calls())));
  static_cast<void>(answer);
  files.client().volumes().forget();
  standard_out().write(fmt::format("Volume {} is deleted.\n", said(arguments.name)));
  return {};
}

Status rename(Files& files, const VolumeArguments& arguments) {
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.name));
  TROTH_TRY(const auto volume,
            call_volume(files, *server, "volume-rename",
                        fileproto::VolumeRenameArgs{by_name(arguments.name), arguments.other}));
  files.client().volumes().forget();
  standard_out().write(
      fmt::format("Volume {} is now {}.\n", said(arguments.name), said(volume.name)));
  return {};
}

Status quota(Files& files, const VolumeArguments& arguments) {
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.name));
  Result<VolumeDescription> volume = VolumeDescription{};
  if (arguments.other.empty() && !arguments.nodes) {
    volume = call_volume(files, *server, "volume-show",
                         fileproto::VolumeShowArgs{by_name(arguments.name)});
  } else {
    fileproto::VolumeQuotaArgs args;
    args.which = by_name(arguments.name);
    args.nodes = arguments.nodes;
    if (arguments.other == "none") {
      args.bytes = 0;
    } else if (!arguments.other.empty()) {
      TROTH_TRY(args.bytes, parse_size(arguments.other));
    }
    volume = call_volume(files, *server, "volume-quota", args, true);
  }
  if (!volume)
    return tl::unexpected(volume.error());
  if (arguments.json) {
    print_json_of(files, *volume, server->name());
    return {};
  }
  standard_out().write(fmt::format("Volume {} has {} of {} used, and {} of {} nodes.\n",
                                   said(volume->name), human_size(volume->used_bytes),
                                   quota_text(volume->quota_bytes, true), volume->used_nodes,
                                   quota_text(volume->quota_nodes, false)));
  return {};
}

Status policy(Files& files, const VolumeArguments& arguments, const std::string& cell) {
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.name));
  TROTH_TRY(auto volume, call_volume(files, *server, "volume-show",
                                     fileproto::VolumeShowArgs{by_name(arguments.name)}));
  const fileproto::VolumePolicy before = volume.policy;
  TROTH_TRY_VOID(set_policy(files, arguments, cell, volume.policy));
  if (volume.policy != before) {
    fileproto::VolumePolicyArgs args;
    args.which = by_name(arguments.name);
    args.policy = volume.policy;
    TROTH_TRY(volume, call_volume(files, *server, "volume-policy", args));
  }
  if (arguments.json)
    print_json_of(files, volume, server->name());
  else
    print_volume(files, volume, server->name());
  return {};
}

Status attach(Files& files, const VolumeArguments& arguments) {
  TROTH_TRY(const ServerPtr server, server_of(files, arguments.name));
  return attach_at(files, *server, arguments.name, arguments.other);
}

Status detach(Files& files, const VolumeArguments& arguments) {
  std::string name = arguments.name;
  // By the directory that it lies on.
  if (name.find('/') != std::string::npos) {
    TROTH_TRY(const auto found, files.find(name));
    if (!found.is_root())
      return fail(ErrorCode::NotFound, "{}: no volume is attached here", said(name));
    TROTH_TRY(const auto info, files.client().volumes().find(found.fid.volume,
                                                             files.client().filled(files.calls())));
    name = info.entry.name;
  }
  TROTH_TRY(const ServerPtr server, server_of(files, name));
  fileproto::VolumeDetachArgs args;
  args.which = by_name(name);
  TROTH_TRY(const auto volume, call_volume(files, *server, "volume-detach", args, true));
  static_cast<void>(volume);
  files.client().volumes().forget();
  standard_out().write(
      fmt::format("Volume {0} is attached nowhere now; its files are at {0}:/\n", said(name)));
  return {};
}

struct VolumeCommand {
  Command command;
  std::shared_ptr<VolumeArguments> arguments;
};

using Run = std::function<Status(Files&, const VolumeArguments&)>;

VolumeCommand add(Command group, Session& session, const FileContextPtr& context, const char* name,
                  const char* help, Run run) {
  auto arguments = std::make_shared<VolumeArguments>();
  Command command = add_file_command(group, session, context, name, help,
                                     [arguments, run = std::move(run)](Files& files) {
                                       const Status done = run(files, *arguments);
                                       return done ? kExitOk : failed(done.error());
                                     });
  return {command, std::move(arguments)};
}

void add_policy_options(Command command, VolumeArguments& arguments) {
  command
      .add_option("--write-conflict", arguments.write_conflict,
                  "What becomes of a store whose base somebody else has replaced.")
      .type_name("last-wins|refuse");
  command.add_option("--close", arguments.close_level, "What a close waits for.")
      .type_name("committed|stable");
  command
      .add_option("--trust-host", arguments.trusted_hosts,
                  "A host that may speak for its local users here.")
      .type_name("HOST")
      .repeatable();
  command
      .add_option("--administrator", arguments.administrators,
                  "A user or group who may do everything here.")
      .type_name("NAME")
      .repeatable();
}

}  // namespace

void add_volume_commands(Command app, Session& session, const FileContextPtr& context) {
  const Command group = app.add_group("volume", "Make volumes, place them, and look after them.");
  auto added = add(group, session, context, "create", "Make a volume.",
                   [context](Files& files, const VolumeArguments& arguments) {
                     return create(files, arguments, context->cell);
                   });
  added.command.add_option("name", added.arguments->name, "Its name")
      .type_name("VOLUME")
      .required();
  added.command.add_flag("--root", added.arguments->root, "Where paths of the cell begin.");
  added.command.add_flag("--sealed", added.arguments->sealed, "Encrypt what is on the disk.");
  added.command.add_option("--server", added.arguments->server, "On which file server.")
      .type_name("NAME");
  added.command.add_option("--quota", added.arguments->quota, "Most bytes, as in 20G.")
      .type_name("SIZE");
  added.command.add_option("--nodes", added.arguments->nodes, "Most files and directories.");
  added.command.add_option("--owner", added.arguments->owner, "Whose its top directory is.")
      .type_name("USER");
  added.command.add_option("--mode", added.arguments->mode, "Of its top directory; 0755.")
      .type_name("MODE");
  added.command.add_option("--attach", added.arguments->attach, "At once, in this directory.")
      .type_name("REMOTE");
  add_policy_options(added.command, *added.arguments);

  added = add(group, session, context, "list", "List volumes.", list);
  added.command.add_flag("--json", added.arguments->json, "One JSON object.");

  added = add(group, session, context, "show", "Show everything about a volume.", show);
  added.command.add_option("name", added.arguments->name, "Which").type_name("VOLUME").required();
  added.command.add_flag("--json", added.arguments->json, "One JSON object.");

  added = add(group, session, context, "delete", "Delete a volume with all files in it.", remove);
  added.command.add_option("name", added.arguments->name, "Which").type_name("VOLUME").required();
  added.command.add_flag("--yes", added.arguments->yes, "Do not ask.");

  added = add(group, session, context, "rename", "Give a volume another name.", rename);
  added.command.add_option("name", added.arguments->name, "Which").type_name("VOLUME").required();
  added.command.add_option("new", added.arguments->other, "Its new name")
      .type_name("VOLUME")
      .required();

  added = add(group, session, context, "quota", "Show or set how much a volume may hold.", quota);
  added.command.add_option("name", added.arguments->name, "Which").type_name("VOLUME").required();
  added.command.add_option("size", added.arguments->other, "Most bytes, as in 20G; or none")
      .type_name("SIZE");
  added.command.add_option("--nodes", added.arguments->nodes,
                           "Most files and directories; 0: no limit.");
  added.command.add_flag("--json", added.arguments->json, "One JSON object.");

  added = add(group, session, context, "policy", "Show or change a volume's policy.",
              [context](Files& files, const VolumeArguments& arguments) {
                return policy(files, arguments, context->cell);
              });
  added.command.add_option("name", added.arguments->name, "Which").type_name("VOLUME").required();
  add_policy_options(added.command, *added.arguments);
  added.command.add_flag("--no-trusted-hosts", added.arguments->no_trusted_hosts, "Trust no host.");
  added.command.add_flag("--no-administrators", added.arguments->no_administrators,
                         "None but the cell's.");
  added.command.add_flag("--json", added.arguments->json, "One JSON object.");

  added = add(group, session, context, "attach", "Put a volume's files into a directory.", attach);
  added.command.add_option("name", added.arguments->name, "Which").type_name("VOLUME").required();
  added.command.add_option("directory", added.arguments->other, "Where")
      .type_name("REMOTE")
      .required();

  added =
      add(group, session, context, "detach", "Take them out again; nothing is deleted.", detach);
  added.command.add_option("name", added.arguments->name, "Which, or the directory that it lies on")
      .type_name("REMOTE")
      .required();

  add_volume_stream_commands(group, session, context);
}

}  // namespace cli
