#include "tests/support/store_model.hpp"

#include <algorithm>

#include "tests/support/store_model_commit.hpp"

namespace test_support {

using store::Attributes;
using store::NodeKind;

const ModelNode* ModelState::find(NodeId node) const {
  const auto found = nodes.find(node);
  return found == nodes.end() ? nullptr : found->second.get();
}

const ModelNode* ModelState::child(NodeId parent, const std::string& name) const {
  const ModelNode* const directory = find(parent);
  if (directory == nullptr)
    return nullptr;
  const auto entry = directory->entries.find(name);
  return entry == directory->entries.end() ? nullptr : find(entry->second);
}

std::uint64_t ModelState::allocated() const {
  std::uint64_t sum = 0;
  for (const auto& [id, node] : nodes)
    sum += node->attributes.allocated;
  return sum;
}

// --- the model ---

StoreModel::StoreModel(Seq seq, std::int64_t time) {
  auto state = std::make_shared<ModelState>();
  auto root = std::make_shared<ModelNode>();
  Attributes& a = root->attributes;
  a.node = a.home = store::kRootNode;
  a.kind = NodeKind::Directory;
  a.mode = 0755;
  a.links = 2;
  a.mtime = a.ctime = a.atime = time;
  a.version = a.data_version = seq;
  state->nodes[store::kRootNode] = std::move(root);
  time_ = time;
  history_[seq] = std::move(state);
}

std::set<ErrorCode> StoreModel::failed_conditions(const ModelStep& step) const {
  std::set<ErrorCode> failed;
  const auto need = [&](bool holds, ErrorCode code) {
    if (!holds)
      failed.insert(code);
  };
  for (const store::Condition& condition : step.conditions) {
    if (const auto* c = std::get_if<store::VersionIs>(&condition)) {
      const ModelNode* const node = present().find(c->node);
      need(node != nullptr && node->attributes.version == c->version, ErrorCode::Conflict);
    } else if (const auto* d = std::get_if<store::DataVersionIs>(&condition)) {
      const ModelNode* const node = present().find(d->node);
      need(node != nullptr && node->attributes.data_version == d->data_version,
           ErrorCode::Conflict);
    } else if (const auto* n = std::get_if<store::NameIs>(&condition)) {
      const ModelNode* const child = present().child(n->parent, n->name);
      need((child != nullptr ? std::optional(child->attributes.node) : std::nullopt) == n->node,
           ErrorCode::Conflict);
    } else if (const auto* f = std::get_if<store::NotFenced>(&condition)) {
      for (const Fence& fence : fences_) {
        need(fence.node != f->node || fence.first > f->last || fence.last < f->first ||
                 fence.token <= f->token.value,
             ErrorCode::Stale);
      }
    }
  }
  return failed;
}

StoreModel::Outcome StoreModel::apply(const ModelStep& step, const Given& given, bool keep) {
  ModelCommit commit(*this, given);
  commit.refused = failed_conditions(step);
  bool done = !step.content || commit.change_content(*step.content);
  for (std::size_t i = 0; done && commit.refused.empty() && i < step.operations.size(); ++i)
    done = commit.operation(step, i);
  Outcome outcome;
  outcome.refused = commit.refused;
  if (!outcome.refused.empty())
    return outcome;
  outcome.nodes = commit.outcomes();
  if (keep) {
    fences_.insert(fences_.end(), commit.fences.begin(), commit.fences.end());
    history_[given.seq] = std::make_shared<const ModelState>(commit.take_state());
    note_time(given.time);
  }
  return outcome;
}

bool StoreModel::reap(NodeId node, Seq seq) {
  const ModelNode* const orphan = present().find(node);
  if (orphan == nullptr || orphan->attributes.links != 0 || is_pinned(node))
    return false;
  const Given given{seq, time_, {}, {}};
  ModelCommit commit(*this, given);
  commit.end(node);
  history_[seq] = std::make_shared<const ModelState>(commit.take_state());
  return true;
}

void StoreModel::pin(SessionId session, NodeId node, Seq version) {
  pins_.insert({session, node, version});
}

bool StoreModel::unpin(SessionId session, NodeId node, Seq version) {
  const auto found = pins_.find({session, node, version});
  if (found == pins_.end())
    return false;
  pins_.erase(found);
  return true;
}

void StoreModel::end_session(SessionId session) {
  std::erase_if(pins_, [&](const Pin& pin) { return pin.session == session; });
}

bool StoreModel::is_pinned(NodeId node) const {
  return std::any_of(pins_.begin(), pins_.end(), [&](const Pin& pin) { return pin.node == node; });
}

const ModelState* StoreModel::at(Seq seq) const {
  auto after = history_.upper_bound(seq);
  return after == history_.begin() ? nullptr : std::prev(after)->second.get();
}

void StoreModel::forget_below(Seq seq) {
  if (keeps_all_)
    return;
  // What is true at `seq` itself may have begun earlier.
  auto first = history_.upper_bound(seq);
  if (first != history_.begin())
    --first;
  std::set<Seq> shown;
  for (const auto& [name, at] : present().snapshots)
    shown.insert(at);
  for (auto it = history_.begin(); it != first;) {
    const bool keep = shown.contains(it->first);
    it = keep ? std::next(it) : history_.erase(it);
  }
}

void StoreModel::forget_above(Seq seq) {
  history_.erase(history_.upper_bound(seq), history_.end());
  time_ = 0;  // the newest that is left is known again with the next commit
}

}  // namespace test_support
