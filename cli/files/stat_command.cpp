// troth stat, readlink

#include <cerrno>

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"

namespace cli {
namespace {

using common::fail_posix;
using fileclient::Found;

struct StatArguments {
  std::vector<std::string> paths;
  bool follow = false;
  std::string format;
  bool json = false;
};

std::string link_target(Files& files, const Found& found) {
  if (!found.is_symlink())
    return {};
  fileproto::ReadlinkArgs args;
  args.fid = found.fid;
  const auto link = files.client().ask(args, files.calls());
  return link ? link->target : "?";
}

std::string field(Files& files, const Found& found, const std::string& shown, char what) {
  constexpr fileproto::FileTime kNsPerS = 1'000'000'000;
  constexpr std::uint64_t kBlock = 512;
  const fileproto::Attributes& node = found.node;
  switch (what) {
    case 'n':
      return shown;
    case 'N':
      return quoted_name(shown) +
             (found.is_symlink() ? " -> " + quoted_name(link_target(files, found)) : "");
    case 's':
      return std::to_string(node.size);
    case 'b':
      return std::to_string((node.allocated + kBlock - 1) / kBlock);
    case 'B':
      return std::to_string(kBlock);
    case 'F':
      return node.kind == fileproto::NodeKind::File
                 ? (node.size == 0 ? "regular empty file" : "regular file")
             : found.is_symlink() ? "symbolic link"
                                  : std::string(kind_name(node.kind));
    case 'a':
      return fmt::format("{:o}", node.mode);
    case 'A':
      return mode_text(node).substr(0, 10);
    case 'u':
      return std::to_string(node.uid);
    case 'g':
      return std::to_string(node.gid);
    case 'h':
      return std::to_string(node.links);
    case 'i':
      return std::to_string(node.node.value);
    case 'd':
      return std::to_string(found.fid.volume.value);
    case 'y':
      return full_time(node.mtime);
    case 'Y':
      return std::to_string(node.mtime / kNsPerS);
    case 'z':
      return full_time(node.ctime);
    case 'Z':
      return std::to_string(node.ctime / kNsPerS);
    case 'x':
      return full_time(node.atime);
    case 'X':
      return std::to_string(node.atime / kNsPerS);
    case 'v':
      return std::to_string(node.version.value);
    case '%':
      return "%";
    default:
      return "?";
  }
}

std::string formatted(Files& files, const Found& found, const std::string& shown,
                      std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char next = i + 1 < format.size() ? format[i + 1] : '\0';
    if (format[i] == '%' && next != '\0') {
      out += field(files, found, shown, next);
      ++i;
    } else if (format[i] == '\\' && (next == 'n' || next == 't' || next == '0' || next == '\\')) {
      out += next == 'n' ? '\n' : next == 't' ? '\t' : next == '0' ? '\0' : '\\';
      ++i;
    } else {
      out += format[i];
    }
  }
  return out;
}

constexpr std::string_view kStandard =
    "  File: %N\n  Size: %s\tBlocks: %b\t%F\n  Node: %i\tVolume: %d\tLinks: %h\n"
    "Access: (%a/%A)\tUid: %u\tGid: %g\nModify: %y\nChange: %z\nVersion: %v\n";

int stat(Files& files, const StatArguments& arguments) {
  int code = kExitOk;
  std::optional<JsonList> json;
  if (arguments.json)
    json.emplace(nlohmann::json::object(), "nodes");
  for (const std::string& path : arguments.paths) {
    auto found =
        files.find(path, arguments.follow ? fileclient::Follow::Last : fileclient::Follow::NotLast);
    // What directories' pages leave out comes with a question for the node itself.
    if (found) {
      fileproto::GetattrArgs args;
      args.fids = {found->fid};
      if (auto whole = files.client().ask(args, files.calls());
          whole && whole->nodes.size() == 1 && whole->nodes[0])
        found->node = *whole->nodes[0];
    }
    if (!found) {
      print_failure(found.error());
      code = kExitFailure;
      continue;
    }
    if (json) {
      nlohmann::json item = describe(found->node);
      item["path"] = json_name(found->path);
      item["volume"] = found->fid.volume.value;
      if (found->is_symlink())
        item["target"] = json_name(link_target(files, *found));
      json->add(item);
    } else {
      const bool standard = arguments.format.empty();
      standard_out().write(formatted(files, *found, path,
                                     standard ? kStandard : std::string_view(arguments.format)) +
                           (standard ? "" : "\n"));
    }
  }
  if (json)
    json->end();
  return code;
}

int readlink(Files& files, const std::vector<std::string>& paths) {
  int code = kExitOk;
  for (const std::string& path : paths) {
    const auto found = files.find(path, fileclient::Follow::NotLast);
    if (!found || !found->is_symlink()) {
      print_failure(found ? fail_posix(EINVAL, "{}: is no symbolic link", said(path)).value()
                          : found.error());
      code = kExitFailure;
      continue;
    }
    standard_out().write(link_target(files, *found) + "\n");
  }
  return code;
}

}  // namespace

void add_stat_commands(Command app, Session& session, const FileContextPtr& context) {
  auto stat_arguments = std::make_shared<StatArguments>();
  auto command =
      add_file_command(app, session, context, "stat", "Show everything known of a node.",
                       [stat_arguments](Files& files) { return stat(files, *stat_arguments); });
  command.add_option("paths", stat_arguments->paths, "What to show").type_name("REMOTE").required();
  command.add_flag("-L,--dereference", stat_arguments->follow, "Follow links.");
  command.add_option("-c,--format", stat_arguments->format,
                     "Print this instead: %n name, %N quoted, %s size, %b blocks of %B bytes, %F "
                     "kind, %a %A mode, %u %g owner, %h links, %i node, %d volume, %v version, "
                     "%x %y %z times, %X %Y %Z in seconds.");
  command.add_flag("--json", stat_arguments->json, "One JSON object.");

  auto links = std::make_shared<std::vector<std::string>>();
  command = add_file_command(app, session, context, "readlink", "Show where symbolic links lead.",
                             [links](Files& files) { return readlink(files, *links); });
  command.add_option("paths", *links, "The links").type_name("REMOTE").required();
}

}  // namespace cli
