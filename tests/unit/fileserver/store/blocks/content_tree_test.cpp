#include "tests/unit/fileserver/store/blocks/tree_fixture.hpp"

using namespace block_test;
using common::sim::Random;

namespace {

constexpr std::uint64_t kListBytes = kBlockBytes * kFanOut;  // below one list of the lowest level

// A content with the plain file it must be equal to.
struct File {
  TreeStore& f;
  Upload upload = f.store.begin_upload();
  Content content;
  PlainFile plain;

  explicit File(TreeStore& store) : f(store) {}

  void edit(std::vector<Edit> edits, std::uint64_t size) {
    for (const Edit& edit : edits) {
      if (edit.kind == Edit::Kind::Data) {
        plain.write(edit.offset, edit.bytes);
        continue;
      }
      plain.zero(edit.offset, edit.length);
      if (edit.kind == Edit::Kind::Block && !edit.block.is_hole()) {
        Bytes bytes(kBlockBytes);
        const auto length = f.store.read(edit.block, BlockKind::Data, bytes);
        REQUIRE_OK(length);
        bytes.resize(*length);
        plain.write(edit.offset, bytes);
      }
    }
    plain.resize(size);
    const auto edited = edit_content(f.store, upload, content, edits, size);
    REQUIRE_OK(edited);
    content = *edited;
    check_canonical();
  }
  void write(std::uint64_t offset, ByteView bytes) {
    edit({data_edit(offset, bytes)}, std::max(plain.size(), offset + bytes.size()));
  }
  void append(ByteView bytes) {
    plain.write(plain.size(), bytes);
    const auto appended = append_content(f.store, upload, content, bytes);
    REQUIRE_OK(appended);
    content = *appended;
    check_bytes();
  }
  void copy(const File& from, std::uint64_t offset, std::uint64_t length, std::uint64_t to) {
    const auto copied = copy_range(f.store, upload, from.content, offset, length, content, to);
    REQUIRE_OK(copied);
    if (offset >= from.plain.size() || length == 0) {
      CHECK(*copied == content);
      return;
    }
    const PlainFile source = from.plain;  // which may be this file: as it was
    plain.copy(source, offset, std::min(length, source.size() - offset), to);
    content = *copied;
    check_canonical();
  }

