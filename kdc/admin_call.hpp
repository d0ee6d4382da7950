#pragma once

// One call of administration: who makes it, with what arguments, and what its handlers need. The
// calls themselves are described in PROTOCOL.md, "Administration".

#include <optional>
#include <string>
#include <string_view>

#include "common/crypto/scrypt.hpp"
#include "common/rpc/call.hpp"
#include "common/ticket/verifier.hpp"
#include "common/wire/json_object.hpp"
#include "common/wire/json_writer.hpp"
#include "kdc/database.hpp"
#include "kdc/own_keys.hpp"
#include "kdc/scrypt_gate.hpp"

namespace kdc {

// What all calls share; outlives them.
struct AdminTools {
  Database& database;
  OwnKeys& own;
  ScryptGate& gate;
  const common::Clock& clock;
  common::crypto::ScryptParameters scrypt;  // of passwords that are set from now on
  std::string directory;                    // private, on a disk with room
};

// Who may make a call; see PROTOCOL.md. What depends on a group is the handler's to check.
enum class AdminRight : std::uint8_t { Anybody, Self, Administrator, Auditor, Service };
enum class Fresh : std::uint8_t { NotNeeded, Needed };
enum class Changes : std::uint8_t { Nothing, Something };
// As the tables of calls say it.
inline constexpr auto kFresh = Fresh::Needed;
inline constexpr auto kLook = Changes::Nothing;
inline constexpr auto kChange = Changes::Something;

// Lives for the length of a handler, in its thread.
class AdminCall {
 public:
  AdminCall(AdminTools& tools, common::rpc::Call& call, common::wire::JsonObject args,
            const common::ticket::Identity& identity, Principal caller)
      : tools_(tools),
        call_(call),
        args_(std::move(args)),
        identity_(identity),
        caller_(std::move(caller)) {}

  [[nodiscard]] AdminTools& tools() { return tools_; }
  [[nodiscard]] Database& database() { return tools_.database; }
  [[nodiscard]] const common::wire::JsonObject& args() const { return args_; }
  [[nodiscard]] const common::ticket::Identity& identity() const { return identity_; }
  [[nodiscard]] const Principal& caller() const { return caller_; }
  [[nodiscard]] Actor actor() const;

  // Until when the caller's proof of his key counts as fresh; none: it does not.
  [[nodiscard]] std::optional<Time> fresh_until() const;
  // Expired with the sentence that says what to do.
  [[nodiscard]] common::Status need_fresh() const;
  [[nodiscard]] common::Result<bool> is_administrator() const;
  [[nodiscard]] common::Result<bool> is_auditor() const;

  // The call's bytes as a password: UTF-8, no controls, 1 to kMostPasswordBytes. The connection's
  // own copy is wiped.
  [[nodiscard]] common::Result<common::crypto::Secret> take_password();
  // Room to compute scrypt in.
  [[nodiscard]] common::Result<ScryptGate::Place> scrypt_place();

  // Arguments that several calls have. Missing or of another type: Protocol, naming the field.
  [[nodiscard]] common::Result<std::string> name(std::string_view field = "name") const;
  [[nodiscard]] common::Result<std::string> optional_name(std::string_view field) const;
  [[nodiscard]] common::Result<std::optional<Id>> optional_id() const;
  [[nodiscard]] common::Result<std::size_t> limit() const;
  // NotFound unless there is a principal with the name in that field.
  [[nodiscard]] common::Result<Principal> principal(std::string_view field = "name");

 private:
  AdminTools& tools_;
  common::rpc::Call& call_;
  common::wire::JsonObject args_;
  const common::ticket::Identity& identity_;
  Principal caller_;
};

using AdminHandler = common::Result<common::rpc::Reply> (*)(AdminCall&);

struct AdminOperation {
  std::string_view name;
  AdminRight right = AdminRight::Administrator;
  Fresh fresh = Fresh::NotNeeded;
  Changes changes = Changes::Nothing;
  AdminHandler run = nullptr;
};

// The families of calls, each in its own file.
std::span<const AdminOperation> user_operations();
std::span<const AdminOperation> group_operations();
std::span<const AdminOperation> service_operations();
std::span<const AdminOperation> cell_operations();

// Answers.
common::rpc::Reply answer(common::wire::JsonWriter& writer);
common::rpc::Reply nothing_to_say();
// `secret` goes out as raw bytes, from locked memory.
common::rpc::Reply answer_secret(common::wire::JsonWriter& writer, common::crypto::Secret secret);
void write_principal(common::wire::JsonWriter& writer, const Principal& principal);

}  // namespace kdc
