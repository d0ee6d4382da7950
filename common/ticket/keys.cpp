#include "common/ticket/keys.hpp"

#include "common/crypto/random.hpp"

namespace common::ticket {

std::string_view label(Purpose purpose) {
  switch (purpose) {
    case Purpose::Ticket:
      return "troth ticket v1";
    case Purpose::AsRequest:
      return "troth as-req v1";
    case Purpose::AsReply:
      return "troth as-rep v1";
    case Purpose::TgsRequest:
      return "troth tgs-req v1";
    case Purpose::TgsReply:
      return "troth tgs-rep v1";
    case Purpose::ApRequest:
      return "troth ap-req v1";
    case Purpose::ApReply:
      return "troth ap-rep v1";
    case Purpose::Connection:
      return "troth connection v1";
    case Purpose::Proof:
      return "troth proof v1";
    case Purpose::Database:
      return "troth kdb v1";
    case Purpose::Decoy:
      return "troth decoy v1";
  }
  return {};  // derivation refuses an empty label
}

Result<Keys> Keys::of(const crypto::Secret& master, std::string_view cell, std::string_view name) {
  if (master.size() != kKeyBytes) {
    return fail(ErrorCode::InvalidArgument, "a key has {} bytes, not {}", kKeyBytes, master.size());
  }
  TROTH_TRY(crypto::KeyDeriver deriver, crypto::KeyDeriver::create(master));
  std::string context;
  context.reserve(cell.size() + 1 + name.size());
  context.append(cell).push_back('\0');
  context.append(name);
  return Keys(std::move(deriver), std::move(context));
}

Result<crypto::Secret> Keys::key(Purpose purpose, ByteView more) const {
  if (more.empty())
    return deriver_.key(label(purpose), as_bytes(context_));
  std::string context = context_;
  context.push_back('\0');
  context.append(as_text(more));
  return deriver_.key(label(purpose), as_bytes(context));
}

Result<crypto::Secret> derive(const crypto::Secret& master, Purpose purpose, std::string_view cell,
                              std::string_view name, ByteView more) {
  TROTH_TRY(const Keys keys, Keys::of(master, cell, name));
  return keys.key(purpose, more);
}

Result<crypto::Secret> new_key() {
  crypto::Secret key(kKeyBytes);
  TROTH_TRY_VOID(crypto::random_bytes(key.writable()));
  return key;
}

}  // namespace common::ticket
