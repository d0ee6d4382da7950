// troth getfacl, setfacl, whynot

#include <nlohmann/json.hpp>

#include "cli/files/access_list.hpp"
#include "cli/files/files.hpp"
#include "cli/files/names.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using fileclient::Found;

// --- getfacl ---

struct GetArguments {
  std::vector<std::string> paths;
  bool afs = false;
  bool json = false;
};

Result<fileproto::AclResult> acl_of(Files& files, const Found& found) {
  fileproto::AclArgs args;
  args.fid = found.fid;
  auto result = files.client().ask(args, files.calls());
  return result ? std::move(result) : tl::unexpected(result.error().in(said(found.path)));
}

std::string afs_text(const std::string& path, const fileproto::AclResult& acl,
                     const PrincipalNames& names) {
  return fmt::format("Access list for {} is\n{}", shown_name(path),
                     acl.acl
                         ? afs_list_text(*acl.acl, names)
                         : fmt::format("  none: the mode {} says who may\n", mode_text(acl.node)));
}

Status getfacl_one(Files& files, const PrincipalNames& names, const std::string& path, bool afs,
                   JsonList* json) {
  TROTH_TRY(const Found found, files.find(path));
  TROTH_TRY(const auto acl, acl_of(files, found));
  if (json != nullptr) {
    nlohmann::json item = {{"path", json_name(found.path)},
                           {"mode", fmt::format("{:04o}", acl.node.mode)},
                           {"uid", acl.node.uid},
                           {"gid", acl.node.gid},
                           {"governed_by", acl.governor.value}};
    item["entries"] = acl.acl ? nlohmann::json::array() : nlohmann::json();
    for (const auto& entry : acl.acl.value_or(fileproto::Acl{}))
      item["entries"].push_back(acl_entry_text(entry, names));
    json->add(item);
    return {};
  }
  if (afs) {
    standard_out().write(afs_text(path, acl, names) + "\n");
    return {};
  }
  std::string text =
      fmt::format("# file: {}\n# owner: {}\n# group: {}\n# mode: {}\n", shown_name(path),
                  names.name(fileproto::AclWho::User, acl.node.uid),
                  names.name(fileproto::AclWho::Group, acl.node.gid), mode_text(acl.node));
  if (!acl.acl)
    text += "# no access list: the mode says who may\n";
  else if (found.fid.node != acl.governor)
    text += "# the list of the directory that it is in\n";
  for (const auto& entry : acl.acl.value_or(fileproto::Acl{}))
    text += acl_entry_text(entry, names) + "\n";
  standard_out().write(text + "\n");
  return {};
}

int getfacl(Files& files, const GetArguments& arguments, const std::string& cell) {
  const PrincipalNames names = names_from_kdc(files, cell);
  std::optional<JsonList> json;
  if (arguments.json)
    json.emplace(nlohmann::json::object(), "nodes");
  int code = kExitOk;
  for (const std::string& path : arguments.paths) {
    if (const Status done = getfacl_one(files, names, path, arguments.afs, json ? &*json : nullptr);
        !done)
      code = failed(done.error());
  }
  if (json)
    json->end();
  return code;
}

// --- setfacl ---

struct SetArguments {
  std::vector<std::string> paths;
  std::vector<std::string> modify;
  std::vector<std::string> remove;
  std::vector<std::string> set;
  bool none = false;
  bool recursive = false;
};

// What is to be done with each directory's list.
struct Edits {
  std::optional<fileproto::Acl> whole;
  fileproto::Acl changes;  // rights 0: goes
  bool none = false;
};

Result<Edits> edits_of(const SetArguments& arguments, const PrincipalNames& names) {
  Edits edits;
  edits.none = arguments.none;
  if (!arguments.set.empty())
    edits.whole.emplace();
  for (const std::string& text : arguments.set) {
    TROTH_TRY(const auto entry, parse_acl_entry(text, names));
    set_acl_entry(*edits.whole, entry);
  }
  for (const std::string& text : arguments.modify) {
    TROTH_TRY(edits.changes.emplace_back(), parse_acl_entry(text, names));
  }
  for (const std::string& text : arguments.remove) {
    TROTH_TRY(edits.changes.emplace_back(), parse_acl_who(text, names));
  }
  if (!edits.whole && edits.changes.empty() && !edits.none) {
    return fail(ErrorCode::InvalidArgument,
                "say what to change: -m ENTRY, -x WHO, --set ENTRY or -b");
  }
  return edits;
}

