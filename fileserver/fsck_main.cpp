// troth-fsck: checks a volume that nobody has open, repairs what can be derived, and shows its
// insides to curious people.

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/daemon/exit_codes.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/version.hpp"
#include "common/wire/json_writer.hpp"
#include "fileserver/store/check/fsck.hpp"
#include "fileserver/store/check/inspect.hpp"

namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using fileserver::store::FsckReport;
using fileserver::store::InspectOptions;

// As other checkers of file systems: errors are left.
constexpr int kExitDamaged = 4;

constexpr std::string_view kHelp =
    "troth-fsck - checks a volume that nobody has open\n\n"
    "Usage: troth-fsck [OPTION]... DIR            verify everything; say what is wrong\n"
    "       troth-fsck --inspect WHAT [N] DIR     show what is inside\n\n"
    "  --repair          write anew what can be derived: index, totals, link counts\n"
    "  --no-blocks       do not read every block\n"
    "  --key-file FILE   32 bytes: the key of a sealed volume\n"
    "  --json            one JSON object instead of sentences\n"
    "  --quiet           no progress\n"
    "  --inspect WHAT    summary, commits, node, segments or segment, from number N on\n"
    "  --help, --version\n\n"
    "Exit code 0: sound, or sound again. 1: it could not be checked. 2: wrong usage.\n"
    "4: something is wrong that is not repaired.\n";

struct Words {
  bool repair = false;
  bool blocks = true;
  bool json = false;
  bool quiet = false;
  std::string key_file;
  std::optional<InspectOptions> inspect;
  std::string directory;
};

Result<InspectOptions::What> what_of(std::string_view word) {
  using What = InspectOptions::What;
  constexpr std::pair<std::string_view, What> kWords[] = {{"summary", What::Summary},
                                                          {"commits", What::Commits},
                                                          {"node", What::Node},
                                                          {"segments", What::Segments},
                                                          {"segment", What::Segment}};
  for (const auto& [name, what] : kWords) {
    if (word == name)
      return what;
  }
  return fail(ErrorCode::InvalidArgument,
              "\"{}\" cannot be inspected: summary, commits, node, segments or segment", word);
}

// What stands after the options: a number, if there is something to count from, and the directory.
Status take_positional(const std::vector<std::string_view>& positional, Words& words) {
  if (positional.empty())
    return fail(ErrorCode::InvalidArgument, "name the directory of a volume");
  words.directory = positional.back();
  if (positional.size() == 1)
    return {};
  const std::string_view number = positional.front();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (!words.inspect || positional.size() > 2 || error != std::errc() ||
      end != number.data() + number.size())
    return fail(ErrorCode::InvalidArgument, "\"{}\" is one word too many", number);
  words.inspect->number = value;
  return {};
}

Result<Words> parse(int argc, char** argv) {
  Words words;
  std::vector<std::string_view> positional;
  const std::vector<std::string_view> given(argv + 1, argv + argc);
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string_view word = given[i];
    const bool has_next = i + 1 < given.size();
    if (word == "--repair") {
      words.repair = true;
    } else if (word == "--no-blocks") {
      words.blocks = false;
    } else if (word == "--json") {
      words.json = true;
    } else if (word == "--quiet") {
      words.quiet = true;
    } else if (word == "--key-file" && has_next) {
      words.key_file = given[++i];
    } else if (word == "--inspect" && has_next) {
      TROTH_TRY(const auto what, what_of(given[++i]));
      words.inspect.emplace().what = what;
    } else if (word.starts_with("-")) {
      return fail(ErrorCode::InvalidArgument, "\"{}\" is no option, or lacks its value; see --help",
                  word);
    } else {
      positional.push_back(word);
    }
  }
  TROTH_TRY_VOID(take_positional(positional, words));
  return words;
}

Result<std::optional<Secret>> read_key(const std::string& path) {
  if (path.empty())
    return std::optional<Secret>();
  constexpr std::size_t kKeyBytes = 32;
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  TROTH_TRY(const auto io, common::io::PosixFileIo::open_root(directory));
  TROTH_TRY(auto bytes,
            common::io::read_whole_file(
                *io, slash == std::string::npos ? path : path.substr(slash + 1), kKeyBytes));
  std::optional<Secret> key = Secret::copy_of(bytes);
  const std::size_t length = bytes.size();
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  if (length != kKeyBytes)
    return fail(ErrorCode::InvalidArgument, "{} does not hold a key of {} bytes", path, kKeyBytes);
  return key;
}

void print_json(const FsckReport& report) {
  common::wire::JsonWriter out;
  out.field("sound", report.is_sound())
      .field("findings", report.total_findings)
      .field("nodes", report.nodes)
      .field("commits", report.commits)
      .field("blocks", report.blocks)
      .field("bytes", report.bytes)
      .begin_list("found");
  for (const auto& finding : report.findings) {
    out.begin_object()
        .field("invariant", finding.invariant)
        .field("what", finding.what)
        .field("repaired", finding.repaired)
        .field("harmless", finding.harmless)
        .end();
  }
  fmt::print("{}\n", out.take());
}

void print_words(const FsckReport& report) {
  for (const auto& finding : report.findings) {
    fmt::print("{}: {}{}\n", finding.invariant, finding.what,
               finding.repaired   ? " (repaired)"
               : finding.harmless ? " (harmless)"
                                  : "");
  }
  if (report.total_findings > report.findings.size())
    fmt::print("and {} more\n", report.total_findings - report.findings.size());
  fmt::print("{} nodes, {} commits, {} blocks of {} bytes verified: {}\n", report.nodes,
             report.commits, report.blocks, report.bytes,
             report.is_sound() ? "sound" : "something is wrong");
}

Result<int> check(const Words& words, const Secret* key, const common::Clock& clock) {
  fileserver::store::FsckOptions how;
  how.repair = words.repair;
  how.blocks = words.blocks;
  how.key = key;
  if (!words.quiet)
    how.progress = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  TROTH_TRY(const FsckReport report, check_volume(words.directory, how, clock));
  if (words.json)
    print_json(report);
  else
    print_words(report);
  return report.is_sound() ? common::daemon::kExitOk : kExitDamaged;
}

Result<int> run(const Words& words) {
  const common::SystemClock clock;
  TROTH_TRY(const auto key, read_key(words.key_file));
  const Secret* const secret = key ? &*key : nullptr;
  if (!words.inspect)
    return check(words, secret, clock);
  InspectOptions how = *words.inspect;
  how.key = secret;
  TROTH_TRY_VOID(inspect_volume(words.directory, how, clock, std::cout));
  return common::daemon::kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word == "--version") {
    fmt::print("troth-fsck {}\n", common::version());
    return common::daemon::kExitOk;
  }
  if (word == "--help" || word == "-h") {
    fmt::print("{}", kHelp);
    return common::daemon::kExitOk;
  }
  const auto words = parse(argc, argv);
  if (!words) {
    fmt::print(stderr, "troth-fsck: {}\n", words.error().message);
    return common::daemon::kExitUsage;
  }
  const auto code = run(*words);
  if (!code) {
    fmt::print(stderr, "troth-fsck: {}\n", code.error().message);
    return common::daemon::kExitFailure;
  }
  return *code;
}
