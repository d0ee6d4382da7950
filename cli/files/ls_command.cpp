// troth ls

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/fileclient/tree/tree_walk.hpp"
#include "common/utf8.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;
using fileclient::Found;

// Entries whose columns are made to fit together. More are shown in parts, so that a directory of a
// million does not have to be held, unless it is to be sorted.
constexpr std::size_t kPart = 8'192;

struct LsArguments {
  std::vector<std::string> paths;
  bool all = false;
  bool almost_all = false;
  bool directory = false;
  bool long_form = false;
  bool one_column = false;
  bool recursive = false;
  bool human = false;
  bool by_time = false;
  bool by_size = false;
  bool reverse = false;
  bool node = false;
  bool classify = false;
  bool json = false;

  [[nodiscard]] bool sorts() const { return by_time || by_size || reverse; }
};

struct LsRow {
  std::string name;
  fileproto::Attributes node;
  common::Fid fid;
};

class Ls {
 public:
  Ls(Files& files, const LsArguments& arguments) : files_(files), arguments_(arguments) {}

  int run();

 private:
  Status show_directory(const Found& directory, bool heading);
  Status show_rows(std::vector<LsRow>& rows, const std::string& path);
  void show_columns(const std::vector<LsRow>& rows);
  Status show_long(const std::vector<LsRow>& rows, const std::string& path);
  Status add_dots(const Found& directory, std::vector<LsRow>& rows);
  [[nodiscard]] std::string label(const LsRow& row) const;
  void sort(std::vector<LsRow>& rows) const;
  void fail(const common::Error& error) {
    print_failure(error);
    code_ = kExitFailure;
  }

  Files& files_;
  const LsArguments& arguments_;
  std::optional<JsonList> json_;
  bool wrote_ = false;  // so that the next directory begins after an empty line
  int code_ = kExitOk;
};

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text)
    width += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return width;
}

std::size_t output_width() {
  constexpr std::size_t kUsual = 80;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return kUsual;
}

std::string Ls::label(const LsRow& row) const {
  std::string text = shown_name(row.name);
  if (!arguments_.classify)
    return text;
  switch (row.node.kind) {
    case fileproto::NodeKind::Directory:
      return text + "/";
    case fileproto::NodeKind::Symlink:
      return arguments_.long_form ? text : text + "@";
    case fileproto::NodeKind::Fifo:
      return text + "|";
    case fileproto::NodeKind::Socket:
      return text + "=";
    default:
      return (row.node.mode & 0111) != 0 ? text + "*" : text;
  }
}

void Ls::sort(std::vector<LsRow>& rows) const {
  std::stable_sort(rows.begin(), rows.end(), [&](const LsRow& a, const LsRow& b) {
    if (arguments_.by_time && a.node.mtime != b.node.mtime)
      return a.node.mtime > b.node.mtime;
    if (arguments_.by_size && a.node.size != b.node.size)
      return a.node.size > b.node.size;
    return a.name < b.name;
  });
  if (arguments_.reverse)
    std::reverse(rows.begin(), rows.end());
}

void Ls::show_columns(const std::vector<LsRow>& rows) {
  std::vector<std::string> labels;
  std::size_t widest = 0;
  for (const LsRow& row : rows) {
    labels.push_back((arguments_.node ? fmt::format("{} ", row.node.node.value) : "") + label(row));
    widest = std::max(widest, width_of(labels.back()) + 2);
  }
  Out& out = standard_out();
  const bool columns = out.is_terminal() && !arguments_.one_column;
  const std::size_t across =
      columns ? std::max<std::size_t>(1, output_width() / std::max<std::size_t>(1, widest)) : 1;
  const std::size_t down = (labels.size() + across - 1) / across;
  for (std::size_t y = 0; y < down; ++y) {
    for (std::size_t i = y; i < labels.size(); i += down) {
      out.write(labels[i]);
      if (i + down < labels.size())
        out.write(std::string(widest - width_of(labels[i]), ' '));
    }
    out.write("\n");
  }
}

