// Every operation of the protocol, asked for by those who may not: each is refused in the same way,
// and uses nothing up.

#include <functional>
#include <set>

#include "fileserver/content/dump_table.hpp"
#include "fileserver/content/load_table.hpp"
#include "tests/unit/fileserver/changes/change_fixture.hpp"

namespace refusals_test {

using common::ErrorCode;
using common::NodeId;
using common::ticket::PrincipalId;
using fileserver::store::kRootNode;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
namespace store = fileserver::store;

namespace {

constexpr PrincipalId kAlice{10'001};
constexpr PrincipalId kBob{10'002};
constexpr PrincipalId kHost{10'050};

// Who asks: one to whom the volume is closed, one who might do everything a moment ago, and a local
// user of a host in whose session another has it all open.
enum class Who : std::uint8_t { Stranger, Former, Neighbour };

// What an operation is about, and so what those are told.
enum class About : std::uint8_t {
  File,       // in a closed directory: there is no such thing
  Directory,  // that is closed: permission denied; there is none where the volume is closed, too
  Volume,     // for who may search its root
  Administration,
  Told,  // it is answered, with what `told` says
};

struct Row {
  const char* operation;
  About about;
  json args;
  std::uint64_t bytes = 0;  // that come along
  std::function<bool(const json&, common::ByteView raw)> told =
      {};  // that the answer tells nothing
};

class RefusalFixture : public ChangeFixture {
 public:
  RefusalFixture() : dumps_(clock), loads_(clock) {
    parts->dumps = &dumps_;
    parts->loads = &loads_;
  }
  ~RefusalFixture() {
    dumps_.clear();
    loads_.clear();
  }

  void set_up(Who who) {
    who_ = who;
    identity.client = {"alice", common::ticket::Kind::User, kAlice};
    if (who == Who::Neighbour) {
      identity.client = {"host/h", common::ticket::Kind::Host, kHost};
      fileserver::VolumePolicy policy;
      policy.trusted_hosts = {kHost};
      REQUIRE_OK(set->set_policy(volume, policy));
      volume_ref = {};
      as_ = {{"uid", 1'001}, {"gid", 1'001}};
    }
    owners_ = session(1);
    dir_ = made("mkdir", mine({{"dir", fid(kRootNode)}, {"name", "dir"}, {"mode", 0777}}));
    made("mkdir", mine({{"dir", fid(dir_)}, {"name", "sub"}, {"mode", 0777}}));
    file_ = made("create", mine({{"dir", fid(dir_)}, {"name", "f"}, {"mode", 0666}}));
    json stored = mine(store_args(300'000));
    stored["s"] = owners_->id.value;
    REQUIRE_OK(run_bytes("store", stored, 300'000, owners_));
    REQUIRE_OK(
        done("set-xattr",
             mine({{"fid", fid(file_)}, {"name", "user.x"}, {"value", "1"}, {"seen", 1'000'000}}),
             owners_));
    REQUIRE_OK(asked("open", mine({{"fid", fid(file_)}, {"handle", 1}, {"write", true}}), owners_));
    const auto staged =
        asked("stage-open", mine({{"volume", volume.value}, {"size", 1'000}}), owners_);
    REQUIRE_OK(staged);
    staging_ = (*staged)["staging"];
    then_ = store().last_seq().value;
    close(file_, 0600);
    close(dir_, 0700);
    if (who == Who::Stranger) {
      identity.groups = {common::ticket::kAdministrators};
      close(kRootNode, 0700);
      identity.groups.clear();
    }
    in_ = who == Who::Neighbour ? owners_ : session(2);
    if (who == Who::Neighbour)
      as_ = {{"uid", 1'002}, {"gid", 1'002}};
    else
      identity.client = {"bob", common::ticket::Kind::User, kBob};
  }

  [[nodiscard]] std::vector<Row> rows() const {
    const json dir = fid(dir_);
    const json file = fid(file_);
    const json of_file{{"fid", file}};
    const json ranges = json::array({json::array({0, 100})});
    const json known = json::array({json::array({file, 1})});
    const json by_name{{"dir", dir}, {"name", "f"}};
    const json fresh{{"dir", dir}, {"name", "new"}, {"mode", 0755}};
    const json in_volume{{"volume", volume.value}};
    const json data{{"name", "data"}};
    const json staged{{"staging", staging_}};
    const auto with = [](json args, const json& more) {
      args.update(more);
      return args;
    };
    const auto anything = [](const json&, common::ByteView) { return true; };
    const std::string hash(64, '0');
    constexpr std::uint64_t kMany = 1 << 20;
    return {
        {"lookup", About::Directory, by_name},
        {"walk", About::File, {{"from", file}, {"names", {"f"}}}},
        {"getattr",
         About::Told,
         {{"fids", json::array({file})}},
         0,
         [](const json& answer, common::ByteView) {
           return answer["nodes"][0]["error"]["code"] == "not_found";
         }},
        {"list", About::Directory, {{"dir", dir}, {"limit", 10}}},
        {"revalidate",
         About::Told,
         {{"nodes", known}},
         0,
         [&](const json& answer, common::ByteView) {
           return answer["gone"].size() == 1 && answer.value("changed", json::array()).empty();
         }},
        {"readlink", About::File, of_file},
        {"xattr", About::File, with(of_file, {{"name", "user.x"}})},
        {"xattrs", About::File, of_file},
        {"acl", About::File, of_file},
        {"access", About::File, of_file},
        {"whynot", About::File, with(of_file, {{"operation", "read"}})},
        {"open", About::File, with(of_file, {{"handle", 7}, {"write", true}, {"grow", 1'000}})},
        {"reopen",
         About::Told,
         {{"handles", json::array({json::array({7, file, then_, true})})}},
         0,
         [](const json& answer, common::ByteView) { return answer["lost"].size() == 1; }},
        {"release", About::Told, with(in_volume, {{"handles", {1}}}), 0, anything},
        {"reserve", About::Volume, with(in_volume, {{"nodes", 1}, {"bytes", 1'000}})},
        {"node-ids", About::Volume, with(in_volume, {{"count", 10}})},
        {"fsync", About::Volume, with(in_volume, {{"epoch", epoch_()}, {"seq", then_}})},
        {"statfs", About::Volume, in_volume},
        {"seq-at", About::Volume, with(in_volume, {{"time", INT64_MAX}})},
        {"volumes", About::Told, json::object(), 0, anything},
        {"create", About::Directory, with(fresh, {{"bytes", kMany}}), kMany},
        {"create", About::Directory, with(fresh, {{"handle", 7}, {"grow", 1'000}})},
        {"create", About::Directory, {{"dir", dir}, {"mode", 0600}, {"handle", 7}}},
        {"mkdir", About::Directory, fresh},
        {"mknod", About::Directory, with(fresh, {{"kind", "p"}})},
        {"symlink", About::Directory, with(fresh, {{"target", "x"}})},
        {"link", About::File, with(of_file, {{"dir", fid(kRootNode)}, {"name", "new"}})},
        {"unlink", About::Directory, by_name},
        {"rmdir", About::Directory, {{"dir", dir}, {"name", "sub"}}},
        {"rename", About::Directory, with(by_name, {{"to", dir}, {"to_name", "g"}})},
        {"setattr", About::File, with(of_file, {{"mode", 0777}})},
        {"setattr", About::File, with(of_file, {{"size", 200'000}})},
        {"set-xattr", About::File, with(of_file, {{"name", "user.x"}, {"value", "2"}})},
        {"remove-xattr", About::File, with(of_file, {{"name", "user.x"}})},
        {"set-acl", About::Directory, {{"fid", dir}}},
        {"batch", About::Directory, {{"do", json::array({with(fresh, {{"op", "mkdir"}})})}}},
        {"fetch", About::File, with(of_file, {{"ranges", ranges}})},
        {"fetch", About::File, with(of_file, {{"ranges", ranges}, {"version", then_}})},
        {"bulk",
         About::Told,
         {{"nodes", known}},
         0,
         [](const json&, common::ByteView raw) {
           return raw.size() == 9 && raw[0] == std::byte{4};
         }},
        {"store", About::File, store_args(kMany), kMany},
        {"append", About::File, with(of_file, {{"bytes", kMany}}), kMany},
        {"allocate", About::File,
         with(of_file, {{"offset", 1}, {"length", 200'000}, {"mode", "zero"}})},
        {"copy-range",
         About::File,
         {{"from", file}, {"from_offset", 1}, {"length", 200'000}, {"to", file}, {"to_offset", 5}}},
        {"restore", About::File, with(of_file, {{"version", then_}})},
        {"stage-open", About::File, with(in_volume, {{"for", file}, {"size", 1'000}})},
        {"stage-open", About::Volume, with(in_volume, {{"size", 1'000}})},
        {"stage-write", About::File, with(staged, {{"offset", 0}, {"hash", hash}}), 100},
        {"stage-state", About::File, staged},
        {"stage-drop", About::Told, staged, 0, anything},
        {"history", About::File, with(of_file, {{"limit", 10}})},
        {"changes-since", About::Administration, with(in_volume, {{"seq", 1}, {"limit", 10}})},
        {"dump", About::Administration, with(in_volume, {{"from", 0}})},
        {"load", About::Administration, {{"name", "new"}}, 100},
        {"volume-create", About::Administration, {{"name", "new"}, {"policy", json::object()}}},
        {"volume-show", About::Told, data, 0, anything},
        {"volume-list", About::Told, json::object(), 0, anything},
        {"volume-delete", About::Administration, data},
        {"volume-rename", About::Administration, {{"name", "data"}, {"to", "new"}}},
        {"volume-policy", About::Administration, {{"name", "data"}, {"policy", json::object()}}},
        {"volume-quota", About::Administration, {{"name", "data"}, {"bytes", 1}}},
        {"volume-attach", About::Administration, {{"name", "data"}, {"dir", dir}}},
        {"volume-detach", About::Administration, data},
    };
  }

  // nullopt: he may.
  [[nodiscard]] std::optional<ErrorCode> refusal(About about) const {
    switch (about) {
      case About::File:
        return ErrorCode::NotFound;
      case About::Directory:
        return who_ == Who::Stranger ? ErrorCode::NotFound : ErrorCode::PermissionDenied;
      case About::Volume:
        return who_ == Who::Stranger ? std::optional(ErrorCode::PermissionDenied) : std::nullopt;
      case About::Administration:
        return ErrorCode::PermissionDenied;
      case About::Told:
        break;
    }
    return std::nullopt;
  }

  common::Result<json> ask(const Row& row, const char* operation, json args) {
    const bool is_change = needs_id(operation);
    const bool speaks =
        row.about != About::Administration && std::string_view(operation).substr(0, 6) != "volume";
    if (is_change && speaks) {
      args["s"] = in_->id.value;
      args["seen"] = 1'000'000;
    }
    return run_bytes(operation, speaks ? mine(std::move(args)) : std::move(args), row.bytes, in_,
                     is_change);
  }

  // Whatever a refused call might have used up.
  struct Used {
    std::uint64_t segments = 0;
    std::uint64_t node = 0;
    std::uint64_t seq = 0;
    std::uint64_t reserved = 0;
    std::size_t handles = 0;
    std::size_t kept = 0;
    std::size_t sessions = 0;  // that hold anything
    std::size_t promises = 0;
    std::size_t breaks = 0;
    friend bool operator==(const Used&, const Used&) = default;
  };
  Used used() {
    const auto space = store().space();
    const auto node = store().grant_node_ids(1);
    const auto usage = store().usage();
    const auto kept = store().kept();
    const auto holders = store().sessions();
    REQUIRE_OK(space);
    REQUIRE_OK(node);
    REQUIRE_OK(usage);
    REQUIRE_OK(kept);
    REQUIRE_OK(holders);
    const auto counts = keeper().counts();
    // Less those that were taken for the question.
    return {space->segments,
            node->value - ++asked_,
            store().last_seq().value,
            usage->reserved_bytes + usage->reserved_nodes,
            in_->held.lock()->handles.size(),
            kept->size(),
            holders->size(),
            counts.promises,
            counts.breaks};
  }

  static bool needs_id(std::string_view operation) {
    for (const auto family : families()) {
      for (const auto& known : family) {
        if (known.name == operation)
          return known.needs_id;
      }
    }
    return false;
  }
  static std::vector<std::span<const fileserver::FileOperation>> families() {
    return {fileserver::volume_operations(), fileserver::lookup_operations(),
            fileserver::open_operations(), fileserver::namespace_operations(),
            fileserver::content_operations()};
  }

  common::Bytes raw_answer;

 private:
  void close(NodeId node, std::uint32_t mode) {
    REQUIRE_OK(
        done("setattr", mine({{"fid", fid(node)}, {"mode", mode}, {"seen", 1'000'000}}), owners_));
  }
  [[nodiscard]] json mine(json args) const {
    if (!as_.is_null())
      args["as"] = as_;
    return args;
  }
  [[nodiscard]] json store_args(std::uint64_t size) const {
    return {{"fid", fid(file_)}, {"size", size}, {"edits", json::array({json::array({0, size})})}};
  }
  [[nodiscard]] std::uint64_t epoch_() const { return volume_ref->epoch().value; }
  common::Result<json> run_bytes(const char* operation, json args, std::uint64_t bytes,
                                 const fileserver::FileSessionPtr& in, bool is_change = true) {
    FakeCall one{peer,
                 args,
                 {0, is_change ? ++number_ : 0},
                 soon(),
                 std::string(bytes, static_cast<char>('a' + number_ % 26))};
    const auto reply = run(one, operation, in);
    if (!reply)
      return tl::unexpected(reply.error());
    CHECK_FALSE(reply->parked);
    raw_answer = common::Bytes(reply->bytes.begin(), reply->bytes.end());
    return json::parse(reply->result);
  }

  fileserver::DumpTable dumps_;
  fileserver::LoadTable loads_;
  Who who_ = Who::Stranger;
  json as_;  // null: himself
  fileserver::FileSessionPtr owners_;
  fileserver::FileSessionPtr in_;
  NodeId dir_;
  NodeId file_;
  json staging_;
  std::uint64_t then_ = 0;
  std::uint64_t number_ = 5'000'000;
  std::uint64_t asked_ = 0;
};

void check_all(RefusalFixture& fixture) {
  const RefusalFixture::Used before = fixture.used();
  for (const Row& row : fixture.rows()) {
    CAPTURE(std::string(row.operation));
    CAPTURE(row.args.dump());
    const std::optional<ErrorCode> expected = fixture.refusal(row.about);
    if (!expected && row.about != About::Told)
      continue;
    const auto answer = fixture.ask(row, row.operation, row.args);
    if (expected) {
      CHECK_FAILS(answer, *expected);
    } else {
      REQUIRE_OK(answer);
      CHECK(row.told(*answer, fixture.raw_answer));
    }
    CHECK((fixture.used() == before));
    // The same as one of a batch.
    const std::string_view operation = row.operation;
    if (!RefusalFixture::needs_id(operation) || operation == "batch" ||
        operation.starts_with("volume"))
      continue;
    json step = row.args;
    step["op"] = row.operation;
    CHECK_FAILS(fixture.ask(row, "batch", {{"do", json::array({step})}}), *expected);
    CHECK((fixture.used() == before));
  }
}

}  // namespace

TEST_CASE_FIXTURE(RefusalFixture, "there is a row for every operation") {
  set_up(Who::Former);
  std::set<std::string_view> known;
  const auto all = rows();
  for (const Row& row : all)
    known.insert(row.operation);
  for (const auto family : families()) {
    for (const auto& operation : family)
      CHECK_MESSAGE(known.contains(operation.name), operation.name);
  }
}

TEST_CASE_FIXTURE(RefusalFixture, "to whom a volume is closed nothing is done, and nothing told") {
  set_up(Who::Stranger);
  check_all(*this);
}

TEST_CASE_FIXTURE(RefusalFixture, "whose right was taken away does nothing any more") {
  set_up(Who::Former);
  check_all(*this);
}

TEST_CASE_FIXTURE(RefusalFixture, "what a host's one user may its other users may not") {
  set_up(Who::Neighbour);
  check_all(*this);
}

}  // namespace refusals_test
