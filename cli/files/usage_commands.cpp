// troth du, troth df

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace cli {
namespace {

using common::Error;
using common::Result;
using common::Status;

constexpr std::uint64_t kKiB = 1024;
// Files with several names that du remembers; beyond, each name counts.
constexpr std::size_t kMostLinked = 1'000'000;

// --- du ---

struct DuArguments {
  std::vector<std::string> paths;
  bool summary = false;
  bool human = false;
  bool bytes = false;
  bool all = false;
  bool total = false;
  std::optional<std::uint64_t> depth;
  bool json = false;
};

class Usage final : public fileclient::TreeVisitor {
 public:
  Usage(const DuArguments& arguments, JsonList* json) : arguments_(arguments), json_(json) {}

  void begin(std::string typed, std::size_t top_length) {
    typed_ = std::move(typed);
    top_length_ = top_length;
  }
  Result<bool> enter(const fileclient::TreeEntry& entry) override {
    if (entry.is_directory()) {
      sums_.push_back(size_of(entry.node));
      return true;
    }
    if (is_counted(entry))
      return false;
    const std::uint64_t size = size_of(entry.node);
    if (sums_.empty())
      total += size;
    else
      sums_.back() += size;
    if (entry.depth == 0 || (arguments_.all && shows(entry.depth)))
      print(size, entry.path);
    return false;
  }
  Status leave(const fileclient::TreeEntry& entry) override {
    const std::uint64_t sum = sums_.back();
    sums_.pop_back();
    if (sums_.empty())
      total += sum;
    else
      sums_.back() += sum;
    if (shows(entry.depth))
      print(sum, entry.path);
    return standard_out().good() ? Status() : tl::unexpected(standard_out().trouble());
  }
  Status trouble(const std::string& path, const Error& error) override {
    if (error.code == common::ErrorCode::Cancelled)
      return tl::unexpected(error);
    print_failure(error.in(said(path)));
    code = kExitFailure;
    return {};
  }
  void print_total() { print_line(total, "total"); }

  std::uint64_t total = 0;
  int code = kExitOk;

 private:
  [[nodiscard]] std::uint64_t size_of(const fileproto::Attributes& node) const {
    return arguments_.bytes ? node.size : node.allocated;
  }
  // A file with several names takes its room once.
  bool is_counted(const fileclient::TreeEntry& entry) {
    return entry.node.links > 1 && linked_.size() < kMostLinked &&
           !linked_.insert(entry.fid).second;
  }
  [[nodiscard]] bool shows(std::size_t depth) const {
    return depth == 0 || (!arguments_.summary && (!arguments_.depth || depth <= *arguments_.depth));
  }
  void print(std::uint64_t size, const std::string& path) {
    std::string shown = typed_;
    if (path.size() > top_length_) {
      std::string_view below = std::string_view(path).substr(top_length_);
      while (below.starts_with('/'))
        below.remove_prefix(1);
      shown = fileclient::joined(typed_, below);
    }
    if (json_ != nullptr)
      json_->add({{"path", json_name(shown)}, {"bytes", size}});
    else
      print_line(size, shown_name(shown));
  }
  void print_line(std::uint64_t size, const std::string& label) const {
    standard_out().write(fmt::format("{}\t{}\n",
                                     arguments_.human   ? human_size(size)
                                     : arguments_.bytes ? std::to_string(size)
                                                        : std::to_string((size + kKiB - 1) / kKiB),
                                     label));
  }

  const DuArguments& arguments_;
  JsonList* const json_;
  std::string typed_;
  std::size_t top_length_ = 0;
  std::vector<std::uint64_t> sums_;
  std::set<common::Fid> linked_;
};

int du(Files& files, const DuArguments& arguments) {
  std::optional<JsonList> json;
  if (arguments.json)
    json.emplace(nlohmann::json{{"counts", arguments.bytes ? "size" : "allocated"}}, "entries");
  Usage usage(arguments, json ? &*json : nullptr);
  std::vector<std::string> paths = arguments.paths;
  if (paths.empty())
    paths.emplace_back(".");
  for (const std::string& path : paths) {
    const auto top = files.find(path, fileclient::Follow::NotLast);
    if (!top) {
      usage.code = failed(top.error());
      continue;
    }
    usage.begin(path, top->path.size());
    const Status walked = fileclient::walk_tree(files.client(), *top, usage,
                                                {.calls = files.calls(), .enter_volumes = true});
    if (!walked) {
      usage.code = kExitFailure;
      if (standard_out().good())
        print_failure(walked.error());
      break;
    }
  }
  if (json)
    json->end();
  else if (arguments.total)
    usage.print_total();
  return usage.code;
}

// --- df ---

struct DfArguments {
  std::vector<std::string> paths;
  bool human = false;
  bool nodes = false;
  bool json = false;
};

struct DfRow {
  std::string name;
  std::string server;
  fileproto::StatfsResult usage;
};

std::string percent(std::uint64_t used, std::uint64_t total) {
  return total == 0 ? "-" : fmt::format("{}%", (used * 100 + total - 1) / total);
}

void print_table(const DfArguments& arguments, const std::vector<DfRow>& rows) {
  std::vector<std::array<std::string, 6>> cells{{"Volume",
                                                 arguments.nodes   ? "Nodes"
                                                 : arguments.human ? "Size"
                                                                   : "1K-blocks",
                                                 "Used", "Available", "Use%", "Server"}};
  const auto size = [&](std::uint64_t bytes) {
    return arguments.human ? human_size(bytes) : std::to_string((bytes + kKiB - 1) / kKiB);
  };
  for (const DfRow& row : rows) {
    const auto& usage = row.usage;
    if (arguments.nodes) {
      const std::uint64_t used = usage.nodes - std::min(usage.nodes, usage.nodes_free);
      cells.push_back({row.name, std::to_string(usage.nodes), std::to_string(used),
                       std::to_string(usage.nodes_free), percent(used, usage.nodes), row.server});
    } else {
      const std::uint64_t used = usage.bytes - std::min(usage.bytes, usage.bytes_free);
      cells.push_back({row.name, size(usage.bytes), size(used), size(usage.bytes_available),
                       percent(used, usage.bytes), row.server});
    }
  }
  std::array<std::size_t, 6> widths{};
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : cells) {
    standard_out().write(fmt::format("{:<{}} {:>{}} {:>{}} {:>{}} {:>{}} {}\n", line[0], widths[0],
                                     line[1], widths[1], line[2], widths[2], line[3], widths[3],
                                     line[4], widths[4], line[5]));
  }
}

int df(Files& files, const DfArguments& arguments) {
  int code = kExitOk;
  std::vector<fileclient::VolumeInfo> volumes;
  for (const std::string& path : arguments.paths) {
    const auto found = files.find(path);
    const auto volume = found ? files.client().volumes().find(found->fid.volume,
                                                              files.client().filled(files.calls()))
                              : tl::unexpected(found.error());
    if (!volume)
      code = failed(volume.error());
    else
      volumes.push_back(*volume);
  }
  if (arguments.paths.empty()) {
    auto all = files.client().volumes().all(files.client().filled(files.calls()));
    if (!all)
      return failed(all.error());
    volumes = *std::move(all);
  }
  std::vector<DfRow> rows;
  for (const auto& volume : volumes) {
    fileproto::StatfsArgs args;
    args.volume = volume.entry.volume;
    auto usage = files.client().ask(args, files.calls());
    if (!usage)
      code = failed(usage.error().in("volume " + volume.entry.name));
    else
      rows.push_back({volume.entry.name, volume.server, *std::move(usage)});
    if (files.interrupted())
      return kExitFailure;
  }
  if (!arguments.json) {
    print_table(arguments, rows);
    return code;
  }
  JsonList json(nlohmann::json::object(), "volumes");
  for (const DfRow& row : rows) {
    json.add({{"name", row.name},
              {"server", row.server},
              {"bytes", row.usage.bytes},
              {"bytes_free", row.usage.bytes_free},
              {"bytes_available", row.usage.bytes_available},
              {"nodes", row.usage.nodes},
              {"nodes_free", row.usage.nodes_free}});
  }
  json.end();
  return code;
}

}  // namespace

