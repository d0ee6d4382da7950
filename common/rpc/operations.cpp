#include "common/rpc/operations.hpp"

#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

namespace common::rpc {

Reply Reply::json(const nlohmann::json& value) {
  return text(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Status OperationTable::add(Operation operation) {
  if (!is_operation_name(operation.service) || !is_operation_name(operation.name)) {
    return fail(ErrorCode::InvalidArgument, "\"{}/{}\" cannot be an operation's name",
                operation.service, operation.name);
  }
  if (!operation.handler) {
    return fail(ErrorCode::InvalidArgument, "operation {}/{} has no handler", operation.service,
                operation.name);
  }
  if (demands_sessions_ && !operation.open_to_all)
    operation.needs_session = true;
  std::string key = operation.service + "/" + operation.name;
  if (!operations_.try_emplace(key, std::move(operation)).second) {
    return fail(ErrorCode::AlreadyExists, "operation {} is already there", key);
  }
  return {};
}

void OperationTable::demand_sessions() {
  demands_sessions_ = true;
  for (auto& [key, operation] : operations_)
    operation.needs_session = operation.needs_session || !operation.open_to_all;
}

const Operation* OperationTable::find(std::string_view service, std::string_view name) const {
  if (service.size() > kMaxNameBytes || name.size() > kMaxNameBytes)
    return nullptr;
  std::array<char, 2 * kMaxNameBytes + 1> key;  // no allocation on the way of every call
  std::memcpy(key.data(), service.data(), service.size());
  key[service.size()] = '/';
  std::memcpy(key.data() + service.size() + 1, name.data(), name.size());
  const auto found =
      operations_.find(std::string_view(key.data(), service.size() + 1 + name.size()));
  return found == operations_.end() ? nullptr : &found->second;
}

}  // namespace common::rpc