Status set_list(Files& files, const Found& directory, const Edits& edits) {
  fileproto::ChangeArgs<fileproto::SetAcl> args;
  args.change.fid = directory.fid;
  if (!edits.none) {
    TROTH_TRY(auto present, acl_of(files, directory));
    // The list is written as a whole: nobody else's change is to be lost by that.
    args.scope.conditions = {fileproto::VersionIs{directory.fid, present.node.version}};
    fileproto::Acl acl = edits.whole ? *edits.whole : present.acl.value_or(fileproto::Acl{});
    for (const auto& entry : edits.changes)
      set_acl_entry(acl, entry);
    if (acl.size() > fileproto::kMaxAclEntries)
      return fail(ErrorCode::TooLarge, "{}: {} entries; at most {}", said(directory.path),
                  acl.size(), fileproto::kMaxAclEntries);
    args.change.acl = std::move(acl);
  }
  const auto done = files.client().change(args, files.calls());
  return done ? Status() : tl::unexpected(done.error().in(said(directory.path)));
}

class ListSetter final : public fileclient::TreeVisitor {
 public:
  ListSetter(Files& files, const Edits& edits) : files_(files), edits_(edits) {}

  Result<bool> enter(const fileclient::TreeEntry& entry) override {
    if (!entry.is_directory())
      return false;
    const Found found{entry.fid, entry.node, entry.dir, entry.name, entry.path};
    if (const Status done = set_list(files_, found, edits_); !done)
      TROTH_TRY_VOID(trouble("", done.error()));
    return true;
  }
  Status trouble(const std::string& path, const Error& error) override {
    if (error.code == ErrorCode::Cancelled)
      return tl::unexpected(error);
    code = failed(path.empty() ? error : error.in(said(path)));
    return {};
  }
  int code = kExitOk;

 private:
  Files& files_;
  const Edits& edits_;
};

int setfacl(Files& files, const SetArguments& arguments, const std::string& cell) {
  const auto edits = edits_of(arguments, names_from_kdc(files, cell));
  if (!edits) {
    print_failure(edits.error());
    return edits.error().code == ErrorCode::InvalidArgument ? kExitUsage : kExitFailure;
  }
  int code = kExitOk;
  for (const std::string& path : arguments.paths) {
    const auto found = files.find(path);
    if (!found) {
      code = failed(found.error());
      continue;
    }
    if (!found->is_directory()) {
      code =
          failed(fail(ErrorCode::InvalidArgument,
                      "{}: lists are of directories; that of the directory that it is in governs "
                      "a file",
                      said(path))
                     .value());
      continue;
    }
    if (!arguments.recursive) {
      if (const Status done = set_list(files, *found, *edits); !done)
        code = failed(done.error());
      continue;
    }
    ListSetter setter(files, *edits);
    const Status walked = fileclient::walk_tree(files.client(), *found, setter,
                                                {.calls = files.calls(), .enter_volumes = false});
    if (!walked)
      code = failed(walked.error());
    else if (setter.code != kExitOk)
      code = setter.code;
  }
  return code;
}

// --- whynot ---

struct WhynotArguments {
  std::string operation;
  std::string path;
  bool json = false;
};

void print_verdict(const WhynotArguments& arguments, const fileproto::WhynotResult& verdict) {
  if (arguments.json) {
    write_json({{"operation", arguments.operation},
                {"path", json_name(arguments.path)},
                {"allowed", verdict.allowed},
                {"rule", verdict.rule},
                {"errno", std::string(common::errno_name(verdict.error_number))}});
    standard_out().write("\n");
  } else {
    standard_out().write(fmt::format("{}: {}\n", verdict.allowed ? "allowed" : "refused",
                                     said(verdict.rule, kMaxReason)));
  }
}

