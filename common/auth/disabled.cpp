#include "common/auth/disabled.hpp"

#include "common/wire/binary.hpp"
#include "common/wire/json_object.hpp"
#include "common/wire/json_writer.hpp"

namespace common::auth {
namespace {

using ticket::PrincipalId;

// A page of everybody is 20,000 ids, what has changed 10,000.
constexpr std::uint64_t kMostIdBytes = std::uint64_t{4} * 64 * 1024;

Result<std::vector<PrincipalId>> read_ids(wire::BinaryReader& in, std::size_t count) {
  std::vector<PrincipalId> ids;
  ids.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    TROTH_TRY(const std::uint32_t id, in.u32());
    if (!ids.empty() && id <= ids.back().value)
      return fail(ErrorCode::Protocol, "the KDC's ids of the disabled are not in order");
    ids.emplace_back(id);
  }
  return ids;
}

}  // namespace

Result<DisabledNews> decode_disabled(const nlohmann::json& head, ByteView ids) {
  TROTH_TRY(const auto object, wire::JsonObject::of(head, "disabled"));
  DisabledNews news;
  TROTH_TRY(news.version, object.u64("version"));
  TROTH_TRY(news.whole, object.boolean("whole"));
  const std::size_t all = ids.size() / 4;
  if (ids.size() > kMostIdBytes || ids.size() % 4 != 0)
    return fail(ErrorCode::Protocol, "{} bytes are no ids", ids.size());
  TROTH_TRY(const std::uint64_t disabled, object.u64("disabled", all));
  wire::BinaryReader in(ids);
  TROTH_TRY(news.disabled, read_ids(in, disabled));
  TROTH_TRY(news.enabled, read_ids(in, all - disabled));
  TROTH_TRY_VOID(in.finish());
  TROTH_TRY(const auto next, object.try_u64("next"));
  if (next) {
    const bool follows = news.disabled.empty() || *next >= news.disabled.back().value;
    if (!news.whole || !follows || *next > ticket::kHighestId.value)
      return fail(ErrorCode::Protocol, "the KDC's pages of the disabled are not in order");
    news.next = PrincipalId(static_cast<std::uint32_t>(*next));
  }
  if (news.whole && !news.enabled.empty())
    return fail(ErrorCode::Protocol, "a page of everybody lists the disabled only");
  return news;
}

Result<DisabledNews> ask_disabled(rpc::Client& kdc, std::optional<std::uint64_t> since,
                                  PrincipalId after, Instant deadline,
                                  const rpc::Cancellation* cancellation) {
  wire::JsonWriter args;
  if (since)
    args.field("since", *since);
  else
    args.field("after", after.value);
  rpc::Request request;
  request.service = "kdc";
  request.operation = "disabled";
  request.args = args.take();
  request.max_reply_bytes = kMostIdBytes;
  request.deadline = deadline;
  request.cancellation = cancellation;
  auto result = kdc.call(request);
  if (!result.answer)
    return tl::unexpected(std::move(result.answer).error());
  return decode_disabled(result.answer->result(), result.answer->bytes);
}

}  // namespace common::auth
