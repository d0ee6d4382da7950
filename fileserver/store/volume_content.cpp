// Changing and reading bytes.

#include <cerrno>

#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

// Each failed attempt means that another commit won; so many in a row mean that the caller should
// take a lock.
constexpr int kMostMerges = 64;

// A node's attributes and bytes of one moment.
struct Base {
  Attributes attributes;
  Content content;
};

Result<Base> base_in(ReadTx& tx, Volume::Parts& parts, NodeId node, At when) {
  TROTH_TRY(const auto attributes, read_attributes(tx, node, when));
  TROTH_TRY(auto content, read_content_of(tx, node, when, parts.seal));
  if (!attributes || !content)
    return fail_posix(ENOENT, "there is no node {}", node.value);
  if (attributes->kind == NodeKind::Directory)
    return fail_posix(EISDIR, "node {} is a directory", node.value);
  if (attributes->kind != NodeKind::File)
    return fail_posix(EINVAL, "node {} is not a regular file", node.value);
  return Base{*attributes, *std::move(content)};
}

Result<Base> read_base(Volume::Parts& parts, NodeId node, At at) {
  return parts.db->read([&](ReadTx& tx) -> Result<Base> {
    TROTH_TRY(const At when, parts.resolve(tx, at, node));
    return base_in(tx, parts, node, when);
  });
}

// Before the caller's own operations, in the same commit.
CommitRequest with_content(const CommitRequest& request, Upload* upload, NodeId node,
                           Content content, std::optional<Seq> base) {
  CommitRequest full = request;
  full.upload = upload;
  full.operations.insert(full.operations.begin(), SetContent{node, std::move(content), base});
  return full;
}

// A retry is answered before anything is prepared: what it worked on may have gone since. Nothing
// if the key is new, or there is none; else the answer, or why there is none (R4).
std::optional<Result<CommitReply>> answer_retry(Volume::Parts& parts,
                                                const CommitRequest& request) {
  if (!request.key)
    return std::nullopt;
  const auto record =
      parts.db->read([&](ReadTx& tx) { return read_record_of(tx, *request.key, parts.seal); });
  if (record && !*record)
    return std::nullopt;
  // The transaction looks at the key before anything else.
  CommitRequest again = request;
  again.operations = {SetContent{}};
  again.upload = nullptr;
  return parts.commit(again);
}

// Makes a content from a base and commits it, again while others commit in between.
// `make` (Upload&, const Base&) -> Result<Content>.
template <typename Make>
Result<CommitReply> commit_content(Volume::Parts& parts, const CommitRequest& request, NodeId node,
                                   std::optional<Seq> wanted, Make&& make) {
  // Blocks that the caller has put there already are in the caller's own.
  Upload own = parts.blocks->begin_upload();
  Upload& upload = request.upload != nullptr ? *request.upload : own;
  for (int attempt = 1;; ++attempt) {
    // The present version, whatever is visible: it is what will be replaced.
    TROTH_TRY(const Base base, parts.db->read([&](ReadTx& tx) -> Result<Base> {
      TROTH_TRY(const auto attributes, read_attributes(tx, node, {}));
      if (!attributes)
        return fail_posix(ENOENT, "there is no node {}", node.value);
      if (attributes->kind == NodeKind::Directory)
        return fail_posix(EISDIR, "node {} is a directory", node.value);
      TROTH_TRY(auto content, read_content_of(tx, node, {}, parts.seal));
      return Base{*attributes, *std::move(content)};
    }));
    const Seq version = base.attributes.data_version;
    if (wanted && *wanted != version)
      return fail(ErrorCode::Conflict, "node {} has content of commit {}, not {}", node.value,
                  version.value, wanted->value);
    TROTH_TRY(Content content, make(upload, base));
    auto done = parts.commit(
        with_content(request, &upload, node, std::move(content), wanted.value_or(version)));
    if (done || attempt == kMostMerges)
      return done;
    const bool gone = done.error().code == ErrorCode::Unavailable && !parts.follows.load();
    if (gone && request.upload == nullptr)
      parts.blocks->forget_reused(upload);
    else if (done.error().code != ErrorCode::Conflict || wanted)
      return done;
    else if (const auto now =
                 parts.db->read([&](ReadTx& tx) { return read_attributes(tx, node, {}); });
             now && *now && (*now)->data_version == version)
      return done;  // some other condition failed
  }
}

}  // namespace

