// Feeds every file of the given directories to a fuzz target, and every prefix of the small ones:
// the corpus as an ordinary test.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

int main(int argc, char** argv) {
  constexpr std::size_t kEveryPrefixUpTo = 512;
  std::size_t runs = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
      const std::size_t first = all.size() <= kEveryPrefixUpTo ? 0 : all.size();
      for (std::size_t size = first; size <= all.size(); ++size, ++runs) {
        // An exact copy, so that the sanitizer sees a read beyond the end.
        const std::vector<std::uint8_t> bytes(all.begin(),
                                              all.begin() + static_cast<std::ptrdiff_t>(size));
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      }
    }
  }
  std::printf("%zu inputs\n", runs);
  return runs > 0 ? 0 : 1;
}
