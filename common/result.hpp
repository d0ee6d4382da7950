#pragma once

// Results: how every fallible function in this project reports failure.
//
// A failure is a value: a closed code for programs and one sentence for people. It is translated
// exactly once at each edge: to errno in fuse-client, to an HTTP status in common/rpc, to an exit
// code in the programs that people type.

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace common {

// The closed set of failures. A caller decides by the code alone, never by the sentence. Adding a
// code means visiting every place that translates codes; the compiler finds them (-Wswitch).
enum class ErrorCode : std::uint8_t {
  InvalidArgument,    // the caller's input is wrong; repeating it cannot help
  NotFound,           // what was named does not exist
  AlreadyExists,      // what was to be made exists
  PermissionDenied,   // known caller, not allowed
  Unauthenticated,    // no valid proof of who is calling
  Expired,            // a ticket, certificate or lease has run out
  Conflict,           // a condition on a version did not hold
  Stale,              // a handle, epoch or fencing token has been overtaken
  Deadlock,           // waiting would close a cycle
  Unavailable,        // not done, and certainly not executed: repeating is safe
  OutcomeUnknown,     // may have been executed: repeat only under the same operation id
  DeadlineExceeded,   // the deadline passed before anything was executed
  Cancelled,          // the caller gave up
  Overloaded,         // refused before any work; see Error::retry_after
  ResourceExhausted,  // a cap or quota is reached
  NoSpace,            // the disk is full
  TooLarge,           // a length is over its stated limit
  Busy,               // held by somebody else: port in use, data directory in use
  Corrupt,            // stored bytes do not match their checksum or cannot be decoded
  IoError,            // the kernel or a device refused
  Protocol,           // the peer broke the protocol
  Unsupported,        // version or feature not known here
  Internal,           // a bug of ours that was caught
};

// Stable lower-case name of a code, as it appears on the wire and in logs ("not_found").
std::string_view to_string(ErrorCode code);

// The code with that name, or ErrorCode::Internal if there is none (a newer peer's code).
ErrorCode error_code_from_string(std::string_view name);

// A failure. `message` is one sentence that says what happened and, where somebody can do
// something, what to do next. It never holds a secret and never ends in a newline.
struct Error {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
  // Only with Overloaded and Unavailable: when trying again is worthwhile; zero means unknown.
  std::chrono::milliseconds retry_after{0};
  // The errno that a mount must report where the code alone does not tell (ENOTEMPTY, EISDIR,
  // EMLINK, ...); 0: the code tells. Travels by its name, as numbers differ between systems.
  int error_number = 0;
  // One JSON object for programs, where a protocol says what is in it (the condition that did not
  // hold, and what is there instead); else empty.
  std::string detail = {};

  // The same failure seen from one level up: "context: message".
  [[nodiscard]] Error in(std::string_view context) const;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// Builds a failure: `return fail(ErrorCode::NotFound, "no volume named {}", name);`
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format,
                                         Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// Builds a failure from an errno left by a system call: `return fail_errno(errno, "open {}",
// path);` ENOENT, EEXIST, EACCES/EPERM, ENOSPC/EDQUOT, EADDRINUSE, ETIMEDOUT, EMFILE and the like
// get their own code, everything else is IoError. The sentence ends in the system's own text.
[[nodiscard]] tl::unexpected<Error> fail_errno_text(int error_number, std::string what);
ErrorCode error_code_from_errno(int error_number);

template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail_errno(int error_number, fmt::format_string<Args...> format,
                                               Args&&... args) {
  return fail_errno_text(error_number, fmt::format(format, std::forward<Args>(args)...));
}

// Builds a failure that stands for this errno in what users see of files: the sentence is the
// caller's own, the code is that of the errno.
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail_posix(int error_number, fmt::format_string<Args...> format,
                                               Args&&... args) {
  return tl::unexpected<Error>(Error{error_code_from_errno(error_number),
                                     fmt::format(format, std::forward<Args>(args)...),
                                     {},
                                     error_number});
}

// "ENOTEMPTY" for ENOTEMPTY, and back; empty and 0 for what no file operation reports.
std::string_view errno_name(int error_number);
int errno_from_name(std::string_view name);

}  // namespace common

// The one early-return macro: evaluates a Result or Status, and returns its error if it failed.
//   TROTH_TRY(auto file, io.open(path));    // declares file
//   TROTH_TRY_VOID(file.sync());
#define TROTH_CONCAT_INNER(a, b) a##b
#define TROTH_CONCAT(a, b) TROTH_CONCAT_INNER(a, b)
#define TROTH_TRY(declaration, expression) \
  TROTH_TRY_AS(TROTH_CONCAT(troth_try_, __LINE__), declaration, expression)
#define TROTH_TRY_AS(temporary, declaration, expression)                  \
  auto temporary = (expression);                                          \
  if (!temporary)                                                         \
    return tl::unexpected<::common::Error>(std::move(temporary).error()); \
  declaration = *std::move(temporary)
#define TROTH_TRY_VOID(expression)                                                 \
  do {                                                                             \
    if (auto troth_try_status = (expression); !troth_try_status)                   \
      return tl::unexpected<::common::Error>(std::move(troth_try_status).error()); \
  } while (false)