Result<fileproto::WhynotResult> why_not(Files& files, const WhynotArguments& arguments) {
  TROTH_TRY(const auto path, files.path(arguments.path));
  fileproto::WhynotArgs args;
  args.operation = arguments.operation;
  // A node that is there, else a name in a directory.
  const auto found = files.walker().find(path, fileclient::Follow::NotLast, files.calls());
  if (found) {
    args.fid = found->fid;
    // What removes or moves a name is asked of the directory that it is in.
    if (!found->is_root() && (args.operation == "unlink" || args.operation == "rmdir" ||
                              args.operation == "rename" || args.operation == "link")) {
      args.fid = found->dir;
      args.name = found->name;
    }
    return files.client().ask(args, files.calls());
  }
  // The way there is closed: that is the reason.
  if (found.error().code == ErrorCode::PermissionDenied)
    return fileproto::WhynotResult{false, found.error().message, found.error().error_number};
  if (found.error().code != ErrorCode::NotFound)
    return tl::unexpected(found.error());
  const auto spot = files.walker().find_spot(path, files.calls());
  if (!spot)
    return tl::unexpected(found.error());
  args.fid = spot->dir.fid;
  args.name = spot->name;
  auto answer = files.client().ask(args, files.calls());
  // An operation that needs something to be there.
  if (!answer && answer.error().code == ErrorCode::InvalidArgument && !spot->node)
    return tl::unexpected(found.error());
  return answer;
}

int whynot(Files& files, const WhynotArguments& arguments) {
  const auto verdict = why_not(files, arguments);
  if (!verdict)
    return failed(verdict.error());
  print_verdict(arguments, *verdict);
  return verdict->allowed ? kExitOk : kExitFailure;
}

}  // namespace

void add_access_commands(Command app, Session& session, const FileContextPtr& context) {
  auto get = std::make_shared<GetArguments>();
  auto command = add_file_command(
      app, session, context, "getfacl", "Show who may do what with files.",
      [get, context](Files& files) { return getfacl(files, *get, context->cell); });
  command.add_option("paths", get->paths, "Of what").type_name("REMOTE").required();
  command.add_flag("--afs", get->afs, "As AFS shows it: normal rights, negative rights.");
  command.add_flag("--json", get->json, "One JSON object.");

  auto set = std::make_shared<SetArguments>();
  command = add_file_command(
      app, session, context, "setfacl", "Say who may do what with the files in a directory.",
      [set, context](Files& files) { return setfacl(files, *set, context->cell); });
  command.add_option("paths", set->paths, "The directories").type_name("REMOTE").required();
  command
      .add_option("-m,--modify", set->modify,
                  "Entries that change or come: [deny:]user:NAME:RIGHTS, group:NAME:RIGHTS, "
                  "anyuser:RIGHTS, authuser:RIGHTS; or as AFS writes it, in one word: \"NAME "
                  "RIGHTS\", \"-NAME RIGHTS\" to deny. Rights: r read, l look, i insert, d "
                  "delete, w write, k lock, a administer; or read, write, all.")
      .type_name("ENTRY")
      .repeatable();
  command.add_option("-x,--remove", set->remove, "Entries that go: user:NAME, anyuser, ...")
      .type_name("WHO")
      .repeatable();
  command.add_option("--set", set->set, "These entries, and no others.")
      .type_name("ENTRY")
      .repeatable();
  command.add_flag("-b,--remove-all", set->none, "No list: the mode says who may.");
  command.add_flag("-R,--recursive", set->recursive, "Directories below, too.");

  auto why = std::make_shared<WhynotArguments>();
  command = add_file_command(app, session, context, "whynot",
                             "Explain why something is allowed or refused.",
                             [why](Files& files) { return whynot(files, *why); });
  command
      .add_option("operation", why->operation,
                  "read, write, execute, search, or a call such as create, unlink, rename, setattr")
      .type_name("OPERATION")
      .required();
  command.add_option("path", why->path, "With what").type_name("REMOTE").required();
  command.add_flag("--json", why->json, "One JSON object.");
}

}  // namespace cli
