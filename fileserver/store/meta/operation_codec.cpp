#include "fileserver/store/meta/record.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

// The byte that begins an operation. Never changed, never used again.
enum class Code : std::uint8_t {
  Create = 1,
  SetContent = 2,
  SetAttributes = 3,
  Link = 4,
  Unlink = 5,
  RemoveDirectory = 6,
  Rename = 7,
  SetXattr = 8,
  RemoveXattr = 9,
  Reap = 10,
  SetSetting = 11,
  CreateSnapshot = 12,
  DeleteSnapshot = 13,
  RaiseFence = 14,
  Reserve = 15,
  BeginEpoch = 16,
};

constexpr std::size_t kMaxSettingKey = 255;
constexpr std::size_t kMaxSnapshotName = 255;

// --- writing ---

class Encoder {
 public:
  Encoder(BinaryWriter& out, Tails tails) : out_(out), tails_(tails) {}

  void operator()(const Create& op) {
    begin(Code::Create).u64(op.node.value).u64(op.parent.value).text(op.name);
    out_.u8(static_cast<std::uint8_t>(op.kind)).u32(op.mode).u32(op.uid).u32(op.gid);
    out_.u64(op.device);
    content(op.content);
  }
  void operator()(const SetContent& op) {
    begin(Code::SetContent).u64(op.node.value);
    content(op.content);
  }
  // Never recorded: it becomes a SetContent.
  void operator()(const AppendTail& op) { (*this)(SetContent{.node = op.node}); }
  void operator()(const SetAttributes& op) {
    const unsigned mask = (op.mode ? 1U : 0U) | (op.uid ? 2U : 0U) | (op.gid ? 4U : 0U) |
                          (op.mtime ? 8U : 0U) | (op.atime ? 16U : 0U);
    begin(Code::SetAttributes).u64(op.node.value).u8(static_cast<std::uint8_t>(mask));
    for (const auto& value : {op.mode, op.uid, op.gid}) {
      if (value)
        out_.u32(*value);
    }
    for (const auto& value : {op.mtime, op.atime}) {
      if (value)
        out_.u64(static_cast<std::uint64_t>(*value));
    }
  }
  void operator()(const Link& op) {
    begin(Code::Link).u64(op.node.value).u64(op.parent.value).text(op.name);
  }
  void operator()(const Unlink& op) {
    begin(Code::Unlink).u64(op.parent.value).text(op.name).boolean(op.keep_orphan);
  }
  void operator()(const RemoveDirectory& op) {
    begin(Code::RemoveDirectory).u64(op.parent.value).text(op.name);
  }
  void operator()(const Rename& op) {
    begin(Code::Rename).u64(op.from_parent.value).text(op.from_name);
    out_.u64(op.to_parent.value).text(op.to_name);
    out_.u8(static_cast<std::uint8_t>(op.mode)).boolean(op.keep_orphan);
  }
  void operator()(const SetXattr& op) {
    begin(Code::SetXattr).u64(op.node.value).text(op.name).bytes(op.value);
  }
  void operator()(const RemoveXattr& op) {
    begin(Code::RemoveXattr).u64(op.node.value).text(op.name);
  }
  void operator()(const Reap& op) { begin(Code::Reap).u64(op.node.value); }
  void operator()(const SetSetting& op) { begin(Code::SetSetting).text(op.key).bytes(op.value); }
  void operator()(const CreateSnapshot& op) {
    begin(Code::CreateSnapshot).text(op.name).u64(op.seq.value);
  }
  void operator()(const DeleteSnapshot& op) { begin(Code::DeleteSnapshot).text(op.name); }
  void operator()(const RaiseFence& op) {
    begin(Code::RaiseFence).u64(op.node.value).u64(op.first).u64(op.last).u64(op.token.value);
  }
  void operator()(const Reserve& op) { begin(Code::Reserve).u64(op.seq.value).u64(op.node.value); }
  void operator()(const BeginEpoch& op) { begin(Code::BeginEpoch).u64(op.epoch.value); }

