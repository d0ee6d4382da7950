// troth cell join, troth cell fingerprint

#include <cstdlib>

#include <nlohmann/json.hpp>

#include "cli/admin.hpp"
#include "cli/commands.hpp"
#include "cli/join.hpp"
#include "cli/output.hpp"
#include "cli/prompt.hpp"
#include "common/cell/certificate_files.hpp"
#include "common/cell/init.hpp"
#include "common/cell/locate.hpp"
#include "common/rpc/socket.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

struct JoinArguments {
  std::string host;
  std::string fingerprint;
  std::string directory;
};

// HOST, HOST:PORT, [ADDRESS]:PORT, or an address alone.
Result<common::config::Endpoint> endpoint_of(const std::string& text) {
  if (auto whole = common::config::parse_endpoint(text))
    return whole;
  const common::config::Endpoint alone{text, common::cell::kDefaultPort};
  auto checked = common::config::parse_endpoint(common::config::format_endpoint(alone));
  if (!checked) {
    return fail(ErrorCode::InvalidArgument,
                "\"{}\" is not a host; expected HOST or HOST:PORT of the cell's KDC", text);
  }
  return checked;
}

// Where find_cell() looks by itself.
Result<std::string> usual_directory() {
  if (::geteuid() == 0)
    return std::string("/etc/troth");
  const std::string config = common::cell::process_variable("XDG_CONFIG_HOME");
  if (!config.empty())
    return config + "/troth";
  const std::string home = common::cell::process_variable("HOME");
  if (home.empty())
    return fail(ErrorCode::NotFound, "there is no home directory; name a place with --dir");
  return home + "/.config/troth";
}

Status check_offer(const JoinArguments& arguments, const CellOffer& offer) {
  if (!arguments.fingerprint.empty()) {
    TROTH_TRY(const auto expected, parse_fingerprint(arguments.fingerprint));
    if (!common::crypto::constant_time_equal(expected, offer.fingerprint)) {
      return fail(
          ErrorCode::Unauthenticated,
          "the authority at {} has the fingerprint {}, which is not the one you gave: it is "
          "another cell, or somebody pretends to be yours; nothing was written",
          arguments.host, fingerprint_text(offer.fingerprint));
    }
    return {};
  }
  // It is not shown: whoever only has to nod does not compare.
  print(
      fmt::format("What answers at {} says that it is the cell {}.\n"
                  "Run `troth cell fingerprint` on a machine of that cell.\n",
                  arguments.host, offer.cell_name));
  const auto typed =
      ask_line(fmt::format("Type the first {} groups of what it shows, or more: ", kTypedGroups));
  if (!typed && typed.error().code == ErrorCode::Unavailable) {
    return fail(ErrorCode::Unavailable,
                "there is no terminal to ask on; give the fingerprint with --fingerprint");
  }
  if (!typed)
    return tl::unexpected(typed.error());
  if (!begins_fingerprint(*typed, offer.fingerprint)) {
    return fail(ErrorCode::Unauthenticated,
                "that is not how the fingerprint of the authority at {} begins: mistyped, another "
                "cell, or somebody pretends to be yours; nothing was written",
                arguments.host);
  }
  return {};
}

Status join(const JoinArguments& arguments) {
  TROTH_TRY(const auto kdc, endpoint_of(arguments.host));
  if (!arguments.fingerprint.empty()) {
    TROTH_TRY([[maybe_unused]] const auto readable, parse_fingerprint(arguments.fingerprint));
  }
  std::string directory = arguments.directory;
  if (directory.empty()) {
    TROTH_TRY(directory, usual_directory());
  }
  TROTH_TRY(const CellOffer offer, ask_for_cell(kdc, common::rpc::now() + kKdcPatience));
  TROTH_TRY_VOID(check_offer(arguments, offer));
  TROTH_TRY(const auto description,
            join_cell(kdc, offer, directory, common::rpc::now() + kKdcPatience,
                      common::SystemClock().wall_now()));
  print(fmt::format(
      "Joined the cell {}; its configuration is in {}.\nLog in with: troth login USER"
      "{}\n",
      description.name, directory, arguments.directory.empty() ? "" : " --cell " + directory));
  return {};
}

Status show_fingerprint(const std::string& cell, bool json) {
  TROTH_TRY(const std::string directory, common::cell::find_cell(cell));
  TROTH_TRY(const auto description, common::cell::load_description(directory));
  TROTH_TRY(const auto authority, common::cell::read_certificate(description.ca));
  TROTH_TRY(const auto info, authority.inspect());
  const std::string text = fingerprint_text(info.fingerprint);
  if (json) {
    print_json({{"cell", description.name}, {"fingerprint", text}});
  } else {
    print(text + "\n");
  }
  return {};
}

}  // namespace

void add_join_commands(Command cell, Session& session) {
  auto arguments = std::make_shared<JoinArguments>();
  auto command = cell.add_command("join", "Make this machine a client of a cell.");
  command.add_option("host", arguments->host, "Host of the cell's KDC; port 7480 unless given.")
      .type_name("HOST[:PORT]")
      .required();
  command
      .add_option("--fingerprint", arguments->fingerprint,
                  "Join only a cell with this fingerprint; else you are asked for its beginning.")
      .type_name("HEX");
  command
      .add_option("--dir", arguments->directory,
                  "Where to write the configuration; must not exist yet.")
      .type_name("DIR");
  command.on_chosen([&session, arguments] {
    session.action = [arguments] { return exit_code(join(*arguments)); };
  });

  struct ShowArguments {
    std::string cell;
    bool json = false;
  };
  auto show = std::make_shared<ShowArguments>();
  auto shown = cell.add_command("fingerprint", "Show the fingerprint of the cell's authority.");
  shown.add_option("--cell", show->cell, "The cell's directory.").type_name("DIR");
  shown.add_flag("--json", show->json, "One JSON object.");
  shown.on_chosen([&session, show] {
    session.action = [show] { return exit_code(show_fingerprint(show->cell, show->json)); };
  });
}

}  // namespace cli
