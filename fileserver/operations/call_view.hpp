#pragma once

// What a caller sees of a volume at one moment, and what he may do with it.

#include <map>
#include <optional>

#include "common/fileproto/reads.hpp"
#include "fileserver/access/judge.hpp"
#include "fileserver/operations/file_call.hpp"

namespace fileserver {

namespace fileproto = common::fileproto;

// Extended attributes of this prefix are the server's own: no call tells of them.
inline constexpr std::string_view kReservedXattrs = "troth.";

// The moment's rows, with what earlier steps of a batch have made: directories that are not there
// yet are judged as they will be.
class MomentSource final : public access::Source {
 public:
  explicit MomentSource(const Moment& moment) : rows_(moment.tx, moment.at) {}

  [[nodiscard]] Result<std::optional<store::Attributes>> attributes(NodeId node) override;
  [[nodiscard]] Result<std::optional<access::Acl>> list(NodeId directory) override;
  [[nodiscard]] Result<bool> has_link(NodeId directory, NodeId node) override;
  [[nodiscard]] bool is_provisional(NodeId node) const override {
    return find_made(node) != nullptr;
  }

  void made(const store::Attributes& node) { made_[node.node] = node; }
  [[nodiscard]] const store::Attributes* find_made(NodeId node) const;

 private:
  access::StoreSource rows_;
  std::map<NodeId, store::Attributes> made_;
};

// Lives for one look. One thread.
class CallView {
 public:
  // PermissionDenied: he speaks for somebody for whom he may not.
  [[nodiscard]] static Result<access::Caller> caller_of(FileCall& call, const VolumeRef& volume,
                                                        const fileproto::Speaker& as);
  // Whose what is opened by the call is, and by which open files he may what he was allowed.
  [[nodiscard]] static HandleOwner owner_of(const FileCall& call, const fileproto::Speaker& as);
  struct Way {
    HandleOwner owner;
    std::optional<NodeId> via;
    bool is_past = false;
  };
  CallView(FileCall& call, const VolumeRef& volume, const Moment& moment,
           const access::Caller& caller, const Way& way);
  CallView(const CallView&) = delete;
  CallView& operator=(const CallView&) = delete;

  [[nodiscard]] const Moment& moment() const { return moment_; }
  [[nodiscard]] const VolumeRef& volume() const { return volume_; }
  [[nodiscard]] const VolumeSet& volumes() const { return volumes_; }
  [[nodiscard]] const access::Caller& caller() const { return caller_; }
  [[nodiscard]] const HandleOwner& owner() const { return owner_; }
  // It is not of what is there now. What is open is open as it is now, or as it is pinned.
  [[nodiscard]] bool is_past() const { return is_past_; }
  // Of its connection; nullptr: it has joined none.
  [[nodiscard]] FileSession* session() const { return call_.session().get(); }
  [[nodiscard]] MomentSource& source() { return source_; }
  [[nodiscard]] access::Judge& judge() { return judge_; }

  // The call has shown that the caller has this node open: its way needs no name.
  void knows_open(NodeId node) { known_open_ = node; }

  // A node that the caller may know of; ENOENT if there is none, or his way to it is closed.
  [[nodiscard]] Result<store::Attributes> node(NodeId id);
  // ENOTDIR.
  [[nodiscard]] Result<store::Attributes> directory(NodeId id);
  // The verdict as the call's answer.
  [[nodiscard]] Status may(const Result<access::Verdict>& verdict);
  [[nodiscard]] bool allows(const Result<access::Verdict>& verdict) const {
    return verdict && verdict->allowed;
  }

  // An access list governs the node.
  [[nodiscard]] Result<bool> governed(const store::Attributes& node);

 private:
  FileCall& call_;
  const VolumeSet& volumes_;
  const VolumeRef& volume_;
  const Moment& moment_;
  const access::Caller& caller_;
  const HandleOwner owner_;
  const bool is_past_;
  MomentSource source_;
  access::Judge judge_;
  std::map<NodeId, bool> governed_;  // directories
  std::optional<NodeId> known_open_;
};

}  // namespace fileserver