 private:
  BinaryWriter& begin(Code code) { return out_.u8(static_cast<std::uint8_t>(code)); }
  void content(const Content& content) {
    out_.u64(content.size).u64(content.allocated).boolean(!content.root.is_hole());
    if (!content.root.is_hole())
      out_.fixed(content.root.view());
    if (tails_ == Tails::Included)
      out_.bytes(content.tail);
    else
      out_.u32(static_cast<std::uint32_t>(content.tail.size()));
  }

  BinaryWriter& out_;
  const Tails tails_;
};

// --- reading ---

// Reads fields into place; after the first failure the rest are skipped and status() tells it.
class Decoder {
 public:
  Decoder(BinaryReader& in, Tails tails) : in_(in), tails_(tails) {}
  [[nodiscard]] Status status() const { return status_; }

  Decoder& id(auto& strong) { return take(in_.u64(), strong.value); }
  Decoder& number(std::uint32_t& value) { return take(in_.u32(), value); }
  Decoder& number(std::uint64_t& value) { return take(in_.u64(), value); }
  Decoder& flag(bool& value) { return take(in_.boolean(), value); }
  // Bytes, not UTF-8: names are whatever people make them.
  Decoder& name(std::string& value, std::size_t most = kMaxName) {
    auto bytes = status_ ? in_.bytes(most) : Result<ByteView>(ByteView{});
    if (bytes)
      value = common::as_text(*bytes);
    return note(bytes);
  }
  Decoder& blob(Bytes& value, std::size_t most) {
    auto bytes = status_ ? in_.bytes(most) : Result<ByteView>(ByteView{});
    if (bytes)
      value.assign(bytes->begin(), bytes->end());
    return note(bytes);
  }
  template <typename Enum>
  Decoder& choice(Enum& value, std::uint8_t first, std::uint8_t last) {
    std::uint8_t byte = 0;
    take(in_.u8(), byte);
    if (status_ && (byte < first || byte > last))
      status_ =
          fail(ErrorCode::Protocol, "an operation has a field with the unknown value {}", byte);
    value = static_cast<Enum>(byte);
    return *this;
  }
  Decoder& content(Content& value) {
    bool has_root = false;
    number(value.size).number(value.allocated).flag(has_root);
    if (has_root && status_) {
      status_ = in_.fixed(std::span(value.root.bytes));
      if (status_ && value.root.is_hole())
        status_ = fail(ErrorCode::Protocol, "a content's root is present and empty");
    }
    if (tails_ == Tails::Included) {
      blob(value.tail, kMaxTail);
    } else {
      std::uint32_t length = 0;
      number(length);
      if (status_ && length > kMaxTail)
        status_ = fail(ErrorCode::Protocol, "a tail of {} bytes is too long", length);
      if (status_)
        value.tail.assign(length, std::byte{0});
    }
    if (status_ && (value.size > kMaxFileSize || value.tail.size() > value.size))
      status_ = fail(ErrorCode::Protocol, "a content's sizes contradict each other");
    return *this;
  }
  Decoder& optional(std::optional<std::uint32_t>& value, bool present) {
    if (present)
      number(value.emplace());
    return *this;
  }
  Decoder& optional(std::optional<FileTime>& value, bool present) {
    std::uint64_t time = 0;
    if (present) {
      number(time);
      value = static_cast<FileTime>(time);
    }
    return *this;
  }
  Decoder& mask(std::uint8_t& value) { return take(in_.u8(), value); }
  void refuse(std::string_view why) {
    if (status_)
      status_ = fail(ErrorCode::Protocol, "{}", why);
  }

 private:
  template <typename From, typename To>
  Decoder& take(Result<From> result, To& into) {
    if (!status_)
      return *this;
    if (result)
      into = *result;
    return note(result);
  }
  template <typename T>
  Decoder& note(const Result<T>& result) {
    if (status_ && !result)
      status_ = tl::unexpected(result.error());
    return *this;
  }

  BinaryReader& in_;
  const Tails tails_;
  Status status_;
};

template <typename Op>
Result<Operation> done(const Decoder& decoder, Op op) {
  TROTH_TRY_VOID(decoder.status());
  return Operation(std::move(op));
}

Result<Operation> decode_create(Decoder& in) {
  Create op;
  in.id(op.node).id(op.parent).name(op.name).choice(op.kind, 1, 7);
  in.number(op.mode).number(op.uid).number(op.gid).number(op.device).content(op.content);
  return done(in, std::move(op));
}

