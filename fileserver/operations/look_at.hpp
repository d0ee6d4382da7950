#pragma once

// Reads of one call, of one moment.

#include "fileserver/operations/call_view.hpp"

namespace fileserver {

// `what(view)` with everything that it asks answered as of one moment: now, or of the seq that the
// call names.
template <typename F>
[[nodiscard]] Status look_at(FileCall& call, const VolumeRef& volume, const fileproto::Scope& scope,
                             F&& what) {
  TROTH_TRY(const access::Caller caller, CallView::caller_of(call, volume, scope.as));
  // Verdicts of the past are worth nothing to others.
  const auto generation = scope.at ? std::nullopt : volume.generation().now();
  auto look = [&](store::ReadTx& tx, store::At at) -> Status {
    const Moment moment{tx, at, generation};
    CallView view(call, volume, moment, caller,
                  {CallView::owner_of(call, scope.as), scope.via, scope.at.has_value()});
    return what(view);
  };
  return volume->view(look, scope.at);
}

}  // namespace fileserver
