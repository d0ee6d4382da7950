#pragma once

// Where soak programs keep their files.

#include <string>

namespace test_support {

// A directory in memory. Where that is allowed (to root), it is in a mount namespace of the
// program's own: nobody else sees it, nobody else's namespaces keep what is mounted below it, and
// it goes with the last of the program's processes however they end. Else it is removed in the end.
// Made first of all, while there is one thread.
class SoakScratch {
 public:
  SoakScratch();
  ~SoakScratch();
  SoakScratch(const SoakScratch&) = delete;
  SoakScratch& operator=(const SoakScratch&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // A new directory below.
  [[nodiscard]] std::string make() const;

 private:
  std::string path_;
};

// Removes a directory and all that is in it.
class RemovedAtEnd {
 public:
  explicit RemovedAtEnd(std::string path) : path_(std::move(path)) {}
  ~RemovedAtEnd();
  RemovedAtEnd(const RemovedAtEnd&) = delete;
  RemovedAtEnd& operator=(const RemovedAtEnd&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace test_support
