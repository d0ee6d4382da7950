#include "common/cell/new_tree.hpp"

#include <algorithm>

#include "common/crypto/random.hpp"

namespace common::cell {
namespace {

std::string temporary_prefix(const std::string& name) {
  return "." + name + ".new-";
}

Status write_file(io::FileIo& parent, const std::string& path, const NewFile& file) {
  TROTH_TRY(const auto handle, parent.open(path, io::OpenMode::CreateNew));
  TROTH_TRY_VOID(handle->write_at(0, file.content.bytes()));
  return handle->sync();
}

Status write_all(io::FileIo& parent, const std::string& root, const NewTree& tree,
                 const MakePublic& make_public) {
  for (const NewDirectory& directory : tree.directories) {
    TROTH_TRY_VOID(parent.make_directory(root + "/" + directory.path));
  }
  for (const NewFile& file : tree.files) {
    TROTH_TRY_VOID(write_file(parent, root + "/" + file.path, file));
  }
  for (const NewFile& file : tree.files) {
    if (file.audience == Audience::Everybody)
      TROTH_TRY_VOID(make_public(root + "/" + file.path));
  }
  for (const NewDirectory& directory : tree.directories) {
    if (directory.audience == Audience::Everybody)
      TROTH_TRY_VOID(make_public(root + "/" + directory.path));
    TROTH_TRY_VOID(parent.sync_directory(root + "/" + directory.path));
  }
  TROTH_TRY_VOID(make_public(root));
  return parent.sync_directory(root);
}

// Goes on after failures: whatever can be removed is. Missing things are fine.
void remove_all(io::FileIo& parent, const std::string& root, const NewTree& tree) {
  for (const NewFile& file : tree.files)
    static_cast<void>(parent.unlink(root + "/" + file.path));
  for (auto it = tree.directories.rbegin(); it != tree.directories.rend(); ++it)
    static_cast<void>(parent.remove_directory(root + "/" + it->path));
  static_cast<void>(parent.remove_directory(root));
}

bool is_there(io::FileIo& parent, const std::string& name) {
  const auto entries = parent.list("");
  return entries && std::any_of(entries->begin(), entries->end(),
                                [&](const io::Entry& entry) { return entry.name == name; });
}

}  // namespace

Status write_new_tree(io::FileIo& parent, const std::string& name, const NewTree& tree,
                      const MakePublic& make_public) {
  // The rename below refuses too, and it alone is free of races; this saves the work before it.
  if (is_there(parent, name))
    return fail(ErrorCode::AlreadyExists, "{} exists", name);
  TROTH_TRY(const std::uint64_t random, crypto::random_u64());
  const std::string temporary = temporary_prefix(name) + fmt::format("{:08x}", random >> 32);
  TROTH_TRY_VOID(parent.make_directory(temporary));
  Status made = write_all(parent, temporary, tree, make_public);
  if (made)
    made = parent.rename(temporary, name);
  if (!made) {
    remove_all(parent, temporary, tree);
    if (is_there(parent, temporary)) {
      return fail(made.error().code, "{}; remove the unfinished {} yourself", made.error().message,
                  temporary);
    }
    return made;
  }
  if (Status synced = parent.sync_directory(""); !synced) {
    return fail(synced.error().code, "{} was made but may be lost if the power fails: {}", name,
                synced.error().message);
  }
  return {};
}

std::vector<std::string> unfinished_trees(io::FileIo& parent, const std::string& name) {
  std::vector<std::string> found;
  const auto entries = parent.list("");
  if (!entries)
    return found;
  for (const io::Entry& entry : *entries) {
    if (entry.kind == io::EntryKind::Directory && entry.name.starts_with(temporary_prefix(name)))
      found.push_back(entry.name);
  }
  return found;
}

}  // namespace common::cell
