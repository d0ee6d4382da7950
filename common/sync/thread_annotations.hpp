#pragma once

// Names for clang's thread-safety attributes; they vanish under other compilers. tools/test checks
// all sources with -Werror=thread-safety.

#if defined(__clang__)
#define TROTH_TSA(x) __attribute__((x))
#else
#define TROTH_TSA(x)
#endif

#define CAPABILITY(name) TROTH_TSA(capability(name))
#define SCOPED_CAPABILITY TROTH_TSA(scoped_lockable)
#define GUARDED_BY(mutex) TROTH_TSA(guarded_by(mutex))
#define PT_GUARDED_BY(mutex) TROTH_TSA(pt_guarded_by(mutex))
#define REQUIRES(...) TROTH_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) TROTH_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) TROTH_TSA(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) TROTH_TSA(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) TROTH_TSA(release_capability(__VA_ARGS__))
#define RETURN_CAPABILITY(mutex) TROTH_TSA(lock_returned(mutex))
#define NO_THREAD_SAFETY_ANALYSIS TROTH_TSA(no_thread_safety_analysis)
