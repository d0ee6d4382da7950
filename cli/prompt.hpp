#pragma once

// Asking a person: passwords without echo, and yes or no. Main thread only; blocks until there is
// an answer, at most kPromptPatience.

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

// Whether the person says "yes" to the question, on the terminal. Unavailable without one.
common::Result<bool> ask_yes(const std::string& question);

}  // namespace cli
