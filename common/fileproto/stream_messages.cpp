#include "common/fileproto/stream_messages.hpp"

#include "common/fileproto/binary_fields.hpp"

namespace common::fileproto {
namespace {

using wire::BinaryReader;
using wire::BinaryWriter;

enum class Type : std::uint8_t {
  Proof = 0,
  Break = 1,
  Acknowledge = 2,
  Flushing = 3,
  Update = 4,
  Stable = 5,
  Ended = 6,
  GiveBack = 7,
};

// Bits of an updated node.
constexpr std::uint8_t kGranted = 1;
constexpr std::uint8_t kGone = 2;
constexpr std::uint8_t kAttributes = 4;
constexpr std::uint8_t kEntry = 8;

constexpr std::size_t kUpdateHead = 1 + 8 + 4 + 8 + 8 + 2;

void begin(BinaryWriter& out, Type type) {
  out.u8(static_cast<std::uint8_t>(type));
}

// --- encoding: what a decoder would refuse is refused ---

Status put(BinaryWriter& out, const ServerProof& message) {
  begin(out, Type::Proof);
  out.fixed(message.proof);
  return {};
}

Status put(BinaryWriter& out, const Break& message) {
  if (message.nodes.size() > kMaxBreakNodes)
    return fail(ErrorCode::InvalidArgument, "a break names at most {} nodes", kMaxBreakNodes);
  begin(out, Type::Break);
  out.u64(message.number).u64(message.grant_clock);
  out.u16(static_cast<std::uint16_t>(message.nodes.size()));
  for (const BrokenNode& node : message.nodes) {
    if (node.what == 0 || node.what > broken::kAll)
      return fail(ErrorCode::InvalidArgument, "a break says what of a node is broken");
    out.u32(node.fid.volume.value).u64(node.fid.node.value).u8(node.what);
  }
  return {};
}

Status put(BinaryWriter& out, const Acknowledge& message) {
  begin(out, Type::Acknowledge);
  out.u64(message.number);
  return {};
}

Status put(BinaryWriter& out, const Flushing& message) {
  if (message.more.count() <= 0 || message.more > kMaxFlushing)
    return fail(ErrorCode::InvalidArgument, "flushing takes 1 ms to {}", kMaxFlushing.count());
  begin(out, Type::Flushing);
  out.u64(message.number).u32(static_cast<std::uint32_t>(message.more.count()));
  return {};
}

Status put(BinaryWriter& out, const UpdatedNode& node) {
  if (node.attributes && node.attributes->node != node.node)
    return fail(ErrorCode::InvalidArgument, "attributes of another node");
  out.u64(node.node.value).u64(node.old_version.value);
  out.u8(static_cast<std::uint8_t>((node.granted ? kGranted : 0) | (node.gone ? kGone : 0) |
                                   (node.attributes ? kAttributes : 0) |
                                   (node.entry ? kEntry : 0)));
  if (node.attributes)
    out.fixed(pack(*node.attributes));
  if (node.entry) {
    TROTH_TRY_VOID(check_file_name(node.entry->name));
    out.u8(static_cast<std::uint8_t>(node.entry->name.size()));
    out.fixed(as_bytes(node.entry->name)).u64(node.entry->child.value);
  }
  return {};
}

Status put(BinaryWriter& out, const Update& message) {
  if (message.nodes.empty() || message.nodes.size() > kMaxStreamMessage)
    return fail(ErrorCode::InvalidArgument, "an update is about some nodes");
  begin(out, Type::Update);
  out.u64(message.grant_clock).u32(message.volume.value);
  out.u64(message.epoch.value).u64(message.seq.value);
  out.u16(static_cast<std::uint16_t>(message.nodes.size()));
  for (const UpdatedNode& node : message.nodes)
    TROTH_TRY_VOID(put(out, node));
  return {};
}

Status put(BinaryWriter& out, const Stable& message) {
  begin(out, Type::Stable);
  out.u32(message.volume.value).u64(message.epoch.value).u64(message.seq.value);
  return {};
}

Status put(BinaryWriter& out, const Ended& message) {
  begin(out, Type::Ended);
  out.u8(static_cast<std::uint8_t>(message.why)).u32(message.volume.value);
  return {};
}

Status put(BinaryWriter& out, const GiveBack& message) {
  begin(out, Type::GiveBack);
  out.u32(message.volume.value).u64(message.bytes);
  return {};
}

template <typename Message>
Result<Bytes> encoded(const Message& message) {
  BinaryWriter out;
  TROTH_TRY_VOID(std::visit([&](const auto& each) { return put(out, each); }, message));
  if (out.view().size() > kMaxStreamMessage)
    return fail(ErrorCode::InvalidArgument, "a stream's message has at most {} bytes",
                kMaxStreamMessage);
  return out.take();
}

// --- decoding ---

Result<ServerProof> take_proof(BinaryReader& in) {
  ServerProof message;
  TROTH_TRY_VOID(in.fixed(std::span<std::byte>(message.proof)));
  return message;
}

Result<Break> take_break(BinaryReader& in) {
  Break message;
  TROTH_TRY(message.number, in.u64());
  TROTH_TRY(message.grant_clock, in.u64());
  TROTH_TRY(const std::uint16_t count, in.u16());
  if (count > kMaxBreakNodes)
    return fail(ErrorCode::Protocol, "a break of {} nodes", count);
  message.nodes.resize(count);
  for (BrokenNode& node : message.nodes) {
    TROTH_TRY(node.fid, codec::take_fid(in));
    TROTH_TRY(node.what, in.u8());
    if (node.what == 0 || node.what > broken::kAll)
      return fail(ErrorCode::Protocol, "a break with bits {}", node.what);
  }
  return message;
}

Result<Acknowledge> take_acknowledge(BinaryReader& in) {
  TROTH_TRY(const std::uint64_t number, in.u64());
  return Acknowledge{number};
}

Result<Flushing> take_flushing(BinaryReader& in) {
  Flushing message;
  TROTH_TRY(message.number, in.u64());
  TROTH_TRY(const std::uint32_t more, in.u32());
  message.more = std::chrono::milliseconds(more);
  if (more == 0 || message.more > kMaxFlushing)
    return fail(ErrorCode::Protocol, "flushing for {} ms", more);
  return message;
}

Result<EntryChange> take_entry(BinaryReader& in) {
  TROTH_TRY(const std::uint8_t length, in.u8());
  TROTH_TRY(const ByteView name, in.fixed(std::size_t{length}));
  if (!check_file_name(as_text(name)))
    return fail(ErrorCode::Protocol, "an update with what is no name");
  EntryChange entry{std::string(as_text(name)), {}};
  TROTH_TRY(entry.child, codec::take_node(in));
  return entry;
}

Result<UpdatedNode> take_updated(BinaryReader& in) {
  UpdatedNode node;
  TROTH_TRY(node.node, codec::take_node(in));
  TROTH_TRY(node.old_version, codec::take_seq(in));
  TROTH_TRY(const std::uint8_t flags, in.u8());
  if (flags > (kGranted | kGone | kAttributes | kEntry))
    return fail(ErrorCode::Protocol, "an update with flags {}", flags);
  node.granted = (flags & kGranted) != 0;
  node.gone = (flags & kGone) != 0;
  if ((flags & kAttributes) != 0) {
    TROTH_TRY(const ByteView packed, in.fixed(kPackedAttributes));
    TROTH_TRY(node.attributes, unpack(packed));
    if (node.attributes->node != node.node)
      return fail(ErrorCode::Protocol, "an update with attributes of another node");
  }
  if ((flags & kEntry) != 0) {
    TROTH_TRY(node.entry, take_entry(in));
  }
  return node;
}

Result<Update> take_update(BinaryReader& in) {
  Update message;
  TROTH_TRY(message.grant_clock, in.u64());
  TROTH_TRY(message.volume, codec::take_volume(in));
  TROTH_TRY(message.epoch, codec::take_epoch(in));
  TROTH_TRY(message.seq, codec::take_seq(in));
  TROTH_TRY(const std::uint16_t count, in.u16());
  if (count == 0)
    return fail(ErrorCode::Protocol, "an update about nothing");
  for (std::uint16_t i = 0; i < count; ++i) {
    TROTH_TRY(message.nodes.emplace_back(), take_updated(in));
  }
  return message;
}

Result<Stable> take_stable(BinaryReader& in) {
  Stable message;
  TROTH_TRY(message.volume, codec::take_volume(in));
  TROTH_TRY(message.epoch, codec::take_epoch(in));
  TROTH_TRY(message.seq, codec::take_seq(in));
  return message;
}

Result<Ended> take_ended(BinaryReader& in) {
  Ended message;
  TROTH_TRY(const std::uint8_t why, in.u8());
  if (why < std::uint8_t{1} || why > static_cast<std::uint8_t>(EndedWhy::Revoked))
    return fail(ErrorCode::Protocol, "ended for reason {}", why);
  message.why = static_cast<EndedWhy>(why);
  TROTH_TRY(message.volume, codec::take_volume(in));
  return message;
}

Result<GiveBack> take_give_back(BinaryReader& in) {
  GiveBack message;
  TROTH_TRY(message.volume, codec::take_volume(in));
  TROTH_TRY(message.bytes, in.u64());
  return message;
}

Result<ServerMessage> take_server_message(BinaryReader& in, std::uint8_t type) {
  switch (static_cast<Type>(type)) {
    case Type::Proof:
      return take_proof(in);
    case Type::Break:
      return take_break(in);
    case Type::Update:
      return take_update(in);
    case Type::Stable:
      return take_stable(in);
    case Type::Ended:
      return take_ended(in);
    case Type::GiveBack:
      return take_give_back(in);
    default:
      return fail(ErrorCode::Protocol, "message {} is none of a server's", type);
  }
}

Result<MountMessage> take_mount_message(BinaryReader& in, std::uint8_t type) {
  switch (static_cast<Type>(type)) {
    case Type::Acknowledge:
      return take_acknowledge(in);
    case Type::Flushing:
      return take_flushing(in);
    default:
      return fail(ErrorCode::Protocol, "message {} is none of a mount's", type);
  }
}

template <typename Message>
Result<Message> decoded(ByteView bytes, Result<Message> (*take)(BinaryReader&, std::uint8_t)) {
  if (bytes.size() > kMaxStreamMessage)
    return fail(ErrorCode::Protocol, "a stream's message of {} bytes", bytes.size());
  BinaryReader in(bytes);
  TROTH_TRY(const std::uint8_t type, in.u8());
  TROTH_TRY(Message message, take(in, type));
  TROTH_TRY_VOID(in.finish());
  return message;
}

std::size_t size_of(const UpdatedNode& node) {
  return 8 + 8 + 1 + (node.attributes ? kPackedAttributes : 0) +
         (node.entry ? 1 + node.entry->name.size() + 8 : 0);
}

}  // namespace

Result<Bytes> encode_message(const ServerMessage& message) {
  return encoded(message);
}

Result<Bytes> encode_message(const MountMessage& message) {
  return encoded(message);
}

Result<ServerMessage> decode_server_message(ByteView bytes) {
  return decoded<ServerMessage>(bytes, take_server_message);
}

Result<MountMessage> decode_mount_message(ByteView bytes) {
  return decoded<MountMessage>(bytes, take_mount_message);
}

std::vector<Update> split(Update update) {
  std::vector<Update> parts;
  std::size_t size = kMaxStreamMessage;  // none begun yet
  for (UpdatedNode& node : update.nodes) {
    const std::size_t more = size_of(node);
    if (size + more > kMaxStreamMessage) {
      parts.push_back({update.grant_clock, update.volume, update.epoch, update.seq, {}});
      size = kUpdateHead;
    }
    size += more;
    parts.back().nodes.push_back(std::move(node));
  }
  return parts;
}

}  // namespace common::fileproto
