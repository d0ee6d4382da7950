#pragma once

// The changes of PROTOCOL.md 3, one alone or a batch of them: each is judged and turned into
// operations of the store, all in one commit.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "common/fileproto/changes.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/store/blocks/block_store.hpp"

namespace fileserver {

// What one step of a change looks at and fills in. Earlier steps of a batch are seen by later ones:
// directories made, names given and taken.
class StepLook {
 public:
  // Whether the change can be carried out; or before it is prepared, whether the caller may.
  enum class Mode : std::uint8_t { Whole, Rights };
  StepLook(CallView& view, Change::Look& into, const std::vector<NodeId>& named, Mode mode)
      : view_(view), into_(into), named_(named), mode_(mode) {}

  // Nothing has been prepared: a step says whether its caller may, and needs to say no more.
  [[nodiscard]] bool only_rights() const { return mode_ == Mode::Rights; }
  // For a node that has no id yet: one that no node will have.
  [[nodiscard]] NodeId provisional_id() { return NodeId{kProvisional + ++provisional_}; }

  [[nodiscard]] CallView& view() { return view_; }
  [[nodiscard]] access::Judge& judge() { return view_.judge(); }
  [[nodiscard]] Status may(const Result<access::Verdict>& verdict) { return view_.may(verdict); }
  [[nodiscard]] Change::Look& into() { return into_; }
  template <typename Operation>
  void add(Operation operation) {
    into_.operations.emplace_back(std::move(operation));
  }

  // Nodes that the caller may know of, also those that an earlier step has made.
  [[nodiscard]] Result<store::Attributes> node(NodeId id) { return view_.node(id); }
  [[nodiscard]] Result<store::Attributes> directory(NodeId id) { return view_.directory(id); }
  // What has this name; nullopt: nothing. Not before the caller's right was judged.
  [[nodiscard]] Result<std::optional<store::Attributes>> entry(NodeId directory,
                                                               const std::string& name);

  // A directory without entries.
  [[nodiscard]] Result<bool> is_empty(NodeId directory);

  // The step touches this node, which its call names or only the server knows.
  void touch(NodeId node, std::uint8_t what);
  // Later steps will find it so.
  void made(const store::Attributes& node) { view_.source().made(node); }
  void names(NodeId directory, const std::string& name, std::optional<NodeId> node) {
    names_[{directory, name}] = node;
  }

 private:
  CallView& view_;
  Change::Look& into_;
  static constexpr std::uint64_t kProvisional = std::uint64_t{1} << 62;  // beyond 40 bits
  const std::vector<NodeId>& named_;                                     // ascending
  const Mode mode_;
  std::uint64_t provisional_ = 0;
  std::map<std::pair<NodeId, std::string>, std::optional<NodeId>> names_;
};

// What a step is prepared with.
struct Preparation {
  FileCall& call;
  const VolumeRef& volume;
  const HandleOwner& owner;  // whose what is opened, or was staged, is
  store::Upload& upload;     // lives as long as the change
};

// One change among those of a call. Made once, looked at as often as the change is.
class Step {
 public:
  Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  virtual ~Step() = default;

  // Whether prepare() takes what is gone if the change is refused then: room on the disk, ids. Then
  // rights are asked for first (look() with Mode::Rights).
  [[nodiscard]] virtual bool uses_up() const { return false; }
  // Before the change is looked at: blocks of contents, ids of new nodes. See Change::prepare.
  [[nodiscard]] virtual Status prepare(const Preparation&) { return {}; }
  [[nodiscard]] virtual Status look(StepLook& look) = 0;
  // It brings bytes, which take time to come: a ticket that ends meanwhile has some grace.
  [[nodiscard]] virtual bool is_upload() const { return false; }
  // See Change::again.
  [[nodiscard]] virtual bool again(const common::Error&) { return false; }
  // Whether these, which were executed under the same id, may be of this step. What is chosen or
  // computed while it is carried out may differ.
  [[nodiscard]] virtual bool may_be_in(std::span<const store::Operation>) const { return true; }
  // It was executed before: which nodes were made then, in order; takes its own off the front.
  virtual void replayed(std::span<const NodeId>&) {}
  // When it is committed, also if that was long ago (a retry): what the session holds of it. `as`:
  // for whom the call speaks.
  [[nodiscard]] virtual Status done(FileCall&, const VolumeRef&, const fileproto::Speaker& as,
                                    const store::CommitReply&) {
    static_cast<void>(as);
    return {};
  }
  // What there is to say of it when it is done.
  [[nodiscard]] virtual fileproto::ChangeOutcome outcome(const store::CommitReply&) { return {}; }
};

// Whether one of them is a `T` of which this holds.
template <typename T, typename F>
[[nodiscard]] bool any_operation(std::span<const store::Operation> operations, F&& holds) {
  return std::any_of(operations.begin(), operations.end(), [&](const store::Operation& operation) {
    const T* const one = std::get_if<T>(&operation);
    return one != nullptr && holds(*one);
  });
}

// `raw`: the bytes that come with this step; valid until the change is answered or given up.
// Unsupported for what no part of this server does.
[[nodiscard]] Result<std::unique_ptr<Step>> make_step(const fileproto::Change& change,
                                                      common::ByteView raw);
// The families behind it; nullptr: not theirs.
[[nodiscard]] std::unique_ptr<Step> make_name_step(const fileproto::Change& change,
                                                   common::ByteView raw);
[[nodiscard]] std::unique_ptr<Step> make_attribute_step(const fileproto::Change& change);
// fileserver/content
[[nodiscard]] std::unique_ptr<Step> make_content_step(const fileproto::Change& change,
                                                      common::ByteView raw);

// One or many steps as one change.
class FileChange final : public Change {
 public:
  FileChange(VolumeRef volume, fileproto::ChangeScope scope,
             std::vector<std::unique_ptr<Step>> steps, std::vector<NodeId> named);

  [[nodiscard]] Status prepare(FileCall& call) override;
  [[nodiscard]] Status look(FileCall& call, const Moment& moment, Look& into) override;
  [[nodiscard]] bool again(const common::Error& error) override;
  [[nodiscard]] bool may_be(const store::CommitReply& record) const override;
  [[nodiscard]] Result<common::rpc::Reply> reply(FileCall& call,
                                                 const ChangeResult& result) override;

 private:
  [[nodiscard]] Status judge(FileCall& call);
  [[nodiscard]] Status look_at_steps(FileCall& call, const Moment& moment, Look& into,
                                     StepLook::Mode mode);
  [[nodiscard]] Status check_ticket(FileCall& call) const;
  [[nodiscard]] Status check_conditions(CallView& view);
  void look_at_governors(FileCall& call, const ChangeResult& result);
  [[nodiscard]] Result<fileproto::Attributes> describe_outcome(const store::NodeOutcome& outcome);

  const fileproto::ChangeScope scope_;
  std::optional<access::Caller> caller_;
  const std::vector<std::unique_ptr<Step>> steps_;
  const std::vector<NodeId> named_;  // by the call
  store::Upload upload_;
  // Of the directories that have to do with it: whether a list governs there.
  std::map<NodeId, bool> governed_;
};

// Decodes a call of one change and carries it out.
template <typename C>
[[nodiscard]] Result<common::rpc::Reply> run_change(FileCall& call);

// Nodes that a change names, for Touched::named.
void add_named(const fileproto::Change& change, std::vector<NodeId>& into);
[[nodiscard]] common::VolumeId volume_of(const fileproto::Change& change);

}  // namespace fileserver
