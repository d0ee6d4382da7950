#pragma once

// Named places in the product where a test can make it fail, die, or wait, at exactly the chosen
// moment. In a build without failpoints (release builds, see meson_options.txt) the macros are
// nothing at all.
//
//   TROTH_FAILPOINT("db.commit.before_sync");      // may die or wait; a planned error is ignored
//   TROTH_FAILPOINT_TRY("db.commit.before_sync");  // may also return the planned error
//
// Names are literals, `folder.operation.place`. Armed from outside by the environment,
//   TROTH_FAILPOINTS="db.commit.before_sync=kill@3;io.sync=error(io_error)@1"
// or inside the process by arm(). A specification that cannot be read ends the process (exit code
// 2): a test that arms nothing would pass for the wrong reason.
//
// Actions, each with an optional @N (at the N-th hit only), @N+ (from the N-th on) or @N*M (at the
// N-th and every M-th after it); without it every hit counts:
//   kill            SIGKILL to the own process: nothing is flushed, no destructor runs
//   error(code)     an error with that code (common::to_string's names)
//   pause(socket)   connects to that UNIX socket, writes the name and a newline, and goes on once a
//                   byte or the end comes back, at the latest after kLongestPause
//   count           only counts, see hits()

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "common/result.hpp"

#ifndef TROTH_FAILPOINTS_ENABLED
#define TROTH_FAILPOINTS_ENABLED 0
#endif

namespace common::failpoint {

// A forgotten pause must not outlive the test program's own timeout by much.
inline constexpr std::chrono::seconds kLongestPause{60};

inline constexpr bool kCompiledIn = TROTH_FAILPOINTS_ENABLED != 0;

// Reaches the place: does what is planned for it. Safe from any thread; nothing planned costs one
// atomic load. Called through the macros.
[[nodiscard]] Status hit(std::string_view name);

// Adds plans written as in the environment variable; InvalidArgument names what it cannot read, and
// then none of them is added.
[[nodiscard]] Status arm(std::string_view specification);
// Calls `action` at every hit, in the hitting thread with no lock held; its Status is the hit's.
void arm_call(std::string_view name, std::function<Status()> action);
// Forgets all plans and counts.
void disarm_all();
// How often the place was reached since something was first planned for it.
[[nodiscard]] std::uint64_t hits(std::string_view name);

// Arms for a scope. For tests inside one process, one at a time.
class Armed {
 public:
  explicit Armed(std::string_view specification) : status_(arm(specification)) {}
  ~Armed() { disarm_all(); }
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  Status status_;
};

}  // namespace common::failpoint

#if TROTH_FAILPOINTS_ENABLED
#define TROTH_FAILPOINT(name) static_cast<void>(::common::failpoint::hit(name))
#define TROTH_FAILPOINT_TRY(name) TROTH_TRY_VOID(::common::failpoint::hit(name))
#else
#define TROTH_FAILPOINT(name) static_cast<void>(0)
#define TROTH_FAILPOINT_TRY(name) static_cast<void>(0)
#endif
