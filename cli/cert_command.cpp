#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "common/cell/certificate_files.hpp"
#include "common/cell/locate.hpp"
#include "common/wire/hex.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;
using common::WallTime;

struct CertArguments {
  std::string cell;
  // issue
  std::string role;
  std::string name;
  std::vector<std::string> hosts;
  std::string out = ".";
  unsigned days = static_cast<unsigned>(common::crypto::kDefaultValidity.count());
  // renew, show
  std::vector<std::string> files;
  bool all = false;
  bool new_key = false;
  bool json = false;
  unsigned within = 0;
};

int failure(const common::Error& error) {
  print_error(error.message);
  return kExitFailure;
}

// --- issue --------------------------------------------------------------------------------------

common::crypto::CertificateRequest request_of(const CertArguments& arguments,
                                              const std::string& cell_id) {
  common::crypto::CertificateRequest request{
      .identity = {.cell_id = cell_id, .role = arguments.role, .name = arguments.name},
      .dns_names = {},
      .addresses = {},
      .validity = std::chrono::days(arguments.days)};
  for (const std::string& host : arguments.hosts) {
    // Digits and dots, or colons: an address; the library refuses a bad one by name.
    const bool address = host.find(':') != std::string::npos ||
                         host.find_first_not_of("0123456789.") == std::string::npos;
    (address ? request.addresses : request.dns_names).push_back(host);
  }
  return request;
}

Result<common::cell::IssuedFiles> issue(const CertArguments& arguments, WallTime now) {
  TROTH_TRY(const std::string directory, common::cell::find_cell(arguments.cell));
  TROTH_TRY(const auto description, common::cell::load_description(directory));
  TROTH_TRY(const auto authority, common::cell::read_authority(directory));
  // Before the name becomes part of a path.
  TROTH_TRY_VOID(common::cell::check_name("the name", arguments.name));
  return common::cell::issue_files(authority, request_of(arguments, description.id),
                                   arguments.out + "/" + arguments.name, now);
}

int run_issue(const CertArguments& arguments, WallTime now) {
  const auto files = issue(arguments, now);
  if (!files)
    return failure(files.error());
  print(fmt::format("Issued {}\nIts key  {}\n", files->certificate, files->key));
  return kExitOk;
}

// --- renew --------------------------------------------------------------------------------------

Result<std::vector<std::string>> to_renew(const CertArguments& arguments,
                                          const std::string& directory) {
  if (arguments.all != arguments.files.empty()) {
    return common::fail(common::ErrorCode::InvalidArgument,
                        "name the certificates to renew, or say --all");
  }
  if (!arguments.all)
    return arguments.files;
  TROTH_TRY(const auto description, common::cell::load_description(directory));
  auto paths = common::cell::certificate_paths(directory, description);
  paths.erase(paths.begin());  // the authority's own
  return paths;
}

Status renew(const CertArguments& arguments, WallTime now) {
  TROTH_TRY(const std::string directory, common::cell::find_cell(arguments.cell));
  TROTH_TRY(const auto paths, to_renew(arguments, directory));
  TROTH_TRY(const auto authority, common::cell::read_authority(directory));
  const auto key =
      arguments.new_key ? common::cell::RenewKey::Replace : common::cell::RenewKey::Keep;
  for (const std::string& path : paths) {
    TROTH_TRY_VOID(common::cell::renew_files(authority, path, key, now));
    TROTH_TRY(const auto report, common::cell::examine(path, authority.certificate, now));
    print(fmt::format("Renewed {}: good until {}\n", path,
                      common::crypto::format_time(report.info.not_after)));
  }
  print("Running servers take renewed certificates up on SIGHUP (systemctl reload).\n");
  return {};
}

int run_renew(const CertArguments& arguments, WallTime now) {
  const auto done = renew(arguments, now);
  if (done)
    return kExitOk;
  print_error(done.error().message);
  return done.error().code == common::ErrorCode::InvalidArgument ? kExitUsage : kExitFailure;
}

// --- show ---------------------------------------------------------------------------------------

using common::cell::CertificateReport;

Result<std::vector<CertificateReport>> examine_all(const CertArguments& arguments, WallTime now) {
  TROTH_TRY(const std::string directory, common::cell::find_cell(arguments.cell));
  TROTH_TRY(const auto description, common::cell::load_description(directory));
  TROTH_TRY(const auto authority, common::cell::read_certificate(description.ca));
  std::vector<CertificateReport> reports;
  const auto paths = arguments.files.empty()
                         ? common::cell::certificate_paths(directory, description)
                         : arguments.files;
  for (const std::string& path : paths) {
    TROTH_TRY(CertificateReport report, common::cell::examine(path, authority, now));
    reports.push_back(std::move(report));
  }
  return reports;
}

bool is_well(const CertificateReport& report, unsigned within) {
  return report.verdict && report.days_left >= static_cast<std::int64_t>(within);
}

std::vector<std::string> hosts_of(const CertificateReport& report) {
  std::vector<std::string> hosts = report.info.dns_names;
  hosts.insert(hosts.end(), report.info.addresses.begin(), report.info.addresses.end());
  return hosts;
}

