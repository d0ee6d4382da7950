#pragma once

// The one encoder and the one decoder of every JSON message of PROTOCOL.md 1 and 3: of each
// ...Args and ...Result of this folder.
//
// A decoder takes every list, text and number within its cap only, and fails with Protocol (the
// field is named), TooLarge (a list or text over its cap), or what check_file_name() says of names.
// Of arguments it refuses fields that it does not know: ignoring one could do what was not asked.
// Of results it ignores them: a newer server may say more. Where a result comes with raw bytes, see
// frames.hpp. Any thread; nothing blocks.

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/fileproto/changes.hpp"
#include "common/fileproto/contents.hpp"
#include "common/fileproto/reads.hpp"
#include "common/fileproto/sessions.hpp"

namespace common::fileproto {

// One line of JSON. Never fails: a message that breaks a cap is encoded, and refused by whoever
// decodes it.
template <typename Message>
[[nodiscard]] std::string encode(const Message& message);

// From what common/rpc has parsed, or from text.
template <typename Message>
[[nodiscard]] Result<Message> decode(const nlohmann::json& value);
template <typename Message>
[[nodiscard]] Result<Message> decode_text(std::string_view text);

}  // namespace common::fileproto
