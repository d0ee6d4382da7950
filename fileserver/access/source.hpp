#pragma once

// What a judgement looks at: one moment of a volume.

#include <optional>

#include "fileserver/access/acl_bytes.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver::access {

using common::NodeId;
using common::Result;
using store::Attributes;

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // nullopt: there is no such node.
  [[nodiscard]] virtual Result<std::optional<Attributes>> attributes(NodeId node) = 0;
  // Of a directory; nullopt: mode bits govern it and its files.
  [[nodiscard]] virtual Result<std::optional<Acl>> list(NodeId directory) = 0;
  // Whether a node that is no directory has a name in this one.
  [[nodiscard]] virtual Result<bool> has_link(NodeId directory, NodeId node) = 0;
  // It is not there yet, and may never be: nobody else may hear of it.
  [[nodiscard]] virtual bool is_provisional(NodeId) const { return false; }
};

// The rows of a volume, in a transaction that outlives it. nullopt: the present ones.
class StoreSource final : public Source {
 public:
  StoreSource(store::ReadTx& tx, store::At at) : tx_(tx), at_(at) {}

  [[nodiscard]] Result<std::optional<Attributes>> attributes(NodeId node) override;
  [[nodiscard]] Result<std::optional<Acl>> list(NodeId directory) override;
  [[nodiscard]] Result<bool> has_link(NodeId directory, NodeId node) override;

 private:
  store::ReadTx& tx_;
  const store::At at_;
};

}  // namespace fileserver::access
