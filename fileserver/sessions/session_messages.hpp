#pragma once

// What promises say to mounts, as messages of the stream.

#include <vector>

#include "common/bytes.hpp"
#include "fileserver/sessions/promise_keeper.hpp"

namespace fileserver {

// A break of more nodes than a message holds is one of everything.
[[nodiscard]] common::Bytes encode_break(const SendBreak& message);
// As many messages as it takes. Attributes are not told: what a node is, and whether the mount's
// users may see it, is asked for when it is used.
[[nodiscard]] std::vector<common::Bytes> encode_update(const SendUpdate& message,
                                                       const ChangeNews& news);

}  // namespace fileserver
