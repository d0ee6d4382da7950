#include "kdc/own_keys.hpp"

#include <algorithm>

namespace kdc {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::ticket::Keytab;

Result<Keytab> keytab_of(const std::string& cell, const std::string& name,
                         std::vector<StoredKey> keys, Time now, bool pending) {
  std::erase_if(keys, [&](const StoredKey& key) {
    const bool ended = key.not_after && *key.not_after <= now;
    return ended || (key.state == KeyState::Pending && !pending) ||
           (key.state == KeyState::Retired && !key.not_after);
  });
  std::sort(keys.begin(), keys.end(),
            [](const StoredKey& a, const StoredKey& b) { return a.kvno < b.kvno; });
  if (keys.size() > common::ticket::kMaxKeytabKeys) {
    keys.erase(keys.begin(),
               keys.end() - static_cast<std::ptrdiff_t>(common::ticket::kMaxKeytabKeys));
  }
  if (keys.empty())
    return fail(ErrorCode::Corrupt, "{} has no key that is good", name);
  TROTH_TRY(Keytab keytab, Keytab::make(cell, name));
  for (StoredKey& key : keys)
    TROTH_TRY_VOID(keytab.add(key.kvno, std::move(key.key), key.not_after));
  return keytab;
}

OwnKeys::OwnKeys(Database& database, std::string cell, const common::Clock& clock)
    : database_(database),
      clock_(clock),
      tgs_(cell, std::string(kTgsService)),
      admin_(std::make_shared<common::ticket::Verifier>(std::move(cell), std::string(kAdminService),
                                                        clock)) {}

Status OwnKeys::refresh() {
  const std::uint64_t look = ++looks_;
  const auto read = [&](std::string_view service) -> Result<Keytab> {
    const std::string name(service);
    TROTH_TRY(const Id id, database_.principals().id_of(name));
    TROTH_TRY(auto keys, database_.keys().all_of_service(id));
    return keytab_of(tgs_.cell(), name, std::move(keys), time_now(clock_), false);
  };
  TROTH_TRY(const Keytab tgs, read(kTgsService));
  TROTH_TRY(const Keytab admin, read(kAdminService));

  const common::MutexLock lock(mutex_);
  if (look < taken_)
    return {};
  TROTH_TRY_VOID(tgs_.set_keys(tgs));
  TROTH_TRY_VOID(admin_->set_keys(admin));
  taken_ = look;
  tgs_newest_ = tgs.newest()->kvno;
  admin_newest_ = admin.newest()->kvno;
  return {};
}

Status OwnKeys::need(std::string_view service, Kvno kvno) {
  const bool tgs = service == kTgsService;
  if (!tgs && service != kAdminService)
    return {};
  return kvno <= (tgs ? tgs_newest_ : admin_newest_).load() ? Status{} : refresh();
}

}  // namespace kdc
