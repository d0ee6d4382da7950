#pragma once

// Makes the tree of a new content from the tree of the old one and a plan. Whole subtrees that do
// not change, are cut out or come from the source are taken over by name; only pieces whose bytes
// are touched are read, put together and written, in parallel, and then the lists above them.

#include "fileserver/store/blocks/edit_plan.hpp"
#include "fileserver/store/blocks/tree_cursor.hpp"

namespace fileserver::store {

class TreeBuilder {
 public:
  // `extents` are what EditPlan::take(size) gave, and cover the tail of `base`. `source` is what
  // extents of kind Tree speak of, else null. All must outlive this object.
  TreeBuilder(BlockStore& blocks, Upload& upload, const Content& base, TreeCursor* source,
              std::span<const Extent> extents, std::uint64_t size);

  // Once.
  [[nodiscard]] Result<Content> build();

 private:
  struct Place {
    unsigned level = 0;
    std::uint64_t index = 0;
    std::uint64_t first = 0;  // blocks below it: [first, last)
    std::uint64_t last = 0;
  };
  // What a place is in the new tree, if that can be said without looking below it.
  struct Whole {
    enum class Kind : std::uint8_t { Base, Hole, Source, Block, Mixed };
    Kind kind = Kind::Mixed;
    BlockName name;
    std::uint64_t source_first = 0;  // of kind Source: the block of the source that comes first
  };
  struct Job;

  [[nodiscard]] Place place(unsigned level, std::uint64_t index) const;
  [[nodiscard]] std::uint64_t end_of(std::uint64_t last_block) const;
  [[nodiscard]] std::span<const Extent> extents_in(std::uint64_t begin, std::uint64_t end) const;

  [[nodiscard]] Result<std::uint64_t> blocks_kept();
  [[nodiscard]] Result<Whole> classify(const Place& where);
  [[nodiscard]] Result<Whole> classify_base(const Place& where);
  [[nodiscard]] Result<Whole> classify_source(const Place& where, std::uint64_t at);
  [[nodiscard]] Status take_over(const Place& where, const Whole& whole);

  [[nodiscard]] Result<BlockName> build_place(unsigned level, std::uint64_t index);
  [[nodiscard]] Result<BlockName> write_list(const Place& where, std::vector<BlockName> names);
  [[nodiscard]] Status write_pieces(std::uint64_t first, std::uint64_t last);
  [[nodiscard]] std::vector<std::uint64_t> candidates(std::uint64_t first,
                                                      std::uint64_t last) const;
  [[nodiscard]] Status write_batch(std::span<const std::uint64_t> batch);
  [[nodiscard]] Status gather(std::span<Job> jobs);
  [[nodiscard]] Status gather_from_base(std::span<Job> jobs);
  [[nodiscard]] Status gather_from_blocks(std::span<Job> jobs);
  [[nodiscard]] Result<BlockName> written_piece(std::uint64_t block) const;
  [[nodiscard]] Result<Content> small();
  [[nodiscard]] Result<bool> ends_in_data();

  BlockStore& blocks_;
  Upload& upload_;
  const Content& base_content_;
  TreeCursor base_;
  TreeCursor* const source_;
  const std::span<const Extent> extents_;
  const std::uint64_t size_;
  const std::uint64_t block_count_;
  const unsigned height_;
  std::uint64_t data_blocks_ = 0;  // that are no hole: of the base at first, of the result at last
  // Pieces written for the part of the tree that is being built, in order.
  std::vector<std::pair<std::uint64_t, BlockName>> pieces_;
  std::optional<BlockName> last_piece_;
};

}  // namespace fileserver::store