void add_usage_commands(Command app, Session& session, const FileContextPtr& context) {
  auto du_arguments = std::make_shared<DuArguments>();
  auto command =
      add_file_command(app, session, context, "du", "Show what directories take of the quota.",
                       [du_arguments](Files& files) { return du(files, *du_arguments); });
  command.help_without_short();
  command.add_option("paths", du_arguments->paths, "Of what").type_name("REMOTE");
  command.add_flag("-s,--summarize", du_arguments->summary, "Only what was named.");
  command.add_flag("-h,--human-readable", du_arguments->human, "Sizes such as 1.5K, 20M.");
  command.add_flag("-b,--bytes", du_arguments->bytes, "Lengths in bytes, not what they take.");
  command.add_flag("-a,--all", du_arguments->all, "Files, too.");
  command.add_flag("-c,--total", du_arguments->total, "The sum of all as a last line.");
  command.add_option("-d,--max-depth", du_arguments->depth, "Directories at most so far down.");
  command.add_flag("--json", du_arguments->json, "One JSON object, with bytes.");

  auto df_arguments = std::make_shared<DfArguments>();
  command = add_file_command(app, session, context, "df", "Show how full volumes are.",
                             [df_arguments](Files& files) { return df(files, *df_arguments); });
  command.help_without_short();
  command.add_option("paths", df_arguments->paths, "Of the volumes that these are in")
      .type_name("REMOTE");
  command.add_flag("-h,--human-readable", df_arguments->human, "Sizes such as 1.5K, 20M.");
  command.add_flag("-i,--inodes", df_arguments->nodes, "Nodes instead of bytes.");
  command.add_flag("--json", df_arguments->json, "One JSON object.");
}

}  // namespace cli
