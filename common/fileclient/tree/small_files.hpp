#pragma once

// Many small new nodes with few calls: files with their bytes, symbolic links, in batches of one
// commit each; then the times that they are to have.

#include <optional>
#include <string>
#include <vector>

#include "common/fileclient/file_client.hpp"
#include "common/fileclient/transfer/progress.hpp"
#include "common/fileclient/tree/tree_report.hpp"

namespace common::fileclient {

// Of one node to be made or overwritten.
struct SmallFile {
  Fid dir;
  std::string name;
  std::string path;  // for reports
  std::uint32_t mode = 0;
  fileproto::FileTime mtime = 0;
  std::optional<fileproto::Attributes> existing;  // a file that is overwritten
  Bytes bytes;                                    // at most kMostSmall
  std::string link;                               // not empty: a symbolic link to this instead
};

// A file of up to this many bytes travels in a batch.
inline constexpr std::uint64_t kMostSmall = 128 * 1024;

// Collects until a batch is full. One thread.
class SmallFiles {
 public:
  // True: it has to be sent before anything else is added.
  [[nodiscard]] bool full_with(const SmallFile& file) const;
  void add(SmallFile file);
  [[nodiscard]] std::vector<SmallFile> take();
  [[nodiscard]] bool empty() const { return files_.empty(); }

 private:
  std::vector<SmallFile> files_;
  std::uint64_t bytes_ = 0;
};

// Makes them all, in one commit if that works, else one by one; what fails is reported. A failure:
// nothing more can be done. Any thread.
[[nodiscard]] Status send_small_files(FileClient& client, const std::vector<SmallFile>& files,
                                      TreeReport& report, Progress* progress,
                                      const CallOptions& calls);

}  // namespace common::fileclient
