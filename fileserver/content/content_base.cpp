#include "fileserver/content/content_base.hpp"

#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

using common::ErrorCode;
using common::fail;
using common::Seq;
using store::Attributes;

store::ContentRetained retained(NodeId node, const Base& base) {
  return {node, base.at, base.data_version};
}

Result<std::optional<Base>> present_base(const VolumeRef& volume, NodeId node) {
  std::optional<Base> base;
  const auto look = [&](store::ReadTx& tx, store::At at) -> Status {
    TROTH_TRY(const auto attributes, store::read_attributes(tx, node, at));
    if (!attributes || attributes->kind != store::NodeKind::File)
      return {};
    TROTH_TRY(auto content, volume->content(tx, node, at));
    base = Base{std::move(content), attributes->data_version, attributes->version};
    return {};
  };
  const Status looked = volume->view(look);
  if (!looked)
    return tl::unexpected(looked.error());
  return base;
}

Result<Base> past_base(const VolumeRef& volume, NodeId node, Seq version) {
  TROTH_TRY(const Attributes then, volume->attributes(node, version));
  if (then.kind != store::NodeKind::File)
    return fail(ErrorCode::NotFound, "node {} was no file then", node.value);
  TROTH_TRY(store::Content content, past_content(volume, node, version));
  return Base{std::move(content), then.data_version, version};
}

common::ByteView CameAlong::in(FileCall& call) {
  const common::ByteView body = call.rpc().body();
  if (!offset_)
    offset_ = size_ == 0 ? 0 : static_cast<std::size_t>(bytes_.data() - body.data());
  return body.subspan(*offset_, size_);
}

void clear_set_ids(StepLook& look, const Attributes& node, store::SetAttributes& set) {
  const access::AttributeWish writes{.size = true};
  if (const std::uint32_t mode = access::mode_after(look.view().caller(), node, writes);
      mode != node.mode)
    set.mode = mode;
}

Status no_tokens_yet(const std::optional<std::string>& token) {
  if (!token)
    return {};
  return fail(ErrorCode::Unsupported, "no lock server gives tokens yet");
}

tl::unexpected<common::Error> not_the_base(StepLook& look, const Attributes& node,
                                           std::string_view sentence) {
  fileproto::FailureDetail detail;
  detail.why = fileproto::FailureWhy::Base;
  if (auto present = describe(node, look.view()))
    detail.node = *std::move(present);
  return tl::unexpected(
      fileproto::with_detail(common::Error{ErrorCode::Conflict, std::string(sentence)}, detail));
}

tl::unexpected<common::Error> made_meanwhile(NodeId node) {
  return fail(ErrorCode::Conflict, "node {} was made while this was under way", node.value);
}

std::unique_ptr<Step> make_content_step(const fileproto::Change& change, common::ByteView raw) {
  auto step = make_store_step(change, raw);
  return step ? std::move(step) : make_range_step(change);
}

}  // namespace fileserver
