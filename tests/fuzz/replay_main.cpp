// Feeds every file of the given directories to the fuzz target that has the directory's name, and
// every prefix of the small ones: the corpora as ordinary tests.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

namespace {

std::size_t replay(const std::filesystem::path& corpus, fuzz::Target target) {
  constexpr std::size_t kEveryPrefixUpTo = 512;
  std::size_t runs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const std::size_t first = all.size() <= kEveryPrefixUpTo ? 0 : all.size();
    for (std::size_t size = first; size <= all.size(); ++size, ++runs) {
      // An exact copy, so that the sanitizer sees a read beyond the end.
      const std::vector<std::uint8_t> bytes(all.begin(),
                                            all.begin() + static_cast<std::ptrdiff_t>(size));
      static_cast<void>(target(bytes.data(), bytes.size()));
    }
  }
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t runs = 0;
  for (int i = 1; i < argc; ++i) {
    const std::filesystem::path corpus(argv[i]);
    const auto target = fuzz::targets().find(corpus.filename().string());
    if (target == fuzz::targets().end()) {
      std::fprintf(stderr, "no target is named %s\n", corpus.filename().c_str());
      return 2;
    }
    const std::size_t fed = replay(corpus, target->second);
    if (fed == 0) {
      std::fprintf(stderr, "nothing in %s\n", corpus.c_str());
      return 1;
    }
    runs += fed;
  }
  std::printf("%zu inputs\n", runs);
  return runs > 0 ? 0 : 1;
}
