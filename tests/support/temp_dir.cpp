#include "tests/support/temp_dir.hpp"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

namespace test_support {

TempDir::TempDir() {
  std::string pattern = std::filesystem::temp_directory_path() / "t.XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    std::perror("making a temporary directory");
    std::abort();
  }
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;  // the leak check of the runner names what stays
  std::filesystem::remove_all(path_, ignored);
}

common::Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf() || file.peek() == std::ifstream::traits_type::eof()))
    return common::fail_errno(errno, "read {}", path.string());
  return text.str();
}

common::Status write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!(file << text) || !file.flush())
    return common::fail_errno(errno, "write {}", path.string());
  return {};
}

std::size_t entries_of(const std::filesystem::path& directory) {
  const std::filesystem::directory_iterator begin(directory);
  return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
}

const std::string& test_id() {
  static const std::string id = [] {
    const char* given = std::getenv("TROTH_TEST_ID");
    return given != nullptr ? std::string(given) : fmt::format("p{}", ::getpid());
  }();
  return id;
}

}  // namespace test_support