  void check_canonical() const {
    const Content expected = expected_content(plain);
    REQUIRE(content.size == expected.size);
    REQUIRE(content.root == expected.root);
    REQUIRE(content.tail == expected.tail);
    REQUIRE(content.allocated == expected.allocated);
  }
  void check_bytes() const {
    REQUIRE(content.size == plain.size());
    const std::uint64_t tail = std::min<std::uint64_t>(plain.size(), 10'000);
    REQUIRE(read_all(f.store, content, plain.size() - tail, tail) ==
            plain.read(plain.size() - tail, tail));
  }
  void check_range(std::uint64_t offset, std::size_t length) const {
    CAPTURE(offset);
    CAPTURE(length);
    CAPTURE(content.size);
    CAPTURE(content.tail.size());
    REQUIRE(read_all(f.store, content, offset, length) == plain.read(offset, length));
  }
  // lseek as the blocks of the plain file tell.
  void check_seek(std::uint64_t offset) const {
    PlainFile tree = plain;
    tree.resize(content.tree_size());
    const auto blocks = tree.blocks();
    const bool only_tail = plain.size() <= kMaxTail;
    const auto is_data = [&](std::uint64_t at) {
      return only_tail || at >= content.tree_size() || blocks.contains(at / kBlockBytes);
    };
    const auto find = [&](bool data) {
      std::uint64_t at = offset;
      while (at < plain.size() && is_data(at) != data) {
        const auto next = blocks.lower_bound(at / kBlockBytes);  // nothing before it is data
        std::uint64_t to = (at / kBlockBytes + 1) * kBlockBytes;
        if (data)
          to = next == blocks.end() ? plain.size() : next->first * kBlockBytes;
        at = std::min(to, at < content.tree_size() ? content.tree_size() : plain.size());
      }
      return std::min(at, plain.size());
    };
    const auto data = next_data(f.store, content, offset);
    const auto hole = next_hole(f.store, content, offset);
    REQUIRE_OK(data);
    REQUIRE_OK(hole);
    REQUIRE(*data == find(true));
    REQUIRE(*hole == find(false));
  }
};

std::uint64_t near(Random& random, std::span<const std::uint64_t> places) {
  const std::uint64_t place = random.pick(places);
  const std::uint64_t off = random.below(3) == 0 ? 0 : random.below(6000);
  return random.chance(500'000) || place < off ? place + off : place - off;
}

// Random edits, appends and copies of two files, compared with plain bytes after each.
void live(std::uint64_t seed, std::span<const std::uint64_t> places, int steps) {
  CAPTURE(seed);
  Random random(seed);
  TreeStore f;
  std::vector<File> files;
  files.emplace_back(f);
  files.emplace_back(f);
  for (int step = 0; step < steps; ++step) {
    CAPTURE(step);
    File& file = files[random.below(2)];
    const Bytes bytes =
        random.chance(150'000)
            ? Bytes(1 + random.below(5000))  // zeros are holes
            : noise(1 + random.below(random.chance(200'000) ? 300'000 : 5000), random.below(8));
    const std::uint64_t offset = near(random, places);
    switch (random.below(8)) {
      case 0:
      case 1:
        file.write(offset, bytes);
        break;
      case 2:
        file.edit({hole_edit(offset, near(random, places))}, file.plain.size());
        break;
      case 3:
        file.edit({}, offset);
        break;
      case 4:
        file.append(ByteView(bytes).first(std::min<std::size_t>(bytes.size(), 1500)));
        break;
      case 5: {
        const std::uint64_t to = near(random, places);
        file.edit({data_edit(offset, bytes), hole_edit(to, 1 + random.below(9000)),
                   data_edit(to + 100, bytes), data_edit(offset / 2, bytes)},
                  near(random, places));
        break;
      }
      case 6: {
        const File& from = files[random.below(2)];
        std::uint64_t to = near(random, places);
        if (random.chance(600'000))
          to = to / kBlockBytes * kBlockBytes + offset % kBlockBytes;
        file.copy(from, offset, near(random, places), to);
        break;
      }
      case 7: {
        const auto name = f.store.put(
            file.upload, BlockKind::Data,
            bytes.back() == std::byte{0}
                ? noise(7, 1)
                : Bytes(bytes.begin(),
                        bytes.begin() + static_cast<std::ptrdiff_t>(
                                            std::min<std::size_t>(bytes.size(), kBlockBytes))));
        if (!name)
          break;  // ends in zero by chance
        const std::uint64_t at = offset / kBlockBytes * kBlockBytes;
        file.edit({block_edit(at, kBlockBytes, *name)},
                  std::max(file.plain.size(), at + kBlockBytes));
        break;
      }
    }
    file.check_range(near(random, places), 1 + random.below(200'000));
    file.check_seek(near(random, places));
  }
}

}  // namespace

TEST_CASE("heights are as the format says") {
  CHECK(tree_height(0) == 0);
  CHECK(tree_height(kBlockBytes) == 0);
  CHECK(tree_height(kBlockBytes + 1) == 1);
  CHECK(tree_height(kListBytes) == 1);
  CHECK(tree_height(kListBytes + 1) == 2);
  CHECK(tree_height(kMaxFileSize) == 6);
}

TEST_CASE("sizes around every limit") {
  TreeStore f;
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, kMaxTail - 1, kMaxTail, kMaxTail + 1, kBlockBytes - 1,
        kBlockBytes, kBlockBytes + 1, 2 * kBlockBytes, 3 * kBlockBytes + 5}) {
    CAPTURE(size);
    File file(f);
    const Bytes bytes = noise(size, size);
    file.write(0, bytes);
    file.check_range(0, size + 10);
    file.check_seek(size / 2);
    const auto made = make_content(f.store, file.upload, bytes);
    REQUIRE_OK(made);
    CHECK(*made == file.content);
    CHECK(file.content.allocated == size);
  }
}

TEST_CASE("small files: every kind of change, compared with plain bytes") {
  const std::uint64_t places[] = {0, 100, kMaxTail, 3 * kMaxTail, 60'000};
  for (std::uint64_t seed = 1; seed <= 30; ++seed)
    live(seed, places, 25);
}

TEST_CASE("files of several blocks") {
  const std::uint64_t places[] = {0, kMaxTail, kBlockBytes, 2 * kBlockBytes, 5 * kBlockBytes};
  for (std::uint64_t seed = 100; seed < 112; ++seed)
    live(seed, places, 25);
}

TEST_CASE("files with several levels of lists, and holes between") {
  const std::uint64_t places[] = {0,
                                  kMaxTail,
                                  kBlockBytes,
                                  kListBytes,
                                  2 * kListBytes,
                                  kListBytes * kFanOut,
                                  kListBytes * kFanOut * 2,
                                  kListBytes * kFanOut * kFanOut};
  for (std::uint64_t seed = 200; seed < 210; ++seed)
    live(seed, places, 25);
}

TEST_CASE("the largest file") {
  TreeStore f;
  File file(f);
  const Bytes bytes = noise(100, 1);
  file.write(kMaxFileSize - 100, bytes);
  CHECK(file.content.allocated == kBlockBytes);
  file.check_range(kMaxFileSize - 200, 300);
  file.check_seek(0);
  file.edit({hole_edit(0, kMaxFileSize)}, kMaxFileSize);
  CHECK(file.content.root.is_hole());
  file.edit({}, 0);
  CHECK_FAILS(edit_content(f.store, file.upload, file.content, {}, kMaxFileSize + 1),
              ErrorCode::TooLarge);
  const std::vector<Edit> beyond{data_edit(kMaxFileSize - 99, bytes)};
  CHECK_FAILS(edit_content(f.store, file.upload, file.content, beyond, 0), ErrorCode::TooLarge);
  const std::vector<Edit> wraps{hole_edit(10, ~std::uint64_t{0})};
  CHECK_FAILS(edit_content(f.store, file.upload, file.content, wraps, 0), ErrorCode::TooLarge);
  Content full;
  full.size = kMaxFileSize;
  CHECK_FAILS(append_content(f.store, file.upload, full, bytes), ErrorCode::TooLarge);
}

TEST_CASE("a file has one tree, whatever its history") {
  TreeStore f;
  const Bytes bytes = noise(700'000, 3);
  File whole(f);
  whole.write(0, bytes);
  File pieces(f);
  pieces.write(600'000, ByteView(bytes).subspan(600'000));
  for (std::uint64_t at = 0; at < 600'000; at += 60'000)
    pieces.write(at, ByteView(bytes).subspan(at, 60'000));
  CHECK(pieces.content == whole.content);
  File longer(f);
  longer.write(0, noise(900'000, 4));
  longer.write(0, bytes);
  longer.edit({}, 700'000);
  CHECK(longer.content == whole.content);
  File log(f);
  for (std::uint64_t at = 0; at < 700'000; at += 1000)
    log.append(ByteView(bytes).subspan(at, 1000));
  log.edit({}, 700'000);
  CHECK(log.content == whole.content);
}

TEST_CASE("growing with zeros changes no block") {
  TreeStore f;
  File file(f);
  file.write(0, noise(200'000, 3));
  Upload upload = f.store.begin_upload();
  const auto grown = edit_content(f.store, upload, file.content, {}, 5 * kBlockBytes);
  REQUIRE_OK(grown);
  CHECK(upload.written().empty());
  CHECK(grown->root == file.content.root);
  CHECK(grown->allocated == 2 * kBlockBytes);
}

TEST_CASE("4 KiB in 1 GiB change one block and the two lists above it") {
  TreeStore f;
  File file(f);
  const Bytes bytes = noise(kBlockBytes, 5);
  std::vector<Edit> edits;
  Upload upload = f.store.begin_upload();
  const auto block = f.store.put(upload, BlockKind::Data, bytes);
  REQUIRE_OK(block);
  constexpr std::uint64_t kGiB = 1 << 30;
  for (std::uint64_t at = 0; at < kGiB; at += kBlockBytes)
    edits.push_back(block_edit(at, kBlockBytes, *block));
  const auto big = edit_content(f.store, upload, Content{}, edits, kGiB);
  REQUIRE_OK(big);
  CHECK(big->allocated == kGiB);

  Upload one = f.store.begin_upload();
  const Bytes change = noise(4096, 6);
  const std::vector<Edit> edit{data_edit(500'000'000, change)};
  const auto edited = edit_content(f.store, one, *big, edit, kGiB);
  REQUIRE_OK(edited);
  REQUIRE(one.written().size() == 3);
  CHECK(one.reused().empty());
  CHECK(std::ranges::count(one.written(), BlockKind::Data, &NewBlock::kind) == 1);
  CHECK(edited->allocated == kGiB);
  CHECK(read_all(f.store, *edited, 500'000'000, 4096) == change);

  // Cutting it reads and writes what is at the cut.
  Upload cut = f.store.begin_upload();
  const auto half = edit_content(f.store, cut, *edited, {}, kGiB / 2 + 1000);
  REQUIRE_OK(half);
  CHECK(half->allocated == kGiB / 2 + 1000);
  CHECK(cut.written().size() <= 3);
}

TEST_CASE("small appends stay in the tail until they fill it") {
  TreeStore f;
  File file(f);
  file.write(0, noise(1'000'000, 7));
  std::size_t folds = 0;
  const Bytes line = noise(100, 8);
  std::uint64_t written = 0;
  for (int i = 0; i < 200; ++i) {
    const BlockName before = file.content.root;
    const std::size_t blocks = file.upload.written().size();
    file.append(line);
    CHECK(file.content.allocated == file.content.size);
    if (file.content.root == before)
      CHECK(file.upload.written().size() == blocks);
    else
      ++folds;
    for (const NewBlock& block : file.upload.written().subspan(blocks))
      written += block.placement.length + 64;
  }
  CHECK(folds == 200 / (kMaxAppendedTail / 100 + 1));
  CHECK(written / 200 < 32 * 1024);  // bytes to the segments for each append
  file.check_seek(999'000);
  file.edit({}, file.plain.size());
  CHECK(file.content.tail.empty());
}

TEST_CASE("a copy at the same place in a block moves bytes at its ends only") {
  TreeStore f;
  File from(f);
  for (std::uint64_t at = 0; at < 20; at += 3)
    from.write(at * kBlockBytes, noise(2 * kBlockBytes, at));
  File to(f);
  to.write(0, noise(100'000, 50));
  const std::size_t before = to.upload.written().size();
  to.copy(from, 1000, 15 * kBlockBytes, 2 * kBlockBytes + 1000);
  const auto written = to.upload.written().subspan(before);
  CHECK(std::ranges::count(written, BlockKind::Data, &NewBlock::kind) == 2);

  // Whole lists are shared, too: a terabyte of them takes no longer.
  File big(f);
  big.write(0, noise(kBlockBytes, 51));
  for (std::uint64_t size = kBlockBytes; size < kListBytes * 4096; size *= 2) {
    const auto doubled = copy_range(f.store, big.upload, big.content, 0, size, big.content, size);
    REQUIRE_OK(doubled);
    big.content = *doubled;
    REQUIRE(big.content.allocated == 2 * size);
  }
  CHECK(next_hole(f.store, big.content, 0) == big.content.size);
  const auto cut = edit_content(f.store, big.upload, big.content, {}, big.content.size * 3 / 4);
  REQUIRE_OK(cut);
  CHECK(cut->allocated == cut->size);
  CHECK(read_all(f.store, *cut, cut->size - 5000, 9000) ==
        big.plain.read(kBlockBytes - 5000, 5000));
}

TEST_CASE("stored blocks are named into a file") {
  TreeStore f;
  Upload upload = f.store.begin_upload();
  const auto whole = f.store.put(upload, BlockKind::Data, noise(kBlockBytes, 1));
  const auto brief = f.store.put(upload, BlockKind::Data, noise(500, 2));
  REQUIRE_OK(whole);
  REQUIRE_OK(brief);
  File file(f);
  file.edit({block_edit(0, kBlockBytes, *whole), block_edit(kBlockBytes, 700, *brief)},
            kBlockBytes + 700);
  file.edit(
      {block_edit(kBlockBytes, kBlockBytes, *brief), block_edit(2 * kBlockBytes, 1000, *whole)},
      2 * kBlockBytes + 1000);  // longer than there is room: cut
  file.edit({block_edit(0, kBlockBytes, BlockName{})}, 2 * kBlockBytes);
  file.edit({block_edit(0, kBlockBytes, *whole), data_edit(5, noise(10, 3))}, 2 * kBlockBytes);
  file.edit({block_edit(0, 600, *whole)}, 600);  // small enough for a tail

  const auto fails = [&](Edit edit, std::uint64_t size, ErrorCode code) {
    CHECK_FAILS(edit_content(f.store, upload, Content{}, std::span(&edit, 1), size), code);
  };
  fails(block_edit(1, kBlockBytes, *whole), 2 * kBlockBytes, ErrorCode::InvalidArgument);
  fails(block_edit(0, 500, *whole), 2 * kBlockBytes, ErrorCode::InvalidArgument);
  fails(block_edit(0, 0, *whole), 0, ErrorCode::InvalidArgument);
  fails(block_edit(0, kBlockBytes + 1, *whole), 100, ErrorCode::InvalidArgument);
  BlockName unknown;
  unknown.bytes.fill(std::byte{7});
  fails(block_edit(0, kBlockBytes, unknown), kBlockBytes, ErrorCode::NotFound);
  fails(block_edit(0, 5000, unknown), 5000, ErrorCode::NotFound);
}

TEST_CASE("a content that cannot be is Corrupt") {
  TreeStore f;
  Upload upload = f.store.begin_upload();
  Content bad;
  bad.size = 3;
  bad.tail = Bytes(4);
  bad.allocated = 4;
  CHECK_FAILS(edit_content(f.store, upload, bad, {}, 3), ErrorCode::Corrupt);
  CHECK_FAILS(append_content(f.store, upload, bad, {}), ErrorCode::Corrupt);
  CHECK_FAILS(copy_range(f.store, upload, bad, 0, 1, Content{}, 0), ErrorCode::Corrupt);
  Bytes into(10);
  CHECK_FAILS(read_content(f.store, bad, 0, into), ErrorCode::Corrupt);
  CHECK_FAILS(next_data(f.store, bad, 0), ErrorCode::Corrupt);
}

TEST_CASE("a block that is lost is Corrupt, never zeros and never a missing file") {
  TreeStore f;
  File file(f);
  file.write(0, noise(5 * kBlockBytes, 9));
  f.index.commit(file.upload);
  const Content content = file.content;
  const auto names = block_names(f.store, content, 0, 100);
  REQUIRE_OK(names);
  REQUIRE(names->size() == 5);
  file.upload = f.store.begin_upload();  // drops the pins
  f.index.erase((*names)[2]);
  Bytes into(5 * kBlockBytes);
  CHECK_FAILS(read_content(f.store, content, 0, into), ErrorCode::Corrupt);
  CHECK(read_content(f.store, content, 0, std::span(into).first(2 * kBlockBytes)) ==
        2 * kBlockBytes);
  // Overwriting all of it heals the file; overwriting part of it cannot.
  const Bytes part = noise(10, 1);
  const Bytes all = noise(kBlockBytes, 1);
  const std::vector<Edit> in_part{data_edit(2 * kBlockBytes + 5, part)};
  const std::vector<Edit> in_whole{data_edit(2 * kBlockBytes, all)};
  CHECK_FAILS(edit_content(f.store, file.upload, content, in_part, content.size),
              ErrorCode::Corrupt);
  CHECK_OK(edit_content(f.store, file.upload, content, in_whole, content.size));
}

TEST_CASE("a tree's blocks are visited, and named by place") {
  TreeStore f;
  File file(f);
  file.write(0, noise(3 * kBlockBytes, 1));
  file.write(kListBytes + 5 * kBlockBytes, noise(100, 2));
  std::vector<std::pair<BlockName, BlockKind>> seen;
  const TreeVisitor visitor{[&](const BlockName& name, BlockKind kind) -> Status {
                              seen.emplace_back(name, kind);
                              return {};
                            },
                            {}};
  REQUIRE_OK(visit_tree(f.store, file.content.root, file.content.tree_size(), visitor));
  REQUIRE(seen.size() == 7);  // the root, a list and three blocks, a list and one
  CHECK(seen[0] == std::pair(file.content.root, BlockKind::List));
  CHECK(seen[1].second == BlockKind::List);
  const auto names = block_names(f.store, file.content, 1, 3);
  REQUIRE_OK(names);
  CHECK(*names == std::vector{seen[3].first, seen[4].first, BlockName{}});
  CHECK(block_names(f.store, file.content, 500, 3)->empty());

  seen.clear();
  const TreeVisitor flat{visitor.visit, [](const BlockName&) { return false; }};
  REQUIRE_OK(visit_tree(f.store, file.content.root, file.content.tree_size(), flat));
  CHECK(seen.size() == 1);
  // A tree that does not fit its size is not one of ours.
  CHECK_FAILS(visit_tree(f.store, file.content.root, kListBytes + kBlockBytes, visitor),
              ErrorCode::Corrupt);
}

TEST_CASE("what a copy lacks is found from the top, once each") {
  TreeStore ours;
  File file(ours);
  file.write(0, noise(3 * kBlockBytes, 1));
  file.write(kListBytes, noise(3 * kBlockBytes, 1));  // the same blocks again
  file.write(kListBytes + 4 * kBlockBytes, noise(50, 2));
  const Content content = file.content;

  TreeStore theirs;
  Upload upload = theirs.store.begin_upload();
  std::size_t fetched = 0;
  for (std::size_t round = 0;; ++round) {
    REQUIRE(round < 10);
    const auto missing = missing_blocks(theirs.store, content.root, content.tree_size(), 2);
    REQUIRE_OK(missing);
    CHECK(missing->size() <= 2);
    if (missing->empty())
      break;
    for (const MissingBlock& block : *missing) {
      Bytes bytes(kBlockBytes);
      const auto length = ours.store.read(block.name, block.kind, bytes);
      REQUIRE_OK(length);
      bytes.resize(*length);
      REQUIRE_OK(theirs.store.put_named(upload, block.name, block.kind, bytes));
      ++fetched;
    }
  }
  CHECK(fetched == 3 + 3 + 1);
  CHECK(read_all(theirs.store, content, 0, kListBytes + 5 * kBlockBytes) ==
        file.plain.read(0, kListBytes + 5 * kBlockBytes));
  theirs.index.commit(upload);
  upload = theirs.store.begin_upload();

  // The next commit: only what is new is looked for, and that is pinned.
  file.write(10, noise(10, 9));
  const auto missing = missing_blocks(theirs.store, file.content.root, file.content.tree_size(),
                                      100, &upload, &content);
  REQUIRE_OK(missing);
  CHECK(missing->size() == 1);  // the root: what it lists is not known yet
  CHECK(upload.reused().empty());
  const auto all = missing_blocks(theirs.store, content.root, content.tree_size(), 100, &upload);
  REQUIRE_OK(all);
  CHECK(all->empty());
  CHECK(upload.reused().size() == 7);
}
