#pragma once

// A volume's tables as they were at one seq, as a stream of rows in a fixed order: what a dump
// carries and what makes a copy. Pages are read one transaction each. As long as the seq is
// retained and nothing is trimmed, the stream is the same whenever it is read, whatever has been
// committed since.

#include "fileserver/store/blocks/collector.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

using common::db::WriteTx;

enum class ImageScope : std::uint8_t {
  History = 0,  // everything that is retained and began at or before the seq
  Present = 1,  // only what is true at the seq, and the commit itself
};

// In the order of the stream.
enum class ImageTable : std::uint8_t {
  Setting,
  Node,
  Dirent,
  Xattr,
  HardLink,
  Touched,
  Content,        // tails, in the clear
  CommitContent,  // of Present: tails of the seq's own commit
  Snapshot,       // of History
  Fence,          // as they are now: they only grow
  Client,         // mounts; of Present: with every number up to the seq forgotten
  Commits,
};
inline constexpr std::uint8_t kImageTables = 12;

// Fences and clients belong to this copy or outlive a rollback: they are carried, not compared.
[[nodiscard]] bool is_compared(ImageTable table);

// After which row; the default is before the first.
struct ImageCursor {
  std::uint8_t table = 0;
  std::uint64_t id = 0;
  std::uint64_t second = 0;
  std::uint64_t to = 0;
  Bytes name;
  friend bool operator==(const ImageCursor&, const ImageCursor&) = default;
};

struct ImagePage {
  ImageTable table{};
  std::vector<Bytes> rows;
  std::vector<Root> roots;  // of these rows
  ImageCursor next;
  bool done = false;  // that was all
};

// The next rows of one table: some hundred, or half a MiB; perhaps none before the end. Stale if
// the commit is not there any more.
[[nodiscard]] Result<ImagePage> read_image_page(ReadTx& tx, Seq seq, ImageScope scope,
                                                const ImageCursor& after, const TailSeal& seal);

// What a copy must know besides rows.
struct ImageHead {
  Seq seq;
  Seq floor;
  Epoch epoch;
  Seq reserved_seq;
  NodeId reserved_node;
  BlockName commit;  // SHA-256 of its row but for the key: tells it from another of the same seq
  friend bool operator==(const ImageHead&, const ImageHead&) = default;
};
// Of the newest commit at or below `seq`. Expired: that is below the floor.
[[nodiscard]] Result<ImageHead> read_image_head(ReadTx& tx, Seq seq);

// Puts a row where it was; one that is there already is replaced. Protocol: it is none of ours.
[[nodiscard]] Status load_image_row(WriteTx& tx, ImageTable table, ByteView row,
                                    const TailSeal& seal);
// After the last row.
[[nodiscard]] Status finish_image(WriteTx& tx, const ImageHead& head);

}  // namespace fileserver::store
