#include "common/build_info.hpp"

#include <algorithm>
#include <string_view>

#include "common/build_info_table.inc"

// The libraries' own words for their versions. Weak: a program that does not link the library has
// none of them, and this file must not make it link. Declared here because their headers may be
// included only in the folders that use them; all have been part of the stable interface for years.
extern "C" {
[[gnu::weak]] const char* OpenSSL_version(int what);
[[gnu::weak]] const char* sqlite3_libversion();
[[gnu::weak]] const char* ZSTD_versionString();
[[gnu::weak]] const char* fuse_pkgversion();
}

namespace common {
namespace {

constexpr int kOpenSslVersionString = 6;  // OPENSSL_VERSION_STRING: "3.0.22" and nothing else

std::string running_version(std::string_view name) {
  const char* text = nullptr;
  if (name == "openssl" && OpenSSL_version != nullptr) {
    text = OpenSSL_version(kOpenSslVersionString);
  } else if (name == "sqlite3" && sqlite3_libversion != nullptr) {
    text = sqlite3_libversion();
  } else if (name == "zstd" && ZSTD_versionString != nullptr) {
    text = ZSTD_versionString();
  } else if (name == "libfuse" && fuse_pkgversion != nullptr) {
    text = fuse_pkgversion();
  }
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

std::vector<LibraryInfo> libraries() {
  std::vector<LibraryInfo> result;
  for (const auto& row : kLibraries) {
    result.push_back({.name = std::string(row.name),
                      .built_with = std::string(row.version),
                      .running = running_version(row.name),
                      .origin = std::string(row.origin)});
  }
  std::ranges::sort(result, {}, &LibraryInfo::name);
  return result;
}

std::string compiler() {
  return std::string(kCompiler);
}

std::string build_kind() {
  return std::string(kBuildKind);
}

}  // namespace common
