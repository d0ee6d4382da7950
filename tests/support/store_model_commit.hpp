#pragma once

// One commit of the model: the rules of each operation. Internal to store_model.

#include "tests/support/store_model.hpp"

namespace test_support {

// Works on a copy of the present. Each operation first gathers every reason to refuse it.
class ModelCommit {
 public:
  ModelCommit(const StoreModel& model, const StoreModel::Given& given)
      : model_(model), given_(given), state_(model.present()) {}

  bool change_content(const ModelContent& change);
  bool operation(const ModelStep& step, std::size_t index);
  void end(NodeId id);

  std::set<ErrorCode> refused;

  ModelState take_state() { return std::move(state_); }
  std::vector<store::NodeOutcome> outcomes() const;
  std::vector<StoreModel::Fence> fences;

 private:
  const ModelNode* find(NodeId id) const { return state_.find(id); }
  ModelNode& edit(NodeId id);
  void changed(NodeId id);
  void touched(NodeId directory);
  bool refuse(ErrorCode code) {
    refused.insert(code);
    return false;
  }
  bool check_name(const std::string& name);
  bool check_directory(NodeId id);
  bool check_file(NodeId id);
  bool set_bytes(NodeId id, ModelBytes bytes);
  std::vector<NodeId> homes(NodeId id) const;
  void fix_home(NodeId id);
  void drop_name(NodeId parent, const std::string& name);
  bool is_below(NodeId node, NodeId ancestor) const;

  bool run(const store::Create& op, const Bytes* content, std::size_t index);
  bool run(const store::SetAttributes& op);
  bool run(const store::Link& op);
  bool run(const store::Unlink& op);
  bool run(const store::RemoveDirectory& op);
  bool run(const store::Rename& op);
  bool run(const store::SetXattr& op);
  bool run(const store::RemoveXattr& op);
  bool run(const store::Reap& op);
  bool run(const store::SetSetting& op);
  bool run(const store::CreateSnapshot& op);
  bool run(const store::DeleteSnapshot& op);
  bool run(const store::RaiseFence& op);
  bool run(const store::AppendTail& op);

  const StoreModel& model_;
  const StoreModel::Given& given_;
  ModelState state_;
  std::map<NodeId, std::shared_ptr<ModelNode>> edited_;
  std::map<NodeId, bool> touched_;  // true: gone
  std::map<NodeId, store::Attributes> gone_;
  std::set<NodeId> content_set_;
};

}  // namespace test_support
