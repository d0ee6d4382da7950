#pragma once

// The table of operations a server offers: each with its limits, so that what a stranger can cost
// is decided before a handler runs.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/result.hpp"
#include "common/rpc/call.hpp"

namespace common::rpc {

// Operations of one class share a cap of calls in flight, so that bulk cannot starve metadata.
enum class OperationClass : std::uint8_t {
  Control,   // never refused for load: status and the like; must not block
  Metadata,  // small and quick
  Bulk,      // moves file contents
};

struct Operation {
  using Handler = std::function<Result<Reply>(Call&)>;

  std::string service;
  std::string name;
  Handler handler;

  // Largest whole request body. Bodies of operations that are not streamed are held in memory.
  std::uint64_t body_cap = 64 * 1024;
  OperationClass kind = OperationClass::Metadata;
  bool needs_session = false;
  // Offered to everybody even by a table that demands sessions: logging in itself, status. Calls
  // without a session have at most half of the room of their class.
  bool open_to_all = false;
  bool needs_node_certificate = false;
  bool needs_operation_id = false;
  // The handler draws the bytes itself with Call::read_body and occupies its thread meanwhile.
  bool streamed = false;
};

// Filled before the server starts, constant afterwards.
class OperationTable {
 public:
  // Refuses a name that is not one (see is_operation_name), no handler, or a name twice.
  [[nodiscard]] Status add(Operation operation);

  // From here on every operation that is not open to all needs a session, whenever it was or is
  // added; and without one nobody learns which operations there are.
  void demand_sessions();
  [[nodiscard]] bool demands_sessions() const { return demands_sessions_; }

  // nullptr: no such operation. Any thread.
  [[nodiscard]] const Operation* find(std::string_view service, std::string_view name) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, Operation, Hash, std::equal_to<>> operations_;
  bool demands_sessions_ = false;
};

}  // namespace common::rpc
