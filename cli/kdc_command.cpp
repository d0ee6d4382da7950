// troth kdc …

#include <nlohmann/json.hpp>

#include "cli/admin_commands.hpp"
#include "cli/output.hpp"
#include "common/io/new_file.hpp"

namespace cli {
namespace {

using common::Status;

struct KdcArguments : AdminArguments {
  std::string file;
};

Status dump(const KdcArguments& arguments) {
  // Before a password is asked for.
  TROTH_TRY(auto file, common::io::NewFile::create(arguments.file));
  TROTH_TRY(Admin admin, Admin::open(arguments));
  std::uint64_t size = 0;
  TROTH_TRY_VOID(admin.fetch("dump", [&](common::ByteView bytes) {
    size += bytes.size();
    return file.append(bytes);
  }));
  TROTH_TRY_VOID(file.publish());
  print(
      fmt::format("Dumped the KDC's database to {} ({} bytes).\n"
                  "Its keys are worth nothing without the KDC's file of master keys as it is now: "
                  "keep a copy of that elsewhere.\n",
                  arguments.file, size));
  return {};
}

Status show_master(const KdcArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer,
            admin.call("master-status", nlohmann::json::object(), Needs::Ticket));
  const nlohmann::json& found = answer.result();
  if (arguments.json) {
    print_json(found);
    return {};
  }
  std::string text = fmt::format("master key {}", found.value("version", 0U));
  if (found.value("under_way", false)) {
    text += fmt::format("; the one before it goes when {} more keys are sealed anew",
                        found.value("rows_left", std::uint64_t{0}));
  }
  print(text + "\n");
  return {};
}

Status rotate_master(const KdcArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer, admin.call("master-rotate", nlohmann::json::object(), Needs::Fresh));
  print(
      fmt::format("Master key {} is in use. The KDC seals everything anew by itself, and then "
                  "drops the old one; see: troth kdc master\n"
                  "Copies of the file of master keys and dumps from before belong together: make "
                  "new ones of both then.\n",
                  answer.result().value("version", 0U)));
  return {};
}

}  // namespace

void add_kdc_commands(Command app, Session& session) {
  auto parent = app.add_group("kdc", "Look after the KDC's database and master key.");
  CommandGroup<KdcArguments> group(parent, session);
  auto dumped =
      group.add("dump", "Write the KDC's database to a new file, while it runs.", &dump, false);
  dumped.command.add_option("file", dumped.arguments->file, "The file; must not exist yet.")
      .type_name("FILE")
      .required();
  group.add("master", "Show which master key is in use, and whether it is being replaced.",
            &show_master, true);
  group.add("rotate-master", "Replace the master key, while the KDC runs.", &rotate_master, false);
}

}  // namespace cli
