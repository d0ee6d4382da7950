#include "common/fileclient/remote_path.hpp"

#include <algorithm>

#include "common/cell/description.hpp"

namespace common::fileclient {
namespace {

// Without slashes at the end.
std::string_view without_end(std::string_view path) {
  while (!path.empty() && path.back() == '/')
    path.remove_suffix(1);
  return path;
}

std::string_view last_part(std::string_view path) {
  path = without_end(path);
  return path.substr(path.rfind('/') + 1);
}

Status split_front(std::string_view front, RemotePath& into) {
  const std::size_t colon = front.find(':');
  into.volume = front.substr(colon == std::string_view::npos ? 0 : colon + 1);
  if (colon != std::string_view::npos)
    into.cell = front.substr(0, colon);
  if (colon != std::string_view::npos)
    TROTH_TRY_VOID(cell::check_name("the cell before the colon", into.cell));
  return cell::check_name("the volume before the colon", into.volume);
}

}  // namespace

bool RemotePath::names_directory() const {
  const std::string_view last = std::string_view(path).substr(path.rfind('/') + 1);
  return last.empty() || last == "." || last == "..";
}

Result<RemotePath> parse_remote_path(std::string_view text) {
  if (text.empty())
    return fail(ErrorCode::InvalidArgument, "an empty path names nothing; the top is /");
  if (text.size() > kMaxPathBytes)
    return fail(ErrorCode::TooLarge, "a path of {} bytes; at most {}", text.size(), kMaxPathBytes);
  if (text.find('\0') != std::string_view::npos)
    return fail(ErrorCode::InvalidArgument, "a path has no NUL byte in it");
  RemotePath path;
  const std::string_view before_slash = text.substr(0, text.find('/'));
  if (before_slash.size() > 1 && before_slash.back() == ':') {
    TROTH_TRY_VOID(split_front(before_slash.substr(0, before_slash.size() - 1), path));
    text.remove_prefix(before_slash.size());
    path.path = text.empty() ? "/" : text;
    return path;
  }
  path.path = text;
  path.relative = text[0] != '/';
  return path;
}

std::string to_text(const RemotePath& path) {
  std::string text;
  if (!path.cell.empty())
    text = path.cell + ":";
  if (!path.volume.empty())
    text += path.volume + ":";
  // A name that would be taken for a volume.
  const std::string_view first = std::string_view(path.path).substr(0, path.path.find('/'));
  if (text.empty() && first.size() > 1 && first.back() == ':')
    text = "./";
  return text + path.path;
}

RemotePath seen_from(const RemotePath& from, RemotePath path) {
  if (!path.relative)
    return path;
  path.cell = from.cell;
  path.volume = from.volume;
  path.path = joined(from.path, path.path);
  path.relative = false;
  return path;
}

std::vector<std::string> names_of(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    if (!name.empty() && name != ".")
      names.emplace_back(name);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return names;
}

std::string joined(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/')
    path += '/';
  path += name;
  return path;
}

std::string base_name(std::string_view path) {
  const std::string_view last = last_part(path);
  return last == "." || last == ".." ? std::string() : std::string(last);
}

}  // namespace common::fileclient
