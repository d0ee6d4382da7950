#include "fileserver/access/whynot.hpp"

#include <algorithm>
#include <array>

namespace fileserver::access {
namespace {

using common::ErrorCode;

enum class Takes : std::uint8_t { Node, Directory, Both };

Result<Verdict> read(Judge& judge, const Subject& subject) {
  return judge.open(*subject.node, {.read = true});
}
Result<Verdict> write(Judge& judge, const Subject& subject) {
  return judge.open(*subject.node, {.write = true});
}
Result<Verdict> execute(Judge& judge, const Subject& subject) {
  return judge.open(*subject.node, {.execute = true});
}
Result<Verdict> store(Judge& judge, const Subject& subject) {
  return judge.store(*subject.node);
}
Result<Verdict> fetch(Judge& judge, const Subject& subject) {
  return judge.fetch(*subject.node);
}
Result<Verdict> reach(Judge& judge, const Subject& subject) {
  return judge.reach(*subject.node);
}
Result<Verdict> search(Judge& judge, const Subject& subject) {
  return judge.search(*subject.directory);
}
Result<Verdict> list(Judge& judge, const Subject& subject) {
  return judge.list(*subject.directory);
}
Result<Verdict> make(Judge& judge, const Subject& subject) {
  return judge.make(*subject.directory, NodeKind::File);
}
Result<Verdict> make_device(Judge& judge, const Subject& subject) {
  return judge.make(*subject.directory, NodeKind::BlockDevice);
}
Result<Verdict> remove(Judge& judge, const Subject& subject) {
  return judge.remove(*subject.directory, *subject.node);
}
Result<Verdict> link(Judge& judge, const Subject& subject) {
  return judge.link(*subject.node, *subject.directory);
}
Result<Verdict> chmod(Judge& judge, const Subject& subject) {
  return judge.set_attributes(*subject.node, {.mode = subject.node->mode});
}
Result<Verdict> chown(Judge& judge, const Subject& subject) {
  return judge.set_attributes(*subject.node, {.uid = ~subject.node->uid});
}
Result<Verdict> set_list(Judge& judge, const Subject& subject) {
  return judge.set_list(*subject.node);
}
Result<Verdict> get_xattr(Judge& judge, const Subject& subject) {
  return judge.get_xattr(*subject.node, "user.any");
}
Result<Verdict> set_xattr(Judge& judge, const Subject& subject) {
  return judge.set_xattr(*subject.node, "user.any");
}
Result<Verdict> lock(Judge& judge, const Subject& subject) {
  return judge.lock(*subject.node);
}

struct Row {
  std::string_view operation;
  Takes takes;
  Result<Verdict> (*judgement)(Judge&, const Subject&);
};

constexpr std::array kRows{
    Row{"lookup", Takes::Directory, search},
    Row{"walk", Takes::Directory, search},
    Row{"search", Takes::Directory, search},
    Row{"list", Takes::Directory, list},
    Row{"getattr", Takes::Node, reach},
    Row{"access", Takes::Node, reach},
    Row{"readlink", Takes::Node, reach},
    Row{"acl", Takes::Node, reach},
    Row{"xattrs", Takes::Node, reach},
    Row{"xattr", Takes::Node, get_xattr},
    Row{"open", Takes::Node, read},
    Row{"read", Takes::Node, read},
    Row{"fetch", Takes::Node, fetch},
    Row{"bulk", Takes::Node, fetch},
    Row{"history", Takes::Node, read},
    Row{"write", Takes::Node, write},
    Row{"truncate", Takes::Node, write},
    Row{"restore", Takes::Node, write},
    Row{"store", Takes::Node, store},
    Row{"append", Takes::Node, store},
    Row{"allocate", Takes::Node, store},
    Row{"copy-range", Takes::Node, store},
    Row{"execute", Takes::Node, execute},
    Row{"lock", Takes::Node, lock},
    Row{"lock-permit", Takes::Node, lock},
    Row{"create", Takes::Directory, make},
    Row{"mkdir", Takes::Directory, make},
    Row{"symlink", Takes::Directory, make},
    Row{"mknod", Takes::Directory, make_device},
    Row{"link", Takes::Both, link},
    Row{"unlink", Takes::Both, remove},
    Row{"rmdir", Takes::Both, remove},
    Row{"rename", Takes::Both, remove},
    Row{"setattr", Takes::Node, chmod},
    Row{"chmod", Takes::Node, chmod},
    Row{"chown", Takes::Node, chown},
    Row{"set-acl", Takes::Node, set_list},
    Row{"set-xattr", Takes::Node, set_xattr},
    Row{"remove-xattr", Takes::Node, set_xattr},
};

}  // namespace

Result<Verdict> judge_by_name(Judge& judge, std::string_view operation, const Subject& subject) {
  const auto* row = std::ranges::find(kRows, operation, &Row::operation);
  if (row == kRows.end())
    return common::fail(ErrorCode::InvalidArgument,
                        "no operation of that name: read, write, execute, search, list, create, "
                        "unlink, rename, chmod, chown, set-acl and others");
  Subject about = subject;
  // A directory may be named by itself, too.
  if (row->takes == Takes::Directory && about.directory == nullptr)
    about.directory = about.node;
  if ((row->takes != Takes::Directory && about.node == nullptr) ||
      (row->takes != Takes::Node && about.directory == nullptr)) {
    return common::fail(ErrorCode::InvalidArgument, "name a directory and what is in it");
  }
  return row->judgement(judge, about);
}

}  // namespace fileserver::access