nlohmann::json to_json(const CertificateReport& report, unsigned within) {
  nlohmann::json value = {{"path", report.path},
                          {"subject", report.info.subject},
                          {"issuer", report.info.issuer},
                          {"serial", report.info.serial},
                          {"hosts", hosts_of(report)},
                          {"not_before", common::crypto::format_time(report.info.not_before)},
                          {"not_after", common::crypto::format_time(report.info.not_after)},
                          {"days_left", report.days_left},
                          {"fingerprint_sha256", common::wire::to_hex(report.info.fingerprint)},
                          {"authority", report.info.is_authority},
                          {"well", is_well(report, within)}};
  if (report.info.identity) {
    value["cell_id"] = report.info.identity->cell_id;
    value["role"] = report.info.identity->role;
    value["name"] = report.info.identity->name;
  }
  if (!report.verdict)
    value["problem"] = report.verdict.error().message;
  return value;
}

std::string to_text(const CertificateReport& report, unsigned within) {
  const std::string left =
      report.days_left < 0 ? "expired" : fmt::format("{} days left", report.days_left);
  const Colour colour = !report.verdict           ? Colour::Bad
                        : is_well(report, within) ? Colour::Good
                                                  : Colour::Warning;
  std::string text =
      fmt::format("{}\n  {} ({}), until {}\n", report.path, said(report.info.subject),
                  coloured(left, colour), common::crypto::format_time(report.info.not_after));
  if (const auto hosts = hosts_of(report); !hosts.empty())
    text += fmt::format("  for {}\n", said(fmt::format("{}", fmt::join(hosts, ", ")), kMaxReason));
  if (!report.verdict)
    text += fmt::format("  {}\n",
                        coloured(said(report.verdict.error().message, kMaxReason), Colour::Bad));
  return text;
}

int run_show(const CertArguments& arguments, WallTime now) {
  const auto reports = examine_all(arguments, now);
  if (!reports)
    return failure(reports.error());
  bool well = true;
  nlohmann::json list = nlohmann::json::array();
  std::string text;
  for (const CertificateReport& report : *reports) {
    well = well && is_well(report, arguments.within);
    if (arguments.json) {
      list.push_back(to_json(report, arguments.within));
    } else {
      text += to_text(report, arguments.within);
    }
  }
  if (arguments.json) {
    text = nlohmann::json{{"certificates", list}, {"well", well}}.dump(
               -1, ' ', true, nlohmann::json::error_handler_t::replace) +
           "\n";
  }
  print(text);
  return well ? kExitOk : kExitFailure;
}

using CertRun = int (*)(const CertArguments&, WallTime);

Command add_command(Command parent, Session& session, std::shared_ptr<CertArguments> arguments,
                    const char* name, const char* help, CertRun run) {
  auto command = parent.add_command(name, help);
  command.add_option("--cell", arguments->cell, "The cell's directory.").type_name("DIR");
  command.on_chosen([&session, arguments, run] {
    session.action = [&session, arguments, run] {
      return run(*arguments, session.clock.wall_now());
    };
  });
  return command;
}

}  // namespace

void add_cert_commands(Command cell, Session& session) {
  auto cert = cell.add_group("cert", "Issue, renew and show certificates.");
  auto arguments = std::make_shared<CertArguments>();
  auto issue =
      add_command(cert, session, arguments, "issue",
                  "Issue a certificate for a new key into NAME.crt and NAME.key.", &run_issue);
  issue.add_option("role", arguments->role, "What its holder is.")
      .type_name("kdc|lockserver|fileserver|mount|admin")
      .required();
  issue.add_option("name", arguments->name, "What its holder is called.")
      .type_name("NAME")
      .required();
  issue
      .add_option("--host", arguments->hosts,
                  "Name or address at which it is reached; may be given again.")
      .type_name("HOST")
      .repeatable();
  issue.add_option("--days", arguments->days, "How long it lasts.")
      .show_default()
      .type_name("DAYS");
  issue.add_option("--out", arguments->out, "Where to put the files.")
      .show_default()
      .type_name("DIR");

  auto renew = add_command(cert, session, arguments, "renew",
                           "Renew certificates: the same names, a later end.", &run_renew);
  renew.add_option("files", arguments->files, "Certificates, each beside its key.")
      .type_name("FILE");
  renew.add_flag("--all", arguments->all, "All servers whose directory is in the cell's.");
  renew.add_flag("--new-key", arguments->new_key, "Replace the key, too.");

  auto show =
      add_command(cert, session, arguments, "show",
                  "Show certificates and when they end; fails if one is not well.", &run_show);
  show.add_option("files", arguments->files, "Certificates; without any, the whole cell's.")
      .type_name("FILE");
  show.add_option("--within", arguments->within, "Fail also if one ends within DAYS days.")
      .show_default()
      .type_name("DAYS");
  show.add_flag("--json", arguments->json, "One JSON object.");
}

}  // namespace cli
