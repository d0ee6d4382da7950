#include "fileserver/access/source.hpp"

namespace fileserver::access {

Result<std::optional<Attributes>> StoreSource::attributes(NodeId node) {
  return store::read_attributes(tx_, node, at_);
}

Result<std::optional<Acl>> StoreSource::list(NodeId directory) {
  TROTH_TRY(const auto bytes, store::read_xattr(tx_, directory, kAclXattr, at_));
  if (!bytes)
    return std::optional<Acl>();
  TROTH_TRY(Acl acl, decode_acl(*bytes));
  return std::optional<Acl>(std::move(acl));
}

Result<bool> StoreSource::has_link(NodeId directory, NodeId node) {
  return store::read_has_link(tx_, directory, node, at_);
}

}  // namespace fileserver::access
