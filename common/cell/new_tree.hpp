#pragma once

// A directory with everything in it, made at once: it appears whole or not at all, whatever kills
// the process or the machine meanwhile.

#include <functional>
#include <string>
#include <vector>

#include "common/crypto/secret.hpp"
#include "common/io/file_io.hpp"

namespace common::cell {

// Who may read a file or enter a directory. What the owner alone may use is the default of FileIo.
enum class Audience { Owner, Everybody };

struct NewFile {
  std::string path;  // below the tree's root
  crypto::Secret content;
  Audience audience = Audience::Owner;
};

struct NewDirectory {
  std::string path;  // parents come first; the root itself is not listed
  Audience audience = Audience::Owner;
};

struct NewTree {
  std::vector<NewDirectory> directories;
  std::vector<NewFile> files;
};

// Makes a path (relative to the parent) readable for everybody; a FileIo knows no modes.
using MakePublic = std::function<Status(const std::string& path)>;

// Writes the tree to a temporary sibling of `name`, syncs it to the disk and renames it. Never
// replaces anything: if `name` exists the answer is AlreadyExists. After any other failure nothing
// is left, or the sentence says what to remove. A killed process leaves the sibling, which
// unfinished_trees() finds.
Status write_new_tree(io::FileIo& parent, const std::string& name, const NewTree& tree,
                      const MakePublic& make_public);

// Names of siblings that an interrupted attempt to make `name` left (or one that still runs).
std::vector<std::string> unfinished_trees(io::FileIo& parent, const std::string& name);

}  // namespace common::cell
