#include "common/fileproto/node.hpp"

#include <algorithm>
#include <cerrno>

#include "common/fileproto/binary_fields.hpp"

namespace common::fileproto {
namespace {

constexpr std::uint8_t kFlagGoverned = 1;
constexpr std::uint8_t kFlagGranted = 2;
constexpr std::uint8_t kFlagXattrs = 4;
constexpr std::string_view kRightLetters = "rlidwka";

std::byte* put(std::byte* at, std::uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0;)
    *at++ = static_cast<std::byte>(value >> (8 * i));
  return at;
}

Result<std::uint64_t> take_size(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint64_t value, in.u64());
  if (value > kMaxFileSize)
    return fail(ErrorCode::Protocol, "{} is no size of a file", value);
  return value;
}

Status take_identity(wire::BinaryReader& in, Attributes& into) {
  TROTH_TRY(into.node, codec::take_node(in));
  TROTH_TRY(const std::uint8_t kind, in.u8());
  if (kind < std::uint8_t{1} || kind > static_cast<std::uint8_t>(NodeKind::BlockDevice))
    return fail(ErrorCode::Protocol, "{} is no kind of node", kind);
  into.kind = static_cast<NodeKind>(kind);
  TROTH_TRY(into.mode, in.u16());
  if (into.mode > kMaxMode)
    return fail(ErrorCode::Protocol, "{:o} is no mode", into.mode);
  TROTH_TRY(into.uid, in.u32());
  TROTH_TRY(into.gid, in.u32());
  TROTH_TRY(into.links, in.u32());
  return {};
}

Result<FileTime> take_time(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint64_t value, in.u64());
  return static_cast<FileTime>(value);
}

Status take_rest(wire::BinaryReader& in, Attributes& into) {
  TROTH_TRY(into.size, take_size(in));
  TROTH_TRY(into.allocated, take_size(in));
  TROTH_TRY(into.mtime, take_time(in));
  TROTH_TRY(into.ctime, take_time(in));
  TROTH_TRY(into.atime, take_time(in));
  TROTH_TRY(into.device, in.u64());
  TROTH_TRY(into.version, codec::take_seq(in));
  TROTH_TRY(into.data_version, codec::take_seq(in));
  TROTH_TRY(into.home, codec::take_node(in));
  TROTH_TRY(const std::uint8_t flags, in.u8());
  if ((flags & ~(kFlagGoverned | kFlagGranted | kFlagXattrs)) != 0)
    return fail(ErrorCode::Protocol, "flags {} of attributes", flags);
  into.governed = (flags & kFlagGoverned) != 0;
  into.granted = (flags & kFlagGranted) != 0;
  into.has_xattrs = (flags & kFlagXattrs) != 0;
  TROTH_TRY(into.attached, codec::take_volume(in));
  TROTH_TRY(const ByteView zeros, in.fixed(std::size_t{3}));
  if (std::ranges::any_of(zeros, [](std::byte b) { return b != std::byte{0}; }))
    return fail(ErrorCode::Protocol, "attributes do not end in zeros");
  return in.finish();
}

}  // namespace

std::array<std::byte, kPackedAttributes> pack(const Attributes& from) {
  std::array<std::byte, kPackedAttributes> packed{};
  std::byte* at = packed.data();
  at = put(at, from.node.value, 8);
  at = put(at, static_cast<std::uint8_t>(from.kind), 1);
  at = put(at, from.mode, 2);
  at = put(at, from.uid, 4);
  at = put(at, from.gid, 4);
  at = put(at, from.links, 4);
  at = put(at, from.size, 8);
  at = put(at, from.allocated, 8);
  at = put(at, static_cast<std::uint64_t>(from.mtime), 8);
  at = put(at, static_cast<std::uint64_t>(from.ctime), 8);
  at = put(at, static_cast<std::uint64_t>(from.atime), 8);
  at = put(at, from.device, 8);
  at = put(at, from.version.value, 8);
  at = put(at, from.data_version.value, 8);
  at = put(at, from.home.value, 8);
  at = put(at,
           (from.governed ? kFlagGoverned : 0U) | (from.granted ? kFlagGranted : 0U) |
               (from.has_xattrs ? kFlagXattrs : 0U),
           1);
  put(at, from.attached.value, 4);
  return packed;
}

Result<Attributes> unpack(ByteView packed) {
  wire::BinaryReader in(packed);
  Attributes attributes;
  TROTH_TRY_VOID(take_identity(in, attributes));
  TROTH_TRY_VOID(take_rest(in, attributes));
  return attributes;
}

std::string rights_text(std::uint8_t rights) {
  std::string text;
  for (std::size_t i = 0; i < kRightLetters.size(); ++i) {
    if ((rights >> i & 1) != 0)
      text += kRightLetters[i];
  }
  return text;
}

Result<std::uint8_t> rights_from_text(std::string_view text) {
  std::uint8_t rights = 0;
  std::size_t used = 0;
  for (std::size_t i = 0; i < kRightLetters.size(); ++i) {
    if (used < text.size() && text[used] == kRightLetters[i]) {
      rights = static_cast<std::uint8_t>(rights | 1U << i);
      ++used;
    }
  }
  if (used != text.size())
    return fail(ErrorCode::InvalidArgument, "rights are letters of \"{}\" in this order",
                kRightLetters);
  return rights;
}

Status check_file_name(std::string_view name) {
  if (name.size() > kMaxNameBytes)
    return fail_posix(ENAMETOOLONG, "a name has at most {} bytes", kMaxNameBytes);
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos ||
      name.find('\0') != name.npos) {
    return fail_posix(EINVAL,
                      "a name has 1-255 bytes without '/' and NUL, and is not \".\" or \"..\"");
  }
  return {};
}

}  // namespace common::fileproto
