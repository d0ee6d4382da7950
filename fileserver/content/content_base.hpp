#pragma once

// What the changes of contents share: the version that a new content is made from.

#include <optional>

#include "fileserver/content/content_access.hpp"

namespace fileserver {

// A file's content with its data version, of one moment; `at` is a seq at which it was this.
struct Base {
  store::Content content;
  common::Seq data_version;
  common::Seq at;
};

// The commit fails unless what was taken over from it is still there.
[[nodiscard]] store::ContentRetained retained(NodeId node, const Base& base);

// As it is now; nullopt: no such file. Of rights nothing is known yet: what comes of it is shown to
// nobody before they are judged.
[[nodiscard]] Result<std::optional<Base>> present_base(const VolumeRef& volume, NodeId node);
// As it was. NotFound, Expired.
[[nodiscard]] Result<Base> past_base(const VolumeRef& volume, NodeId node, common::Seq version);

// The bytes that came along with one change of a call. A call that goes on after it was parked has
// its body elsewhere.
class CameAlong {
 public:
  // Of the run in which the change is made.
  explicit CameAlong(common::ByteView bytes) : bytes_(bytes), size_(bytes.size()) {}
  // In this run.
  [[nodiscard]] common::ByteView in(FileCall& call);
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  common::ByteView bytes_;
  const std::size_t size_;
  std::optional<std::size_t> offset_;  // in the body
};

// A program that runs as its owner does not when others have written it.
void clear_set_ids(StepLook& look, const store::Attributes& node, store::SetAttributes& set);

// Unsupported: no lock server gives tokens yet.
[[nodiscard]] Status no_tokens_yet(const std::optional<std::string>& token);

// Conflict (Base), with what is there.
[[nodiscard]] tl::unexpected<common::Error> not_the_base(StepLook& look,
                                                         const store::Attributes& node,
                                                         std::string_view sentence);
// Conflict: the file came to be after the content was made.
[[nodiscard]] tl::unexpected<common::Error> made_meanwhile(NodeId node);

// The two families of steps; nullptr: not theirs.
[[nodiscard]] std::unique_ptr<Step> make_store_step(const fileproto::Change& change,
                                                    common::ByteView raw);
[[nodiscard]] std::unique_ptr<Step> make_range_step(const fileproto::Change& change);

}  // namespace fileserver