Result<Operation> decode_set_attributes(Decoder& in) {
  SetAttributes op;
  std::uint8_t mask = 0;
  in.id(op.node).mask(mask);
  if (mask > 31)
    in.refuse("attributes are set that nobody knows");
  in.optional(op.mode, (mask & 1U) != 0)
      .optional(op.uid, (mask & 2U) != 0)
      .optional(op.gid, (mask & 4U) != 0);
  in.optional(op.mtime, (mask & 8U) != 0).optional(op.atime, (mask & 16U) != 0);
  return done(in, op);
}

Result<Operation> decode_rename(Decoder& in) {
  Rename op;
  in.id(op.from_parent).name(op.from_name).id(op.to_parent).name(op.to_name);
  in.choice(op.mode, 0, 2).flag(op.keep_orphan);
  return done(in, std::move(op));
}

// Those that change a node or a name.
Result<Operation> decode_node_operation(Code code, Decoder& in) {
  switch (code) {
    case Code::Create:
      return decode_create(in);
    case Code::SetContent: {
      SetContent op;
      in.id(op.node).content(op.content);
      return done(in, std::move(op));
    }
    case Code::SetAttributes:
      return decode_set_attributes(in);
    case Code::Link: {
      Link op;
      in.id(op.node).id(op.parent).name(op.name);
      return done(in, std::move(op));
    }
    case Code::Unlink: {
      Unlink op;
      in.id(op.parent).name(op.name).flag(op.keep_orphan);
      return done(in, std::move(op));
    }
    case Code::RemoveDirectory: {
      RemoveDirectory op;
      in.id(op.parent).name(op.name);
      return done(in, std::move(op));
    }
    case Code::Rename:
      return decode_rename(in);
    case Code::SetXattr: {
      SetXattr op;
      in.id(op.node).name(op.name, kMaxXattrName).blob(op.value, kMaxXattrValue);
      return done(in, std::move(op));
    }
    case Code::RemoveXattr: {
      RemoveXattr op;
      in.id(op.node).name(op.name, kMaxXattrName);
      return done(in, std::move(op));
    }
    case Code::Reap: {
      Reap op;
      in.id(op.node);
      return done(in, op);
    }
    default:
      return fail(ErrorCode::Protocol, "there is no operation {}", static_cast<int>(code));
  }
}

Result<Operation> decode_volume_operation(Code code, Decoder& in) {
  switch (code) {
    case Code::SetSetting: {
      SetSetting op;
      in.name(op.key, kMaxSettingKey).blob(op.value, kMaxXattrValue);
      return done(in, std::move(op));
    }
    case Code::CreateSnapshot: {
      CreateSnapshot op;
      in.name(op.name, kMaxSnapshotName).id(op.seq);
      return done(in, std::move(op));
    }
    case Code::DeleteSnapshot: {
      DeleteSnapshot op;
      in.name(op.name, kMaxSnapshotName);
      return done(in, std::move(op));
    }
    case Code::RaiseFence: {
      RaiseFence op;
      in.id(op.node).number(op.first).number(op.last).id(op.token);
      return done(in, op);
    }
    case Code::Reserve: {
      Reserve op;
      in.id(op.seq).id(op.node);
      return done(in, op);
    }
    case Code::BeginEpoch: {
      BeginEpoch op;
      in.id(op.epoch);
      return done(in, op);
    }
    default:
      return decode_node_operation(code, in);
  }
}

}  // namespace

void encode_operation(const Operation& operation, Tails tails, BinaryWriter& out) {
  std::visit(Encoder(out, tails), operation);
}

Result<Operation> decode_operation(BinaryReader& in, Tails tails) {
  TROTH_TRY(const std::uint8_t code, in.u8());
  Decoder decoder(in, tails);
  return decode_volume_operation(static_cast<Code>(code), decoder);
}

Content* content_of(Operation& operation) {
  if (auto* create = std::get_if<Create>(&operation))
    return &create->content;
  if (auto* set = std::get_if<SetContent>(&operation))
    return &set->content;
  return nullptr;
}

}  // namespace fileserver::store
