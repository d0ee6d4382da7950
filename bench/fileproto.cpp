// What the file protocol's codecs and a judgement cost, in nanoseconds each.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/clock.hpp"
#include "common/fileproto/frames.hpp"
#include "common/fileproto/stream_messages.hpp"

namespace {

using namespace common::fileproto;
using common::NodeId;
using common::Seq;
using common::VolumeId;

Attributes file(std::uint64_t node) {
  Attributes made;
  made.node = NodeId(node);
  made.mode = 0644;
  made.uid = made.gid = 10'001;
  made.links = 1;
  made.size = made.allocated = 12'345;
  made.mtime = made.ctime = made.atime = 1'700'000'000'123'456'789;
  made.version = made.data_version = Seq(123'456);
  made.home = NodeId(77);
  made.granted = true;
  return made;
}

// Median of seven runs, in nanoseconds for one.
template <typename Work>
double nanoseconds(const char* what, std::size_t times, Work work) {
  std::vector<double> runs;
  for (int run = 0; run < 7; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < times; ++i)
      work();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    runs.push_back(took.count() / static_cast<double>(times));
  }
  std::ranges::nth_element(runs, runs.begin() + 3);
  std::fprintf(stderr, "%-24s %10.0f ns\n", what, runs[3]);
  return runs[3];
}

std::size_t sink = 0;

}  // namespace

int main(int argc, char** argv) {
  const bool json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
  nlohmann::json result;
  const auto measure = [&](const char* what, std::size_t times, auto work) {
    result[what] = nanoseconds(what, times, work);
  };

  GetattrResult getattr{{common::Epoch(1), Seq(123'400), 9'876}, {}};
  getattr.nodes.emplace_back(file(1'234));
  const LookupResult lookup{getattr.state, file(77), file(1'234)};
  const LookupArgs args{{}, {VolumeId(3), NodeId(77)}, "a_file_of_some_name.cpp"};
  ListResult list{getattr.state, file(77), {}, {}};
  for (std::uint64_t i = 0; i < 1'000; ++i)
    list.entries.push_back({"file_" + std::to_string(i), file(i)});

  measure("encode_getattr_ns", 200'000, [&] { sink += encode(getattr).size(); });
  measure("encode_lookup_ns", 200'000, [&] { sink += encode(lookup).size(); });
  measure("encode_lookup_args_ns", 200'000, [&] { sink += encode(args).size(); });
  const auto lookup_args = nlohmann::json::parse(encode(args));
  measure("decode_lookup_args_ns", 200'000,
          [&] { sink += decode<LookupArgs>(lookup_args)->name.size(); });
  const std::string lookup_text = encode(lookup);
  measure("parse_and_decode_lookup_ns", 50'000,
          [&] { sink += decode_text<LookupResult>(lookup_text)->dir.size; });
  measure("encode_list_1000_ns", 200, [&] { sink += encode(list).size(); });
  measure("encode_packed_1000_ns", 1'000, [&] { sink += encode_packed(list).raw.size(); });
  const PackedList packed = encode_packed(list);
  const auto head = nlohmann::json::parse(packed.head);
  measure("decode_packed_1000_ns", 500,
          [&] { sink += decode_packed_list(head, packed.raw)->entries.size(); });
  const ServerMessage message = Break{1, 2, {{{VolumeId(3), NodeId(77)}, broken::kBytes}}};
  measure("encode_break_ns", 200'000, [&] { sink += encode_message(message)->size(); });

  std::fprintf(stderr, "(%zu)\n", sink % 10);
  if (json)
    std::printf("%s\n", result.dump().c_str());
  return 0;
}
