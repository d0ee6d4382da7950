#include "cli/files/names.hpp"

#include <charconv>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include "cli/admin.hpp"
#include "cli/admin_commands.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using fileproto::AclWho;

// One connection to the KDC, opened when it is first needed.
struct Book {
  AdminArguments arguments;
  std::optional<Admin> admin;
  bool knows_me = false;
  std::string my_name;
  std::uint32_t my_id = 0;
  std::map<std::string, std::uint32_t> groups;

  Result<Admin*> kdc() {
    if (!admin) {
      auto opened = Admin::open(arguments);
      if (!opened)
        return tl::unexpected(opened.error());
      admin.emplace(*std::move(opened));
    }
    return &*admin;
  }

  void learn() {
    if (knows_me)
      return;
    knows_me = true;
    const auto opened = kdc();
    if (!opened)
      return;
    const auto answer = (*opened)->call("whoami", nlohmann::json::object(), Needs::Ticket);
    if (!answer || !answer->result().is_object())
      return;
    my_name = text_field(answer->result(), "name");
    my_id = answer->result().value("id", 0U);
    for (const auto& group : answer->result().value("groups", nlohmann::json::array())) {
      if (group.is_object())
        groups[text_field(group, "name")] = group.value("id", 0U);
    }
  }

  Result<std::uint32_t> number(AclWho who, const std::string& name) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size())
      return number;
    learn();
    if (who == AclWho::User && name == my_name)
      return my_id;
    if (who == AclWho::Group && groups.contains(name))
      return groups.at(name);
    TROTH_TRY(Admin * opened, kdc());
    const bool group = who == AclWho::Group;
    const auto answer = opened->call(group ? "group-show" : "user-show",
                                     {{group ? "group" : "name", name}}, Needs::Ticket);
    if (answer)
      return answer->result().value("id", 0U);
    if (answer.error().code == ErrorCode::PermissionDenied) {
      return fail(
          ErrorCode::PermissionDenied,
          "the number of {} is for administrators to look up; give the number itself, which "
          "\"troth whoami --json\" shows to whoever it is",
          name);
    }
    return tl::unexpected(answer.error());
  }

  std::string name(AclWho who, std::uint32_t id) {
    learn();
    if (who == AclWho::User && id == my_id && !my_name.empty())
      return my_name;
    if (who == AclWho::Group) {
      for (const auto& [group, number] : groups) {
        if (number == id)
          return group;
      }
    }
    return std::to_string(id);
  }
};

}  // namespace

PrincipalNames names_from_kdc(Files&, const std::string& cell) {
  auto book = std::make_shared<Book>();
  book->arguments.cell = cell;
  return {[book](AclWho who, const std::string& name) { return book->number(who, name); },
          [book](AclWho who, std::uint32_t id) { return book->name(who, id); }};
}

}  // namespace cli
