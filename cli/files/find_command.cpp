// troth find

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/find_tests.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace cli {
namespace {

using common::Error;
using common::Result;
using common::Status;

struct FindArguments {
  std::vector<std::string> paths;
  FindWords words;
  std::string newer;
  bool print0 = false;
  bool json = false;
  bool one_volume = false;
};

class Finder final : public fileclient::TreeVisitor {
 public:
  Finder(const FindTests& tests, const FindArguments& arguments, JsonList* json)
      : tests_(tests), arguments_(arguments), json_(json) {}

  // What was typed for the top, as find shows paths.
  void begin(std::string typed, std::size_t top_length) {
    typed_ = std::move(typed);
    top_length_ = top_length;
  }

  Result<bool> enter(const fileclient::TreeEntry& entry) override {
    if (tests_.match(entry.name.empty() ? typed_ : entry.name, shown(entry.path), entry.node,
                     entry.depth))
      print(entry);
    if (!standard_out().good())
      return tl::unexpected(standard_out().trouble());
    return entry.is_directory() && entry.depth < tests_.max_depth;
  }
  Status trouble(const std::string& path, const Error& error) override {
    if (error.code == common::ErrorCode::Cancelled)
      return tl::unexpected(error);
    print_failure(error.in(said(path)));
    code = kExitFailure;
    return {};
  }

  int code = kExitOk;

 private:
  [[nodiscard]] std::string shown(const std::string& path) const {
    if (path.size() <= top_length_)
      return typed_;
    std::string_view below = std::string_view(path).substr(top_length_);
    while (below.starts_with('/'))
      below.remove_prefix(1);
    return fileclient::joined(typed_, below);
  }

  void print(const fileclient::TreeEntry& entry) {
    if (json_ != nullptr) {
      nlohmann::json item = describe(entry.node);
      item["path"] = json_name(shown(entry.path));
      json_->add(item);
    } else if (arguments_.print0) {
      standard_out().write(shown(entry.path) + std::string(1, '\0'));
    } else {
      standard_out().write(shown_name(shown(entry.path)) + "\n");
    }
  }

  const FindTests& tests_;
  const FindArguments& arguments_;
  JsonList* const json_;
  std::string typed_;
  std::size_t top_length_ = 0;
};

int find(Files& files, const FindArguments& arguments) {
  auto tests = parse_find_tests(arguments.words, common::SystemClock().wall_now());
  if (!tests) {
    print_error(tests.error().message);
    return kExitUsage;
  }
  if (!arguments.newer.empty()) {
    const auto than = files.find(arguments.newer);
    if (!than)
      return failed(than.error());
    tests->newer_than = than->node.mtime;
  }
  std::optional<JsonList> json;
  if (arguments.json)
    json.emplace(nlohmann::json::object(), "found");
  Finder finder(*tests, arguments, json ? &*json : nullptr);
  std::vector<std::string> paths = arguments.paths;
  if (paths.empty())
    paths.emplace_back(".");
  for (const std::string& path : paths) {
    const auto top = files.find(path, fileclient::Follow::NotLast);
    if (!top) {
      finder.code = failed(top.error());
      continue;
    }
    finder.begin(path, top->path.size());
    const Status walked =
        fileclient::walk_tree(files.client(), *top, finder,
                              {.calls = files.calls(), .enter_volumes = !arguments.one_volume});
    if (!walked) {
      finder.code = kExitFailure;
      if (standard_out().good())
        print_failure(walked.error());
      break;
    }
  }
  if (json)
    json->end();
  return finder.code;
}

}  // namespace

void add_find_command(Command app, Session& session, const FileContextPtr& context) {
  auto arguments = std::make_shared<FindArguments>();
  auto command = add_file_command(app, session, context, "find",
                                  "Find files by name, kind, size and age; as find(1) does.",
                                  [arguments](Files& files) { return find(files, *arguments); });
  command.long_options_with_one_dash();
  command.add_option("paths", arguments->paths, "Where to begin").type_name("REMOTE");
  command.add_option("--name", arguments->words.name, "Its name fits this pattern.")
      .type_name("PATTERN");
  command.add_option("--iname", arguments->words.iname, "The same, whatever the case of letters.")
      .type_name("PATTERN");
  command.add_option("--path", arguments->words.path, "Its path fits this pattern.")
      .type_name("PATTERN");
  command.add_option("--type", arguments->words.type, "f file, d directory, l link, ...")
      .type_name("f|d|l|p|s|c|b");
  command
      .add_option("--size", arguments->words.size,
                  "+N more, -N less than, N exactly so many blocks of 512 bytes, or c bytes, k, "
                  "M, G, rounded up.")
      .type_name("SIZE");
  command.add_option("--newer", arguments->newer, "Changed after this file of the cell.")
      .type_name("REMOTE");
  command
      .add_option("--mtime", arguments->words.mtime,
                  "+N more, -N less than, N exactly so many days ago.")
      .type_name("DAYS");
  command.add_option("--mmin", arguments->words.mmin, "The same in minutes.").type_name("MINUTES");
  command.add_option("--maxdepth", arguments->words.maxdepth, "At most so far down.")
      .type_name("N");
  command.add_option("--mindepth", arguments->words.mindepth, "At least so far down.")
      .type_name("N");
  command.add_flag("--empty", arguments->words.empty, "A file of no bytes.");
  command.add_flag("--xdev", arguments->one_volume, "Do not go into attached volumes.");
  command.add_flag("--print0", arguments->print0, "A NUL byte after each path.");
  command.add_flag("--json", arguments->json, "One JSON object.");
}

}  // namespace cli
