#pragma once

// Asking a person: passwords without echo, and what may be seen. Main thread only; blocks until
// there is an answer, at most kPromptPatience.

#include <chrono>
#include <string>
#include <string_view>

#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace cli {

inline constexpr std::size_t kMaxPasswordBytes = 1024;
// Nobody is at the terminal any more.
inline constexpr std::chrono::minutes kPromptPatience{10};

// From the terminal (/dev/tty), whatever standard input is. Echo is off meanwhile, and on again
// however this ends: also when a signal ends or stops the program. Unavailable without a terminal,
// Cancelled at its end of file.
common::Result<common::crypto::Secret> ask_password(const std::string& prompt);
// Twice; InvalidArgument if the two differ.
common::Result<common::crypto::Secret> ask_new_password(const std::string& prompt);

// The next line of standard input, without its end; read byte by byte, so that what follows stays.
common::Result<common::crypto::Secret> read_password_line();

// What the person answers on the terminal, at most 127 bytes of it. Unavailable without one.
common::Result<std::string> ask_line(const std::string& question);

}  // namespace cli
