#pragma once

// fields() of what many messages have, and the codec that every source instantiates for its own.
// For the sources of this folder only.

#include <algorithm>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/fields.hpp"

namespace common::fileproto {
namespace codec {

inline constexpr std::array<Word<NodeKind>, 7> kKindWords{{{NodeKind::File, "f"},
                                                           {NodeKind::Directory, "d"},
                                                           {NodeKind::Symlink, "l"},
                                                           {NodeKind::Fifo, "p"},
                                                           {NodeKind::Socket, "s"},
                                                           {NodeKind::CharacterDevice, "c"},
                                                           {NodeKind::BlockDevice, "b"}}};
inline constexpr std::array<Letter, 7> kRightLetters{{{'r', right::kRead},
                                                      {'l', right::kLookup},
                                                      {'i', right::kInsert},
                                                      {'d', right::kDelete},
                                                      {'w', right::kWrite},
                                                      {'k', right::kLock},
                                                      {'a', right::kAdminister}}};

template <typename F>
void fields(F& f, Attributes& m) {
  f.number("n", m.node);
  f.word("k", m.kind, kKindWords);
  f.number("m", m.mode, kMaxMode);
  f.number("u", m.uid);
  f.number("g", m.gid);
  f.number("l", m.links);
  f.number("s", m.size, kMaxFileSize);
  f.number("b", m.allocated, kMaxFileSize);
  f.number("mt", m.mtime);
  f.number("ct", m.ctime);
  f.number("at", m.atime);
  f.defaulted("dev", m.device);
  f.number("v", m.version);
  f.number("dv", m.data_version);
  f.number("h", m.home);
  f.optional_hex("c", m.content);
  f.one("acl", m.governed);
  f.one("x", m.has_xattrs);
  f.defaulted("vol", m.attached);
  f.one("p", m.granted);
}

template <typename F>
void fields(F& f, LocalUser& m) {
  f.number("uid", m.uid);
  f.number("gid", m.gid);
  f.list_or_none("groups", m.groups, kMaxLocalGroups,
                 [](auto& i, auto& group) { i.number(group); });
}

// These are no objects of their own: their fields stand among the message's.
template <typename F>
void speaker(F& f, Speaker& m) {
  if constexpr (F::kReads) {
    if (f.is_text("as", "anyuser"))
      m = AnyUser{};
    else if (f.has("as"))
      f.object("as", m.emplace<LocalUser>());
  } else if (std::holds_alternative<AnyUser>(m)) {
    f.constant("as", "anyuser");
  } else if (auto* local = std::get_if<LocalUser>(&m)) {
    f.object("as", *local);
  }
}
template <typename F>
void scope(F& f, Scope& m) {
  speaker(f, m.as);
  f.optional("via", m.via);
  f.optional("at", m.at);
}
template <typename F>
void state(F& f, VolumeState& m) {
  f.number("e", m.epoch);
  f.number("stable", m.stable);
  f.optional("grants", m.grants);
}

template <typename F>
void fields(F& f, AclEntry& m) {
  static constexpr std::array<Word<AclWho>, 5> kWhoWords{{{AclWho::User, "user"},
                                                          {AclWho::Group, "group"},
                                                          {AclWho::Host, "host"},
                                                          {AclWho::AnyUser, "anyuser"},
                                                          {AclWho::AuthUser, "authuser"}}};
  f.word("who", m.who, kWhoWords);
  f.defaulted("id", m.id);
  f.letters("rights", m.rights, kRightLetters);
  f.flag("denied", m.denied);
  const bool named = m.who != AclWho::AnyUser && m.who != AclWho::AuthUser;
  f.require(named == (m.id != 0), "id", "one of a user, group or host, and none else");
}

// A list of attributes, of whole nodes or with versions.
inline constexpr auto kObject = [](auto& item, auto& value) { item.object(value); };
inline constexpr auto kNumber = [](auto& item, auto& value) { item.number(value); };
inline constexpr auto kVersion = [](auto& item, NodeVersion& value) {
  item.tuple([&](auto& pair) {
    pair.fid(value.fid);
    pair.number(value.version);
  });
};
inline constexpr auto kRange = [](auto& item, ByteRange& value) {
  item.tuple([&](auto& pair) {
    pair.number(value.offset, kMaxFileSize);
    pair.number(value.length, kMaxFileSize);
  });
};

// Lists of nodes are of one volume, for the answer has one epoch.
inline bool of_one_volume(const std::vector<NodeVersion>& nodes) {
  return std::ranges::all_of(
      nodes, [&](const NodeVersion& each) { return each.fid.volume == nodes[0].fid.volume; });
}
inline bool of_one_volume(const std::vector<Fid>& fids) {
  return std::ranges::all_of(fids, [&](const Fid& fid) { return fid.volume == fids[0].volume; });
}
inline constexpr std::string_view kOneVolume = "nodes of one volume";

template <typename Message>
Result<Message> decode_message(const Json& value) {
  Result<Message> message{Message{}};
  Reading reading;
  const Path root;
  FieldReader reader(reading, value, root);
  fields(reader, *message);
  reader.finish();
  if (Status status = reading.status(); !status)
    message = tl::unexpected<Error>(std::move(status.error()));
  return message;
}

}  // namespace codec

template <typename Message>
std::string encode(const Message& message) {
  // Most answers are the attributes of one or two nodes.
  constexpr std::size_t kRoom = 512;
  wire::JsonWriter out(kRoom);
  codec::FieldWriter writer(out);
  // A writer only looks: fields() is said once for both directions, hence without const.
  fields(writer, const_cast<Message&>(message));
  return out.take();
}

template <typename Message>
Result<Message> decode(const nlohmann::json& value) {
  return codec::decode_message<Message>(value);
}

template <typename Message>
Result<Message> decode_text(std::string_view text) {
  TROTH_TRY(const auto value, codec::parse(text));
  return codec::decode_message<Message>(*value);
}

}  // namespace common::fileproto

// Makes the three functions of one message.
#define TROTH_FILEPROTO_MESSAGE(Message)                                     \
  template std::string encode<Message>(const Message&);                      \
  template ::common::Result<Message> decode<Message>(const nlohmann::json&); \
  template ::common::Result<Message> decode_text<Message>(std::string_view)
