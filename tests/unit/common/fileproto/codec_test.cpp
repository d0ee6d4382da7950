// Every JSON message: what is not one is refused, whatever it is, and what is goes round.

#include "common/fileproto/codec.hpp"

#include <cerrno>
#include <random>

#include <nlohmann/json.hpp>

#include "common/fileproto/frames.hpp"
#include "tests/support/fileproto_samples.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::fileproto;
using test_support::sample_file;
using Json = nlohmann::json;

namespace {

Fid fid(std::uint64_t node) {
  return {VolumeId(3), NodeId(node)};
}

// Each value within a message, one after the other.
void each_value(Json& value, const std::function<void(Json&)>& visit) {
  visit(value);
  if (value.is_object() || value.is_array()) {
    for (auto& inside : value)
      each_value(inside, visit);
  }
}

template <typename T>
std::string sentence(const Result<T>& result) {
  return result ? "ok" : result.error().message;
}

// Random attributes within the bounds, and at them.
std::uint64_t any(std::mt19937_64& random, std::uint64_t most) {
  switch (random() % 4) {
    case 0:
      return 0;
    case 1:
      return most;
    default:
      return most == ~0ULL ? random() : random() % (most + 1);
  }
}

Attributes any_attributes(std::mt19937_64& random) {
  Attributes made;
  made.node = NodeId(any(random, kMaxNodeId));
  made.kind = static_cast<NodeKind>(1 + random() % 7);
  made.mode = static_cast<std::uint32_t>(any(random, kMaxMode));
  made.uid = static_cast<std::uint32_t>(any(random, 0xFFFF'FFFF));
  made.gid = static_cast<std::uint32_t>(any(random, 0xFFFF'FFFF));
  made.links = static_cast<std::uint32_t>(any(random, 0xFFFF'FFFF));
  made.size = any(random, kMaxFileSize);
  made.allocated = any(random, kMaxFileSize);
  made.mtime = static_cast<FileTime>(any(random, ~0ULL));
  made.ctime = static_cast<FileTime>(any(random, ~0ULL));
  made.atime = static_cast<FileTime>(any(random, ~0ULL));
  made.device = any(random, ~0ULL);
  made.version = Seq(any(random, ~0ULL >> 1));
  made.data_version = Seq(any(random, ~0ULL >> 1));
  made.home = NodeId(any(random, kMaxNodeId));
  made.governed = random() % 2 == 0;
  made.granted = random() % 2 == 0;
  made.has_xattrs = random() % 2 == 0;
  made.attached = VolumeId(static_cast<std::uint32_t>(any(random, kMaxVolumeId)));
  return made;
}

std::string any_name(std::mt19937_64& random) {
  for (;;) {
    std::string name(1 + random() % (random() % 8 == 0 ? kMaxNameBytes : 12), '\0');
    for (char& c : name)
      c = static_cast<char>(random() % (random() % 2 == 0 ? 256 : 128));
    if (check_file_name(name))
      return name;
  }
}

}  // namespace

TEST_CASE("every message comes back from what it was encoded to") {
  for (const auto& sample : test_support::fileproto_samples()) {
    CAPTURE(sample.name);
    const auto again = sample.recode(Json::parse(sample.text));
    REQUIRE_OK(again);
    CHECK(*again == sample.text);
    CHECK(sample.recode_text(sample.text).value() == sample.text);
  }
}

TEST_CASE("fields that are not known are refused in arguments, at every depth, and else ignored") {
  for (const auto& sample : test_support::fileproto_samples()) {
    CAPTURE(sample.name);
    Json message = Json::parse(sample.text);
    std::vector<Json*> objects;
    each_value(message, [&](Json& value) {
      // Bytes have a form of their own.
      if (value.is_object() && !value.contains("b64"))
        objects.push_back(&value);
    });
    for (Json* object : objects) {
      (*object)["zz-new"] = 1;
      const auto decoded = sample.recode(message);
      if (sample.arguments) {
        CHECK_FAILS(decoded, ErrorCode::Protocol);
        CHECK(sentence(decoded).find("field 'zz-new' is not known here") != std::string::npos);
      } else {
        REQUIRE_OK(decoded);
        CHECK(*decoded == sample.text);
      }
      object->erase("zz-new");
    }
  }
}

TEST_CASE("no value of another type or size passes, and none is crashed on") {
  std::vector<Json> strange{nullptr,
                            true,
                            -1,
                            1.5,
                            ~0ULL,
                            "",
                            "word",
                            std::string(5'000, 'x'),
                            Json::array(),
                            Json::array({1}),
                            Json::array({Json::array(), Json::array()}),
                            Json::object(),
                            Json{{"b64", "!"}},
                            Json(std::vector<int>(11'000, 1))};
  int refused = 0;
  for (const auto& sample : test_support::fileproto_samples()) {
    CAPTURE(sample.name);
    Json message = Json::parse(sample.text);
    std::size_t values = 0;
    each_value(message, [&](Json&) { ++values; });
    for (std::size_t which = 0; which < values; ++which) {
      std::size_t at = 0;
      Json* found = nullptr;
      each_value(message, [&](Json& value) {
        if (at++ == which)
          found = &value;
      });
      for (Json& wrong : strange) {
        std::swap(*found, wrong);  // and back: some are long to copy
        const auto decoded = sample.recode(message);
        std::swap(*found, wrong);
        if (!decoded) {
          const ErrorCode code = decoded.error().code;
          CHECK((code == ErrorCode::Protocol || code == ErrorCode::TooLarge ||
                 code == ErrorCode::InvalidArgument));
          ++refused;
          continue;
        }
        // Whatever was taken is a message: it goes round.
        CHECK(sample.recode_text(*decoded).value() == *decoded);
      }
    }
  }
  CHECK(refused > 5'000);
}

TEST_CASE("a message without one of its fields is refused or has the default") {
  for (const auto& sample : test_support::fileproto_samples()) {
    CAPTURE(sample.name);
    const Json whole = Json::parse(sample.text);
    for (const auto& [field, value] : whole.items()) {
      Json message = whole;
      message.erase(field);
      const auto decoded = sample.recode(message);
      if (decoded)
        CHECK_FALSE(Json::parse(*decoded).contains(field));
      else
        CHECK(decoded.error().code == ErrorCode::Protocol);
    }
    CHECK_FAILS(sample.recode(Json::array()), ErrorCode::Protocol);
    CHECK_FAILS(sample.recode_text("{"), ErrorCode::Protocol);
    for (std::size_t size = 0; size < sample.text.size(); size += 7)
      CHECK_FALSE(sample.recode_text(sample.text.substr(0, size)).has_value());
  }
}

TEST_CASE("attributes of any value go round, in JSON and packed") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2'000; ++i) {
    LookupResult result{{Epoch(1), Seq(2), {}}, any_attributes(random), any_attributes(random)};
    if (i % 3 == 0)
      result.node.reset();
    CHECK(decode_text<LookupResult>(encode(result)).value() == result);
    CHECK(unpack(pack(result.dir)).value() == result.dir);
  }
}

TEST_CASE("F61: names of any bytes go round, in JSON and packed") {
  std::mt19937_64 random(2);
  ListResult list{{Epoch(1), Seq(2), 3}, any_attributes(random), {}, {}};
  for (int i = 0; i < 2'000; ++i) {
    const LookupArgs args{{}, fid(1), any_name(random)};
    CHECK(decode_text<LookupArgs>(encode(args)).value() == args);
    if (list.entries.size() < 200)
      list.entries.push_back({args.name, any_attributes(random)});
  }
  for (const char* name :
       {" ", "a ", "A", "a", "\n", "\x7F", "...", "\\", "\"", "\xC0\xAF", "%2e"}) {
    const LookupArgs args{{}, fid(1), name};
    CHECK(decode_text<LookupArgs>(encode(args)).value().name == name);
  }
  const PackedList packed = encode_packed(list);
  CHECK(decode_packed_list(Json::parse(packed.head), packed.raw).value() == list);
  CHECK(decode_text<ListResult>(encode(list)).value() == list);
}

TEST_CASE("F44: names that lead elsewhere are refused by every decoder") {
  const auto lookup = [](const std::string& name) {
    return decode_text<LookupArgs>(Json{{"dir", {3, 1}}, {"name", name}}.dump());
  };
  CHECK_OK(lookup("a"));
  CHECK_OK(lookup(std::string(255, 'a')));
  for (const char* name : {"", ".", "..", "/", "a/b", "../x", "/etc"}) {
    CAPTURE(name);
    CHECK_FAILS(lookup(name), ErrorCode::InvalidArgument);
  }
  CHECK_FAILS(lookup(std::string("a\0b", 3)), ErrorCode::InvalidArgument);
  const auto long_name = lookup(std::string(256, 'a'));
  CHECK_FAILS(long_name, ErrorCode::TooLarge);
  CHECK(long_name.error().error_number == ENAMETOOLONG);
  CHECK(sentence(lookup("..")).starts_with("field 'name': a name has 1-255 bytes"));
  // Overlong UTF-8 of '/': no text, and as bytes a name like any other, for nobody decodes it.
  CHECK_FAILS(decode_text<LookupArgs>("{\"dir\":[3,1],\"name\":\"\xC0\xAF\"}"),
              ErrorCode::Protocol);
  CHECK_OK(decode_text<LookupArgs>(R"({"dir":[3,1],"name":{"b64":"wK8="}})"));
  CHECK_FAILS(decode_text<LookupArgs>(R"({"dir":[3,1],"name":{"b64":"Li4="}})"),
              ErrorCode::Protocol);
  CHECK_FAILS(decode_text<LookupArgs>(R"({"dir":[3,1],"name":{"b64":"L/8="}})"),
              ErrorCode::InvalidArgument);
  // A server's names likewise: who mounts must not be led elsewhere either (F72).
  ListResult list{{Epoch(1), Seq(2), {}}, sample_file(), {{"..", sample_file()}}, {}};
  CHECK_FAILS(decode_text<ListResult>(encode(list)), ErrorCode::InvalidArgument);
  const PackedList packed = encode_packed(list);
  CHECK_FAILS(decode_packed_list(Json::parse(packed.head), packed.raw), ErrorCode::InvalidArgument);
}

TEST_CASE("F48: lists and texts over their caps are refused") {
  GetattrArgs getattr;
  getattr.fids.assign(kMaxGetattrNodes, fid(1));
  CHECK_OK(decode_text<GetattrArgs>(encode(getattr)));
  getattr.fids.push_back(fid(1));
  CHECK_FAILS(decode_text<GetattrArgs>(encode(getattr)), ErrorCode::TooLarge);
  RevalidateArgs revalidate;
  revalidate.nodes.assign(kMaxRevalidateNodes,
                          {{VolumeId(kMaxVolumeId), NodeId(kMaxNodeId)}, Seq(~0ULL >> 1)});
  const std::string text = encode(revalidate);
  CHECK(text.size() < (1 << 20));
  CHECK(decode_text<RevalidateArgs>(text).value() == revalidate);
  FetchArgs fetch{{}, fid(7), {}, {}, false, {{0, kMaxFetchBytes}}};
  CHECK_OK(decode_text<FetchArgs>(encode(fetch)));
  fetch.ranges.push_back({0, 1});
  CHECK_FAILS(decode_text<FetchArgs>(encode(fetch)), ErrorCode::Protocol);
  fetch.ranges = {{0, kMaxFileSize}, {0, kMaxFileSize}, {0, kMaxFileSize}, {0, kMaxFileSize}};
  CHECK_FAILS(decode_text<FetchArgs>(encode(fetch)), ErrorCode::Protocol);
  fetch.ranges.assign(kMaxFetchRanges, {kMaxFileSize, 1});
  CHECK(encode(fetch).size() < (60 << 10));
  CHECK_OK(decode_text<FetchArgs>(encode(fetch)));
  fetch.ranges.push_back({0, 1});
  CHECK_FAILS(decode_text<FetchArgs>(encode(fetch)), ErrorCode::TooLarge);
  FetchResult fetched{{Epoch(~0ULL >> 1), Seq(~0ULL >> 1), ~0ULL}, sample_file(), {}};
  fetched.ranges.assign(kMaxFetchedRanges, {kMaxFileSize, 1});
  CHECK(encode(fetched).size() < (60 << 10));
  BatchArgs batch{{}, {kMaxBatchChanges, Unlink{fid(1), "a"}}};
  CHECK_OK(decode_text<BatchArgs>(encode(batch)));
  batch.changes.emplace_back(Unlink{fid(1), "a"});
  CHECK_FAILS(decode_text<BatchArgs>(encode(batch)), ErrorCode::TooLarge);
  CHECK_FAILS(decode_text<BatchArgs>(R"({"do":[]})"), ErrorCode::Protocol);
  SetAclArgs acl{{}, {fid(1), Acl(kMaxAclEntries + 1, {AclWho::AnyUser, 0, 1, false})}};
  CHECK_FAILS(decode_text<SetAclArgs>(encode(acl)), ErrorCode::TooLarge);
}

TEST_CASE("nodes of one call are of one volume, and of one that can be") {
  CHECK_FAILS(decode_text<GetattrArgs>(R"({"fids":[[3,1],[4,1]]})"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<GetattrArgs>(R"({"fids":[]})"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<GetattrArgs>(R"({"fids":[[0,1]]})"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<GetattrArgs>(R"({"fids":[[1,0]]})"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<GetattrArgs>(R"({"fids":[[16777216,1]]})"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<GetattrArgs>(R"({"fids":[[1,1099511627776]]})"), ErrorCode::Protocol);
  CHECK_OK(decode_text<GetattrArgs>(R"({"fids":[[16777215,1099511627775]]})"));
}

TEST_CASE("a failure names the field") {
  CHECK(
      sentence(decode_text<BatchArgs>(
          R"({"do":[{"op":"unlink","dir":[3,1],"name":"a"},{"op":"unlink","dir":[3],"name":"a"}]})")) ==
      "field 'do[1].dir': expected [volume, node]");
  CHECK(sentence(decode_text<BatchArgs>(R"({"do":[{"op":"fly"}]})")) ==
        "field 'do[0].op': expected a change known here");
  CHECK(sentence(decode_text<GetattrArgs>(R"({"fids":[[3,1],[3,"1"]]})")) ==
        "field 'fids[1]': expected an unsigned integer");
  CHECK(sentence(decode_text<LookupArgs>(R"({"dir":[3,1]})")) ==
        "field 'name': expected to be there");
  CHECK(sentence(decode_text<SetattrArgs>(R"({"fid":[3,1],"mtime":"then"})")) ==
        "field 'mtime': expected a 64-bit integer");
}

TEST_CASE("for whom a call is made") {
  const auto as = [](std::string_view text) {
    const auto args = decode_text<StatfsArgs>(fmt::format(R"({{"volume":3{}}})", text));
    REQUIRE_OK(args);
    return args->scope.as;
  };
  CHECK(as("") == Speaker());
  CHECK(as(R"(,"as":"anyuser")") == Speaker(AnyUser{}));
  CHECK(as(R"(,"as":{"uid":5,"gid":6})") == Speaker(LocalUser{5, 6, {}}));
  CHECK_FAILS(decode_text<StatfsArgs>(R"({"volume":3,"as":"root"})"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<StatfsArgs>(R"({"volume":3,"as":{"uid":5}})"), ErrorCode::Protocol);
}

TEST_CASE("what a change brings along is what its head says") {
  CHECK(raw_bytes(Create{.bytes = 5}) == 5);
  CHECK(raw_bytes(Append{.bytes = 6}) == 6);
  const Store store{fid(7), Seq(8), 100, {}, {}, {{0, 3, 0}, {50, 4, 0}}, {}, {}, {}};
  CHECK(raw_bytes(store) == 7);
  Store staged = store;
  staged.staging = NodeId(90);
  CHECK(raw_bytes(staged) == 0);
  CHECK_OK(check_raw(Change(store), 7));
  CHECK_FAILS(check_raw(Change(store), 6), ErrorCode::Protocol);
  CHECK_FAILS(check_raw(Change(Unlink{}), 1), ErrorCode::Protocol);
  const BatchArgs batch{{}, {store, Create{.bytes = 5}, Unlink{}}};
  CHECK_OK(check_raw(batch, 12));
  CHECK_FAILS(check_raw(batch, 13), ErrorCode::Protocol);
  const BatchArgs large{{}, {Create{.bytes = kMaxBatchBytes}, Create{.bytes = 1}}};
  CHECK_FAILS(check_raw(large, kMaxBatchBytes + 1), ErrorCode::TooLarge);
  CHECK(operation_name(Change(store)) == "store");
  CHECK(operation_name(Change(CopyRange{})) == "copy-range");
}

TEST_CASE("edits name a place in the staging exactly when there is one") {
  const std::string head = R"({"fid":[3,7],"size":9,"edits":)";
  CHECK_OK(decode_text<StoreArgs>(head + "[[0,9]]}"));
  CHECK_FAILS(decode_text<StoreArgs>(head + "[[0,9,0]]}"), ErrorCode::Protocol);
  CHECK_FAILS(decode_text<StoreArgs>(head + R"([[0,9]],"staging":5})"), ErrorCode::Protocol);
  CHECK_OK(decode_text<StoreArgs>(head + R"([[0,9,0]],"staging":5})"));
  CHECK_FAILS(decode_text<StoreArgs>(head + "[[0,0]]}"), ErrorCode::Protocol);
}

TEST_CASE("a conflict says which condition, and what is there instead") {
  const FailureDetail detail{FailureWhy::Unmet, 2, {}, sample_file()};
  const Error error = with_detail(Error{ErrorCode::Conflict, "no"}, detail);
  CHECK(error.code == ErrorCode::Conflict);
  CHECK(error.message == "no");
  CHECK(detail_of(error) == detail);
  CHECK(detail_of(error.in("store")) == detail);
  CHECK_FALSE(detail_of(Error{ErrorCode::Conflict, "no"}).has_value());
  Error strange{ErrorCode::Conflict, "no"};
  for (const char* text : {"{", "[]", "{}", R"({"why":"of another version"})"}) {
    strange.detail = text;
    CHECK_FALSE(detail_of(strange).has_value());
  }
  strange.detail = R"({"why":"gone","more":1})";
  CHECK(detail_of(strange)->why == FailureWhy::Gone);
}

TEST_CASE("an error in the place of attributes keeps its code and errno") {
  GetattrResult result{{Epoch(1), Seq(2), {}}, {}};
  result.nodes.emplace_back(fail_posix(EACCES, "{}", std::string(3'000, '\xFF')));
  const auto decoded = decode_text<GetattrResult>(encode(result));
  REQUIRE_OK(decoded);
  REQUIRE_FALSE(decoded->nodes[0].has_value());
  CHECK(decoded->nodes[0].error().code == ErrorCode::PermissionDenied);
  CHECK(decoded->nodes[0].error().error_number == EACCES);
}

TEST_CASE("rights are letters in one order") {
  CHECK(rights_text(right::kAll) == "rlidwka");
  CHECK(rights_text(right::kRead | right::kAdminister) == "ra");
  CHECK(rights_from_text("rlidwka").value() == right::kAll);
  CHECK(rights_from_text("").value() == 0);
  for (const char* text : {"lr", "rr", "x", "rl ", "R"})
    CHECK_FAILS(rights_from_text(text), ErrorCode::InvalidArgument);
  for (unsigned rights = 0; rights < 128; ++rights)
    CHECK(rights_from_text(rights_text(static_cast<std::uint8_t>(rights))).value() == rights);
}