Status Ls::show_long(const std::vector<LsRow>& rows, const std::string& path) {
  struct Columns {
    std::string links, uid, gid, size;
  };
  std::vector<Columns> cells;
  std::size_t widths[4] = {};
  for (const LsRow& row : rows) {
    const bool device = row.node.kind == fileproto::NodeKind::CharacterDevice ||
                        row.node.kind == fileproto::NodeKind::BlockDevice;
    Columns cell{std::to_string(row.node.links), std::to_string(row.node.uid),
                 std::to_string(row.node.gid),
                 device             ? fmt::format("{:#x}", row.node.device)
                 : arguments_.human ? human_size(row.node.size)
                                    : std::to_string(row.node.size)};
    widths[0] = std::max(widths[0], cell.links.size());
    widths[1] = std::max(widths[1], cell.uid.size());
    widths[2] = std::max(widths[2], cell.gid.size());
    widths[3] = std::max(widths[3], cell.size.size());
    cells.push_back(std::move(cell));
  }
  const auto now = common::SystemClock().wall_now().time_since_epoch().count();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const LsRow& row = rows[i];
    std::string line = arguments_.node ? fmt::format("{} ", row.node.node.value) : "";
    line += fmt::format("{:<11} {:>{}} {:>{}} {:>{}} {:>{}} {} {}", mode_text(row.node),
                        cells[i].links, widths[0], cells[i].uid, widths[1], cells[i].gid, widths[2],
                        cells[i].size, widths[3], list_time(row.node.mtime, now), label(row));
    if (row.node.kind == fileproto::NodeKind::Symlink) {
      fileproto::ReadlinkArgs args;
      args.fid = row.fid;
      const auto link = files_.client().ask(args, files_.calls());
      if (link)
        line += " -> " + shown_name(link->target);
      else if (files_.interrupted())
        return tl::unexpected(link.error());
      else
        fail(link.error().in(fileclient::joined(path, row.name)));
    }
    if (row.node.attached != common::VolumeId{})
      line += "  (a volume is attached here)";
    standard_out().write(line + "\n");
  }
  return {};
}

Status Ls::show_rows(std::vector<LsRow>& rows, const std::string& path) {
  if (arguments_.sorts())
    sort(rows);
  if (json_) {
    for (const LsRow& row : rows) {
      nlohmann::json item = describe(row.node);
      item["name"] = json_name(row.name);
      if (arguments_.recursive || arguments_.paths.size() > 1)
        item["path"] = json_name(fileclient::joined(path, row.name));
      json_->add(item);
    }
  } else if (arguments_.long_form) {
    TROTH_TRY_VOID(show_long(rows, path));
  } else {
    show_columns(rows);
  }
  rows.clear();
  return {};
}

Status Ls::add_dots(const Found& directory, std::vector<LsRow>& rows) {
  rows.push_back({".", directory.node, directory.fid});
  TROTH_TRY(auto up, files_.path(directory.path));
  up.path = fileclient::joined(up.path, "..");
  TROTH_TRY(const Found above, files_.walker().find(up, fileclient::Follow::Last, files_.calls()));
  rows.push_back({"..", above.node, above.fid});
  return {};
}

