#include "common/daemon/server_tls.hpp"

#include "common/daemon/server_certificate.hpp"

namespace common::daemon {

Result<std::shared_ptr<tls::ReloadableContext>> make_server_tls(const ServerSettings& settings,
                                                                const Clock& clock,
                                                                tls::ClientCertificates clients,
                                                                tls::Content content) {
  const CertificateFiles files{settings.certificate, settings.key, settings.ca};
  const auto maker = [clients, content, files, role = settings.role,
                      &clock]() -> Result<tls::ContextPtr> {
    tls::ContextPtr made;
    const auto use = [&](const CertificateFiles& current) -> Status {
      TROTH_TRY(made,
                tls::make_server({current.certificate, current.key, current.ca, clients, content}));
      return {};
    };
    TROTH_TRY([[maybe_unused]] const auto checked,
              check_server_certificate(files, role, clock.wall_now(), use));
    return made;
  };
  TROTH_TRY(auto context, tls::ReloadableContext::make(maker));
  return std::shared_ptr<tls::ReloadableContext>(std::move(context));
}

}  // namespace common::daemon
