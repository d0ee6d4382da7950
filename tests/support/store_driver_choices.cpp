// What a driver does next.

#include <algorithm>

#include "tests/support/store_driver.hpp"

namespace test_support {

using store::NodeKind;

NodeId StoreDriver::any_node(std::optional<NodeKind> kind) {
  if (one_in(40))
    return NodeId{alone() && one_in(5) ? 0
                                       : 1'000'000'000 + options_.session * 8 + random_.below(3)};
  std::vector<NodeId> choices;
  for (const auto& [id, node] : model_.present().nodes) {
    if (id == store::kRootNode && !alone())
      continue;
    if (!kind || node->attributes.kind == *kind || one_in(30))
      choices.push_back(id);
  }
  return choices.empty() ? options_.top : random_.pick(std::span<const NodeId>(choices));
}

NodeId StoreDriver::any_directory() {
  return one_in(3) ? options_.top : any_node(NodeKind::Directory);
}

std::string StoreDriver::any_name() {
  switch (random_.below(40)) {
    case 0:
      return std::string(255, 'n');
    case 1:
      return std::string(256, 'n');
    case 2:
      return "";
    case 3:
      return one_in(2) ? "." : "..";
    case 4:
      return "a/b";
    case 5:
      return std::string("a\0b", 3);
    case 6:
      return "\xff\xfe";
    case 7:
      return "\x01";
    default:
      return std::string(1, static_cast<char>('a' + random_.below(12)));
  }
}

std::string StoreDriver::name_in(NodeId directory) {
  const ModelNode* const node = model_.present().find(directory);
  if (node == nullptr || node->entries.empty() || one_in(12))
    return any_name();
  return std::next(node->entries.begin(),
                   static_cast<std::ptrdiff_t>(random_.below(node->entries.size())))
      ->first;
}

std::size_t StoreDriver::any_length() {
  switch (random_.below(24)) {
    case 0:
      return 0;
    case 1:
    case 2:
      return 4094 + random_.below(5);
    case 3:
      return std::min<std::size_t>(store::kBlockBytes - 2 + random_.below(5), options_.largest);
    case 4:
      return random_.below(options_.largest) + 1;
    case 5:
    case 6:
    case 7:
      return random_.below(20'000) + 1;
    case 8:
    case 9:
    case 10:
      return random_.below(4096) + 1;
    default:
      return random_.below(120) + 1;
  }
}

std::uint64_t StoreDriver::any_offset(std::uint64_t size) {
  switch (random_.below(10)) {
    case 0:
      return 0;
    case 1:
      return size;
    case 2:
      return random_.below(8) * store::kBlockBytes + random_.below(5);
    case 3:  // sparse, beyond what one list of blocks holds
      return random_.below(1 << 27);
    default:
      return random_.below(size + 1);
  }
}

Bytes StoreDriver::any_bytes(std::size_t length) {
  // Bytes that were there before are stored once only.
  if (!pool_.empty() && one_in(3)) {
    Bytes again = random_.pick(std::span<const Bytes>(pool_));
    again.resize(std::min(again.size(), length));
    if (!again.empty() && again.size() + 64 > length)
      return again;
  }
  Bytes bytes(length);
  const std::uint64_t style = random_.below(8);
  if (style == 0)
    return bytes;  // zeros
  std::uint64_t word = random_.next();
  for (std::size_t i = 0; i < length; ++i) {
    if (style >= 3 && i % 8 == 0)
      word = random_.next();  // does not compress
    bytes[i] = static_cast<std::byte>(word >> (i % 8 * 8));
  }
  if (style == 1 && length > 8)  // zeros at the end
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(length / 2), bytes.end(), std::byte{0});
  if (pool_.size() < 8)
    pool_.push_back(bytes);
  else
    pool_[random_.below(pool_.size())] = bytes;
  return bytes;
}

void StoreDriver::random_content(ModelStep& step) {
  ModelContent& change = step.content.emplace();
  change.node = any_node(NodeKind::File);
  const ModelNode* const node = model_.present().find(change.node);
  const std::uint64_t size = node == nullptr ? 0 : node->bytes.size();
  switch (random_.below(8)) {
    case 0:
    case 1:
      change.kind = ModelContent::Kind::Append;
      change.bytes = any_bytes(one_in(2) ? random_.below(200) + 1 : any_length() + 1);
      return;
    case 2: {
      change.kind = ModelContent::Kind::Copy;
      change.from = any_node(NodeKind::File);
      const ModelState* then = &model_.present();
      if (one_in(3)) {
        const auto& history = model_.history();
        const auto chosen =
            std::next(history.begin(), static_cast<std::ptrdiff_t>(random_.below(history.size())));
        if (chosen->first >= floor_) {
          change.at = chosen->first;
          then = chosen->second.get();
        }
      }
      const ModelNode* const from = then->find(change.from);
      // Never nothing, and not beyond the end: what that means is for whoever asks to decide.
      const std::uint64_t there = from == nullptr ? 1 : from->bytes.size();
      if (there == 0) {
        change = ModelContent{};
        change.node = any_node(NodeKind::File);
        return;
      }
      change.from_offset = random_.below(there);
      if (one_in(2))  // in step with blocks, so that none moves
        change.from_offset -= change.from_offset % store::kBlockBytes;
      change.length =
          random_.below(std::min(there - change.from_offset, options_.largest + 150'000)) + 1;
      change.to_offset = one_in(2) ? change.from_offset : any_offset(size);
      return;
    }
    default:
      break;
  }
  const std::uint64_t pieces = random_.below(3) + (one_in(3) ? 0 : 1);
  for (std::uint64_t i = 0; i < pieces; ++i) {
    ModelContent::Piece piece;
    piece.offset = any_offset(size);
    if (one_in(5))
      piece.hole = random_.below(size + 5000) + 1;
    else
      piece.bytes = any_bytes(any_length() + 1);
    change.pieces.push_back(std::move(piece));
  }
  if (one_in(3))
    change.size = one_in(2) ? any_offset(size) : random_.below(size + 1);
  change.replace = one_in(6);
  if (one_in(4))
    change.base = node == nullptr || one_in(4) ? Seq{1} : node->attributes.data_version;
}

void StoreDriver::random_conditions(ModelStep& step) {
  const NodeId id = any_node();
  const ModelNode* const node = model_.present().find(id);
  const bool true_one = !one_in(4);
  switch (random_.below(options_.fences ? 4 : 3)) {
    case 0:
      step.conditions.push_back(
          store::VersionIs{id, node != nullptr && true_one ? node->attributes.version : Seq{3}});
      return;
    case 1:
      step.conditions.push_back(store::DataVersionIs{
          id, node != nullptr && true_one ? node->attributes.data_version : Seq{3}});
      return;
    case 2: {
      const NodeId directory = any_directory();
      const std::string name = name_in(directory);
      const ModelNode* const child = model_.present().child(directory, name);
      store::NameIs condition{directory, name, std::nullopt};
      if (child != nullptr && true_one)
        condition.node = child->attributes.node;
      step.conditions.push_back(condition);
      return;
    }
    default: {
      const std::uint64_t first = random_.below(1000);
      step.conditions.push_back(store::NotFenced{id, first, first + random_.below(1000),
                                                 common::FencingToken{random_.below(20)}});
      return;
    }
  }
}

store::Operation StoreDriver::random_operation(ModelStep& step, std::size_t index) {
  const std::size_t there = model_.present().nodes.size();
  const bool crowded = there > options_.nodes;
  const NodeId directory = any_directory();
  switch (random_.below(crowded ? 22 : 30)) {
    case 0:
    case 1:
    case 2:
      return store::Unlink{directory, name_in(directory)};
    case 3:
    case 4:
      return store::RemoveDirectory{directory, name_in(directory)};
    case 5:
    case 6:
    case 7:
    case 8: {
      const NodeId to = one_in(3) ? directory : any_directory();
      const auto mode = static_cast<store::RenameMode>(one_in(2) ? 0 : random_.below(3));
      return store::Rename{directory, name_in(directory), to, one_in(2) ? name_in(to) : any_name(),
                           mode};
    }
    case 9:
    case 10:
      return store::Link{any_node(NodeKind::File), directory, any_name()};
    case 11:
    case 12: {
      store::SetAttributes op;
      op.node = any_node();
      if (one_in(2))
        op.mode = static_cast<std::uint32_t>(random_.below(one_in(10) ? 010001 : 010000));
      if (one_in(3))
        op.uid = static_cast<std::uint32_t>(random_.next());
      if (one_in(3))
        op.gid = static_cast<std::uint32_t>(random_.below(3));
      if (one_in(3))
        op.mtime = random_.between(-1000, 1'700'000'000'000'000'000);
      if (one_in(3))
        op.atime = random_.between(-1000, 1'700'000'000'000'000'000);
      if (!op.mtime)
        op.mtime_now = one_in(4);
      if (!op.atime)
        op.atime_now = one_in(4);
      return op;
    }
    case 13:
    case 14:
      return store::SetXattr{any_node(),
                             "user." + std::string(1, static_cast<char>('a' + random_.below(3))),
                             any_bytes(random_.below(one_in(50) ? 65'538 : 100)),
                             static_cast<store::XattrMode>(random_.below(3))};
    case 15:
      return store::RemoveXattr{
          any_node(), "user." + std::string(1, static_cast<char>('a' + random_.below(3)))};
    case 16:
      return store::AppendTail{any_node(NodeKind::File), any_bytes(random_.below(150) + 1)};
    case 17:
      return store::RaiseFence{any_node(), random_.below(1000), random_.below(2000),
                               common::FencingToken{random_.below(20)}};
    case 18:
      if (alone()) {
        return one_in(2) ? store::Operation(
                               store::CreateSnapshot{"s" + std::to_string(random_.below(4)), {}})
                         : store::Operation(
                               store::DeleteSnapshot{"s" + std::to_string(random_.below(4))});
      }
      return store::Reap{any_node(NodeKind::File)};
    case 19:
      if (alone())
        return store::SetSetting{"k" + std::to_string(random_.below(3)),
                                 any_bytes(random_.below(20))};
      return store::Unlink{directory, name_in(directory)};
    case 20:
      return store::Reap{any_node(NodeKind::File)};
    default: {
      store::Create op;
      op.parent = directory;
      op.name = any_name();
      constexpr std::array kKinds{NodeKind::File,       NodeKind::File,
                                  NodeKind::File,       NodeKind::File,
                                  NodeKind::Directory,  NodeKind::Directory,
                                  NodeKind::Symlink,    NodeKind::Fifo,
                                  NodeKind::Socket,     NodeKind::CharacterDevice,
                                  NodeKind::BlockDevice};
      op.kind = kKinds[random_.below(kKinds.size())];
      op.mode = static_cast<std::uint32_t>(random_.below(010000));
      op.uid = static_cast<std::uint32_t>(random_.below(3));
      op.gid = static_cast<std::uint32_t>(random_.below(3));
      if (op.kind == NodeKind::CharacterDevice || op.kind == NodeKind::BlockDevice)
        op.device = random_.below(1 << 20);
      if (op.kind == NodeKind::Symlink)
        step.contents[index] = any_bytes(random_.below(one_in(10) ? 4100 : 60));
      else if (op.kind == NodeKind::File && one_in(2))
        step.contents[index] = any_bytes(any_length());
      if (op.kind != NodeKind::Directory && one_in(30)) {
        op.parent = NodeId{};
        op.name.clear();
      }
      return op;
    }
  }
}

ModelStep StoreDriver::random_step() {
  ModelStep step;
  step.caller = {random_.below(3), SessionId{options_.session}};
  if (one_in(3))
    random_content(step);
  if (!step.content || one_in(6)) {
    const std::size_t count = one_in(5) ? random_.below(5) + 2 : 1;
    for (std::size_t i = 0; i < count; ++i) {
      store::Operation op = random_operation(step, i);
      // Blocks of new files belong to an upload of their own.
      if (step.content && step.contents.contains(i)) {
        step.contents.erase(i);
        store::SetAttributes other;
        other.node = any_node();
        op = other;
      }
      step.operations.push_back(std::move(op));
    }
  }
  if (one_in(6))
    random_conditions(step);
  if (one_in(3))
    step.key = store::OperationKey{options_.mount, next_number_++};
  return step;
}

}  // namespace test_support
