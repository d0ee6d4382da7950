#pragma once

// A file that appears under its name whole or not at all, and only where nothing is.

#include <string>

#include "common/bytes.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::io {

// Is filled without a name where the file system can do that: killed, it leaves nothing. Elsewhere
// it leaves PATH.XXXXXX. Mode 0600. One thread; blocks on the disk.
class NewFile {
 public:
  // AlreadyExists if something has that name by now, a symbolic link included.
  [[nodiscard]] static Result<NewFile> create(const std::string& path);

  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  [[nodiscard]] Status append(ByteView bytes);
  // Gives it its name. It is on the disk when this returns. AlreadyExists if somebody was faster.
  [[nodiscard]] Status publish();

 private:
  NewFile(std::string path, std::string directory, UniqueFd fd, std::string temporary)
      : path_(std::move(path)),
        directory_(std::move(directory)),
        fd_(std::move(fd)),
        temporary_(std::move(temporary)) {}

  std::string path_;
  std::string directory_;
  UniqueFd fd_;
  std::string temporary_;  // its name until then; empty: it has none
};

}  // namespace common::io
