#include "fileserver/callers/kdc_questions.hpp"

#include "common/auth/authenticate.hpp"
#include "common/auth/credential_source.hpp"
#include "common/rpc/socket.hpp"
#include "common/ticket/keytab.hpp"

namespace fileserver {

namespace auth = common::auth;
using common::Result;

Result<std::unique_ptr<KdcQuestions>> KdcQuestions::make(const KdcQuestionsOptions& options) {
  auth::KdcOptions where;
  where.cell = options.cell;
  where.servers = {{options.kdc.host, options.kdc.port}};
  TROTH_TRY(where.tls, common::tls::ReloadableContext::make(
                           [ca = options.ca] { return common::tls::make_client({.ca = ca}); }));
  const auth::KdcClient kdc(std::move(where));
  auth::SourceOptions tickets = auth::from_kdc(kdc);
  tickets.login = [kdc, keytab = options.keytab](
                      common::Instant deadline) -> Result<common::ticket::Credential> {
    TROTH_TRY(const auto keys, common::ticket::load_keytab(keytab));
    return kdc.login(common::ticket::AsWanted{}, keys, deadline);
  };
  auto source = std::make_shared<auth::CredentialSource>(std::move(tickets));
  return std::unique_ptr<KdcQuestions>(new KdcQuestions(kdc.client_options(
      0, auth::authenticate_with(std::move(source), std::string(common::ticket::kAdminService)))));
}

Result<auth::DisabledNews> KdcQuestions::disabled(std::optional<std::uint64_t> since,
                                                  common::ticket::PrincipalId after) {
  // A connection that the KDC has ended meanwhile says nothing about the KDC.
  if (client_.connected() && !client_.still_open())
    client_.disconnect();
  return auth::ask_disabled(client_, since, after, common::rpc::now() + kQuestionLimit,
                            &cancellation_);
}

}  // namespace fileserver
