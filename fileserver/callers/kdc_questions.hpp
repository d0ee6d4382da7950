#pragma once

// How this server asks the KDC: by its own keytab, over a connection that is kept.

#include <memory>
#include <optional>
#include <string>

#include "common/auth/disabled.hpp"
#include "common/auth/kdc_client.hpp"
#include "common/config/values.hpp"
#include "common/result.hpp"
#include "common/rpc/cancellation.hpp"

namespace fileserver {

// One question may take so long: a server that is told to stop waits for it.
inline constexpr std::chrono::milliseconds kQuestionLimit{1'500};

struct KdcQuestionsOptions {
  std::string cell;
  common::config::Endpoint kdc;
  std::string ca;      // PEM file of the cell's authority
  std::string keytab;  // of this server; read again at each login, for it is rotated
};

// Used by one thread, but for cancel().
class KdcQuestions {
 public:
  // Reads the authority's certificate.
  [[nodiscard]] static common::Result<std::unique_ptr<KdcQuestions>> make(
      const KdcQuestionsOptions& options);

  // As auth::ask_disabled; within kQuestionLimit.
  [[nodiscard]] common::Result<common::auth::DisabledNews> disabled(
      std::optional<std::uint64_t> since, common::ticket::PrincipalId after);

  // Ends the question under way, and all later ones. Any thread.
  void cancel() { cancellation_.cancel(); }

 private:
  explicit KdcQuestions(common::rpc::ClientOptions options) : client_(std::move(options)) {}

  common::rpc::Cancellation cancellation_;
  common::rpc::Client client_;
};

}  // namespace fileserver