Result<CommitReply> Volume::write(const WriteRequest& request) {
  Parts& parts = *parts_;
  const bool whole = request.replace && request.edits.size() <= 1 && !request.size &&
                     (request.edits.empty() ||
                      (request.edits[0].kind == Edit::Kind::Data && request.edits[0].offset == 0));
  if (auto answer = answer_retry(parts, request.commit))
    return *std::move(answer);
  const auto make = [&](Upload& upload, const Base& base) -> Result<Content> {
    if (whole)
      return make_content(*parts.blocks, upload,
                          request.edits.empty() ? ByteView{} : request.edits[0].bytes);
    const Content nothing;
    const Content& from = request.replace ? nothing : base.content;
    std::uint64_t size = from.size;
    for (const Edit& edit : request.edits) {
      const std::uint64_t length = edit.kind == Edit::Kind::Data ? edit.bytes.size() : edit.length;
      if (length == 0)
        continue;  // writing nothing grows nothing
      if (edit.offset > kMaxFileSize || length > kMaxFileSize - edit.offset)
        return fail_posix(EFBIG, "a file has at most 2^62 bytes");
      size = std::max(size, edit.offset + length);
    }
    return edit_content(*parts.blocks, upload, from, request.edits, request.size.value_or(size));
  };
  return commit_content(parts, request.commit, request.node, request.base, make);
}

Result<CommitReply> Volume::append(CommitRequest request, NodeId node, ByteView bytes) {
  Parts& parts = *parts_;
  if (bytes.size() <= kMaxTail) {
    CommitRequest small = request;
    small.operations.insert(small.operations.begin(),
                            AppendTail{node, Bytes(bytes.begin(), bytes.end())});
    auto done = parts.commit(small);
    // Does it not fit? Then the tail is folded below. Other conflicts will show there again.
    if (done || done.error().code != ErrorCode::Conflict)
      return done;
  }
  if (auto answer = answer_retry(parts, request))
    return *std::move(answer);
  return commit_content(parts, request, node, std::nullopt, [&](Upload& upload, const Base& base) {
    return append_content(*parts.blocks, upload, base.content, bytes);
  });
}

Result<CommitReply> Volume::copy_range(const CopyRequest& request) {
  Parts& parts = *parts_;
  if (auto answer = answer_retry(parts, request.commit))
    return *std::move(answer);
  TROTH_TRY(const Base from, read_base(parts, request.from, request.at));
  CommitRequest commit = request.commit;
  // Its blocks are taken over without being looked at: they must still be somebody's.
  const Seq at = request.at.value_or(Seq{last_seq()});
  commit.conditions.emplace_back(ContentRetained{
      request.from, std::max(at, from.attributes.data_version), from.attributes.data_version});
  return commit_content(
      parts, commit, request.to, std::nullopt, [&](Upload& upload, const Base& to) {
        return store::copy_range(*parts.blocks, upload, from.content, request.from_offset,
                                 request.length, to.content, request.to_offset);
      });
}

BlockStore& Volume::blocks() {
  return *parts_->blocks;
}

Result<Content> Volume::content(NodeId node, At at) {
  TROTH_TRY(Base base, read_base(*parts_, node, at));
  return std::move(base.content);
}

Result<std::size_t> Volume::read(const Content& content, std::uint64_t offset,
                                 std::span<std::byte> into) {
  return read_content(*parts_->blocks, content, offset, into);
}

Result<Volume::ReadReply> Volume::read(NodeId node, std::uint64_t offset, std::span<std::byte> into,
                                       At at) {
  for (int attempt = 1;; ++attempt) {
    TROTH_TRY(const Base base, read_base(*parts_, node, at));
    auto length = read_content(*parts_->blocks, base.content, offset, into);
    if (length)
      return ReadReply{*length, base.attributes};
    // Overwritten and forgotten while we read? Then the new version is the answer.
    if (at || attempt == kMostMerges)
      return tl::unexpected(std::move(length).error());
    TROTH_TRY(const Base now, read_base(*parts_, node, at));
    if (now.attributes.data_version == base.attributes.data_version)
      return tl::unexpected(std::move(length).error());
  }
}

Result<Content> Volume::content(ReadTx& tx, NodeId node, At at) {
  TROTH_TRY(Base base, base_in(tx, *parts_, node, at));
  return std::move(base.content);
}

Result<std::string> Volume::read_link(ReadTx& tx, NodeId node, At at) {
  TROTH_TRY(const auto attributes, read_attributes(tx, node, at));
  if (!attributes)
    return fail_posix(ENOENT, "there is no node {}", node.value);
  if (attributes->kind != NodeKind::Symlink)
    return fail_posix(EINVAL, "node {} is not a symbolic link", node.value);
  TROTH_TRY(const auto content, read_content_of(tx, node, at, parts_->seal));
  return std::string(common::as_text(content->tail));
}

Result<std::string> Volume::read_link(NodeId node, At at) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::string> {
    TROTH_TRY(const At when, parts_->resolve(tx, at, node));
    return read_link(tx, node, when);
  });
}

}  // namespace fileserver::store