Status Ls::show_directory(const Found& top, bool heading) {
  std::vector<Found> waiting{top};
  while (!waiting.empty()) {
    const Found directory = std::move(waiting.back());
    waiting.pop_back();
    if ((heading || arguments_.recursive) && !json_) {
      standard_out().write(fmt::format("{}{}:\n", wrote_ ? "\n" : "", shown_name(directory.path)));
      wrote_ = true;
    }
    std::vector<LsRow> rows;
    std::vector<Found> below;
    if (arguments_.all && !json_)
      TROTH_TRY_VOID(add_dots(directory, rows));
    fileclient::Listing listing(files_.client(), directory.fid, files_.calls());
    for (;;) {
      const auto next = listing.next();
      if (!next) {
        if (files_.interrupted())
          return tl::unexpected(next.error());
        fail(next.error().in(said(directory.path)));
        break;
      }
      if (*next == nullptr)
        break;
      const fileproto::ListEntry& entry = **next;
      if (entry.name.starts_with('.') && !arguments_.all && !arguments_.almost_all)
        continue;
      const common::Fid fid{directory.fid.volume, entry.node.node};
      rows.push_back({entry.name, entry.node, fid});
      if (arguments_.recursive && entry.node.kind == fileproto::NodeKind::Directory) {
        Found sub;
        sub.fid = fid;
        sub.node = entry.node;
        sub.dir = directory.fid;
        sub.name = entry.name;
        sub.path = fileclient::joined(directory.path, entry.name);
        below.push_back(std::move(sub));
      }
      if (rows.size() >= kPart && !arguments_.sorts())
        TROTH_TRY_VOID(show_rows(rows, directory.path));
    }
    TROTH_TRY_VOID(show_rows(rows, directory.path));
    for (auto sub = below.rbegin(); sub != below.rend(); ++sub) {
      if (sub->node.attached == common::VolumeId{}) {
        waiting.push_back(std::move(*sub));
        continue;
      }
      auto inside = files_.find(sub->path);
      if (inside)
        waiting.push_back(*std::move(inside));
      else
        fail(inside.error());
    }
  }
  return {};
}

int Ls::run() {
  if (arguments_.json)
    json_.emplace(nlohmann::json::object(), "entries");
  std::vector<Found> directories;
  std::vector<LsRow> rows;
  const std::vector<std::string> paths =
      arguments_.paths.empty() ? std::vector<std::string>{"."} : arguments_.paths;
  for (const std::string& text : paths) {
    const bool follow = !arguments_.directory && !arguments_.long_form;
    auto found = files_.find(text, follow ? fileclient::Follow::Last : fileclient::Follow::NotLast);
    // A link to nothing is shown as what it is.
    if (!found && follow)
      if (auto itself = files_.find(text, fileclient::Follow::NotLast))
        found = std::move(itself);
    if (!found)
      fail(found.error());
    else if (found->is_directory() && !arguments_.directory)
      directories.push_back(*std::move(found));
    else
      rows.push_back({text, found->node, found->fid});
  }
  wrote_ = !rows.empty();
  Status status;
  if (!rows.empty())
    status = show_rows(rows, "");
  if (!arguments_.sorts())
    std::sort(directories.begin(), directories.end(),
              [](const Found& a, const Found& b) { return a.path < b.path; });
  for (const Found& directory : directories) {
    if (status)
      status = show_directory(directory, paths.size() > 1);
  }
  if (json_)
    json_->end();
  if (!status)
    fail(status.error());
  return code_;
}

}  // namespace

void add_listing_commands(Command app, Session& session, const FileContextPtr& context) {
  auto arguments = std::make_shared<LsArguments>();
  auto command =
      add_file_command(app, session, context, "ls", "List directories and files.",
                       [arguments](Files& files) { return Ls(files, *arguments).run(); });
  command.help_without_short();
  command.add_option("paths", arguments->paths, "What to list").type_name("REMOTE");
  command.add_flag("-l", arguments->long_form, "Modes, links, owners, sizes and times, too.");
  command.add_flag("-a,--all", arguments->all, "Names that begin with a dot, too.");
  command.add_flag("-A,--almost-all", arguments->almost_all, "The same, but not . and ..");
  command.add_flag("-R,--recursive", arguments->recursive, "Directories below, too.");
  command.add_flag("-1", arguments->one_column, "One name on a line.");
  command.add_flag("-d,--directory", arguments->directory, "Directories themselves.");
  command.add_flag("-h,--human-readable", arguments->human, "With -l: sizes such as 1.5K, 20M.");
  command.add_flag("-t", arguments->by_time, "Newest first.");
  command.add_flag("-S", arguments->by_size, "Largest first.");
  command.add_flag("-r,--reverse", arguments->reverse, "In reverse order.");
  command.add_flag("-i,--inode", arguments->node, "The number of each node, too.");
  command.add_flag("-F,--classify", arguments->classify, "Mark directories, links, programs.");
  command.add_flag("--json", arguments->json, "One JSON object.");
}

}  // namespace cli
