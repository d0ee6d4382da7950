#pragma once

// What every fuzz target includes: its head, and a check that stops the run.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>

#include "common/bytes.hpp"

namespace fuzz {

using Target = int (*)(const std::uint8_t* data, std::size_t size);

// All targets of a program that holds several.
inline std::map<std::string_view, Target>& targets() {
  static std::map<std::string_view, Target> all;
  return all;
}

struct Named {
  Named(std::string_view name, Target target) { targets().emplace(name, target); }
};

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline common::ByteView bytes(const std::uint8_t* data, std::size_t size) {
  return common::as_bytes(text(data, size));
}

// A promise of the decoder: a false one is a finding.
inline void require(bool holds, const char* promise) {
  if (holds)
    return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

}  // namespace fuzz

// FUZZ_TARGET(name) { what is done with the `size` bytes at `data`; return 0; }
#ifdef TROTH_FUZZ_BY_NAME
#define FUZZ_TARGET(name)                                             \
  static int fuzz_##name(const std::uint8_t* data, std::size_t size); \
  static const fuzz::Named named_##name(#name, &fuzz_##name);         \
  static int fuzz_##name(const std::uint8_t* data, std::size_t size)
#else  // libFuzzer's entry point
#define FUZZ_TARGET(name) \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
#endif
