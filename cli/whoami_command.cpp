// troth whoami, troth tickets

#include <nlohmann/json.hpp>

#include "cli/admin.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "common/rpc/socket.hpp"

namespace cli {
namespace {

using common::Result;
using common::ticket::Credential;
namespace ticket = common::ticket;

std::int64_t number(ticket::Time time) {
  return time.time_since_epoch().count();
}
nlohmann::json number(const std::optional<ticket::Time>& time) {
  return time ? nlohmann::json(number(*time)) : nlohmann::json();
}

struct Held {
  UserSession session;
  std::vector<Credential> credentials;  // the TGT first; not empty
  common::Instant now;

  [[nodiscard]] const Credential& tgt() const { return credentials.front(); }
};

Result<Held> load(const std::string& cell) {
  TROTH_TRY(UserSession session, open_user_session(cell));
  TROTH_TRY(auto credentials, session.cache->load());
  if (credentials.empty())
    return common::fail(common::ErrorCode::NotFound,
                        "you are not logged in; log in with: troth login");
  return Held{std::move(session), std::move(credentials), common::rpc::now()};
}

nlohmann::json to_json(const Credential& credential, common::Instant now) {
  return {{"service", credential.service},
          {"kvno", credential.kvno},
          {"authenticated_ms", number(credential.validity.authenticated)},
          {"start_ms", number(credential.validity.start)},
          {"end_ms", number(credential.validity.end)},
          {"renew_till_ms", number(credential.validity.renew_till)},
          {"initial", credential.validity.initial},
          {"expired", credential.ended(now)}};
}

int whoami(const std::string& cell, bool json) {
  const auto held = load(cell);
  if (!held)
    return admin_failure(held.error());
  const Credential& tgt = held->tgt();
  const bool ended = tgt.ended(held->now);
  const auto& description = held->session.description;
  if (json) {
    print_json({{"name", tgt.client.name},
                {"kind", ticket::to_string(tgt.client.kind)},
                {"id", tgt.client.id.value},
                {"cell", {{"name", description.name}, {"id", description.id}}},
                {"login", to_json(tgt, held->now)},
                {"credentials", held->session.cache->where()}});
    return ended ? kExitFailure : kExitOk;
  }
  if (ended) {
    print_error(fmt::format("the login of {} has expired at {}; log in again: troth login {}",
                            tgt.client.name, time_text(tgt.validity.end), tgt.client.name));
    return kExitFailure;
  }
  print(fmt::format("{} ({} {}) in cell {}, logged in until {}\n", tgt.client.name,
                    ticket::to_string(tgt.client.kind), tgt.client.id.value, description.name,
                    time_text(tgt.validity.end)));
  print_warnings(tgt);
  return kExitOk;
}

int tickets(const std::string& cell, bool json) {
  const auto held = load(cell);
  if (!held)
    return admin_failure(held.error());
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Credential& credential : held->credentials)
      list.push_back(to_json(credential, held->now));
    print_json({{"client", held->tgt().client.name},
                {"cell", held->session.description.id},
                {"credentials", held->session.cache->where()},
                {"tickets", std::move(list)}});
    return kExitOk;
  }
  std::string text = fmt::format("{} in cell {}; kept in {}\n\n", held->tgt().client.name,
                                 held->session.description.name, held->session.cache->where());
  for (const Credential& credential : held->credentials) {
    text += fmt::format("  {:<28} {} {}\n", credential.service,
                        credential.ended(held->now) ? "ended" : "until",
                        time_text(credential.validity.end));
    if (credential.validity.renew_till)
      text += fmt::format("  {:<28} renewable until {}\n", "",
                          time_text(*credential.validity.renew_till));
  }
  print(text);
  print_warnings(held->tgt());
  return kExitOk;
}

using OwnRun = int (*)(const std::string& cell, bool json);

void add(Command app, Session& session, const char* name, const char* help, OwnRun run) {
  struct Arguments {
    std::string cell;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto command = app.add_command(name, help);
  command.add_option("--cell", arguments->cell, "The cell's directory.").type_name("DIR");
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.on_chosen([&session, arguments, run] {
    session.action = [arguments, run] { return run(arguments->cell, arguments->json); };
  });
}

}  // namespace

void add_whoami_commands(Command app, Session& session) {
  add(app, session, "whoami", "Show who you are logged in as, and until when; asks nobody.",
      &whoami);
  add(app, session, "tickets", "List the tickets that you have; asks nobody.", &tickets);
}

}  // namespace cli
