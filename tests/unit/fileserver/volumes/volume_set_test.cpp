#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/failpoint/failpoint.hpp"
#include "fileserver/volumes/volume_files.hpp"
#include "tests/support/eventually.hpp"
#include "tests/unit/fileserver/volumes/volume_set_fixture.hpp"

using common::ErrorCode;
using common::Fid;
using common::SessionId;
using common::ticket::PrincipalId;
using fileserver::VolumePolicy;
using fileserver::VolumeRef;
using fileserver::VolumeState;
using test_support::eventually;
using test_support::VolumeSetFixture;
namespace store = fileserver::store;

TEST_CASE_FIXTURE(VolumeSetFixture, "a volume that was made is there in the next life, as it was") {
  start();
  fileserver::VolumeSet::Creation wanted;
  wanted.name = "home";
  wanted.root = true;
  wanted.uid = 1000;
  wanted.mode = 0750;
  wanted.quota_bytes = 1 << 20;
  wanted.policy.write_conflict = fileserver::WriteConflict::Refuse;
  wanted.policy.administrators = {PrincipalId{7}, PrincipalId{9}};
  const auto made = set->create(wanted);
  REQUIRE_OK(made);
  const auto id = (*made)->id;
  CHECK(id.value >= 1);
  CHECK(id.value <= fileserver::kHighestVolume);
  make_file(use(id), "a");
  stop();
  start();
  const auto entry = set->entry(id);
  REQUIRE(entry != nullptr);
  CHECK(entry->name == "home");
  CHECK(entry->is_root);
  CHECK(entry->policy == wanted.policy);
  CHECK(set->find("home") == entry);
  CHECK(report("home").state == VolumeState::Closed);
  const VolumeRef volume = use(id);
  CHECK_OK(volume->lookup(store::kRootNode, "a"));
  const auto root = volume->attributes(store::kRootNode);
  REQUIRE_OK(root);
  CHECK(root->uid == 1000);
  CHECK(root->mode == 0750);
  CHECK(volume->usage()->quota_bytes == 1 << 20);
  CHECK(volume->report().clean);
}

TEST_CASE_FIXTURE(VolumeSetFixture, "names and the root are there once") {
  start();
  make("a");
  fileserver::VolumeSet::Creation again;
  again.name = "a";
  CHECK_FAILS(set->create(again), ErrorCode::AlreadyExists);
  for (const char* bad : {"", ".a", "-a", "a/b", "a b", "\xc3\xa4"}) {
    again.name = bad;
    CHECK_FAILS(set->create(again), ErrorCode::InvalidArgument);
  }
  again.name = "root";
  again.root = true;
  REQUIRE_OK(set->create(again));
  again.name = "root2";
  CHECK_FAILS(set->create(again), ErrorCode::AlreadyExists);
  make("b");
  CHECK_FAILS(set->rename(set->find("b")->id, "a"), ErrorCode::AlreadyExists);
  REQUIRE_OK(set->rename(set->find("b")->id, "c"));
  CHECK(set->find("b") == nullptr);
  CHECK(set->find("c") != nullptr);
}

TEST_CASE_FIXTURE(VolumeSetFixture, "a deleted volume is gone, and its id with it") {
  start();
  const auto id = make("a")->id;
  {
    const VolumeRef held = use(id);
    CHECK_FAILS(set->remove(id, clock.now()), ErrorCode::Busy);
    CHECK_OK(set->use(id, soon()));
  }
  CHECK_OK(set->remove(id, soon()));
  CHECK_FAILS(set->use(id, soon()), ErrorCode::NotFound);
  CHECK_FAILS(set->remove(id, soon()), ErrorCode::NotFound);
  CHECK(set->find("a") == nullptr);
  CHECK(test_support::entries_of(directory / "volumes") == 0);
  make("a");
  stop();
  start();
  CHECK(set->entry(id) == nullptr);
  CHECK(set->list().size() == 1);
}

TEST_CASE_FIXTURE(VolumeSetFixture,
                  "a bad volume is listed with its reason and keeps nobody else") {
  start();
  const auto bad = make("bad")->id;
  const auto good = make("good")->id;
  stop();
  const auto path = directory / "volumes" / (fmt::format("{:08x}", bad.value) + "/meta.db");
  REQUIRE_OK(test_support::write_file(path, "this is no database, whatever it may have been"));
  options.retry = std::chrono::hours(1);
  start();
  CHECK_OK(use(good)->attributes(store::kRootNode));
  const auto refused = set->use(bad, soon());
  CHECK_FAILS(refused, ErrorCode::Unavailable);
  CHECK(refused.error().message.find("bad") != std::string::npos);
  CHECK(report("bad").state == VolumeState::Unavailable);
  CHECK_FALSE(report("bad").why.empty());
  CHECK(report("good").state == VolumeState::Open);
  // It can be deleted all the same.
  CHECK_OK(set->remove(bad, soon()));
}

TEST_CASE_FIXTURE(
    VolumeSetFixture,
    "F6: a volume whose disk failed is listed as such, and comes back with all that was seen") {
  test_support::FailingDisk disk;
  options.adjust = [&](store::VolumeOptions& how) { how.probe = &disk; };
  options.retry = std::chrono::seconds(1);
  start();
  std::atomic<int> recovered{0};
  set->set_recovered([&](common::VolumeId) { ++recovered; });
  const auto id = make("a")->id;
  {
    const VolumeRef volume = use(id);
    make_file(volume, "kept");
    REQUIRE_OK(volume->sync(soon()));
    disk.fails = true;
    store::CommitRequest request;
    request.operations = {store::Create{store::kRootNode, "lost"}};
    const auto done = volume->commit(request);
    if (done)
      CHECK_FAILS(volume->wait_stable(*done, soon()), ErrorCode::IoError);
    CHECK_FALSE(volume->health());
  }
  CHECK(report("a").state == VolumeState::Unavailable);
  // It is tried again and again, and believed when it has been verified on a disk that is well.
  disk.fails = false;
  CHECK(eventually([&] { return report("a").state == VolumeState::Open; }));
  CHECK(recovered == 1);
  CHECK_OK(use(id)->lookup(store::kRootNode, "kept"));
  make_file(use(id), "more");
  set->set_recovered(nullptr);
  set.reset();  // before its disk
}

TEST_CASE_FIXTURE(VolumeSetFixture,
                  "G2: a volume that lost what was answered is not served before mounts know") {
  test_support::FailingDisk disk;
  options.adjust = [&](store::VolumeOptions& how) { how.probe = &disk; };
  options.retry = std::chrono::seconds(1);
  start();
  std::atomic<int> recovered{0};
  set->set_recovered([&](common::VolumeId) { ++recovered; });
  const auto id = make("a")->id;
  const std::string path = fmt::format("{}/volumes/{:08x}", directory.path().string(), id.value);
  make_file(use(id), "kept");
  REQUIRE_OK(use(id)->sync(soon()));
  const std::string kept = path + ".kept";
  {
    // In order, so that the copy is whole by itself.
    set->close(soon());
    set.reset();
    std::filesystem::copy(path, kept, std::filesystem::copy_options::recursive);
    start();
    set->set_recovered([&](common::VolumeId) { ++recovered; });
  }
  make_file(use(id), "answered");
  disk.fails = true;
  store::CommitRequest request;
  request.operations = {store::Create{store::kRootNode, "lost"}};
  const bool taken = use(id)->commit(request).has_value();
  CHECK_FALSE((taken && use(id)->sync(soon()).has_value()));
  // Its disk is as it was before: whatever was there since has gone with the page cache.
  VolumeRef user = use(id);
  std::filesystem::rename(path, path + ".gone");
  std::filesystem::rename(kept, path);
  disk.fails = false;
  user = {};
  CHECK(eventually(
      [&] { return report("a").why.find("start this server anew") != std::string::npos; }));
  CHECK_FAILS(set->use(id, soon()), ErrorCode::Unavailable);
  CHECK(recovered == 0);
  set->set_recovered(nullptr);
  set.reset();
  start();
  CHECK_OK(use(id)->lookup(store::kRootNode, "kept"));
  set.reset();  // before its disk
}

TEST_CASE_FIXTURE(VolumeSetFixture, "memory says of volumes what the registry says") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  start();
  const auto id = make("a")->id;
  const auto on = make("on")->id;
  const auto root = Fid{on, store::kRootNode};
  {
    const common::failpoint::Armed once("registry.change.before_stable=error(io_error)");
    CHECK_FAILS(set->rename(id, "b"), ErrorCode::OutcomeUnknown);
    VolumePolicy policy;
    policy.write_conflict = fileserver::WriteConflict::Refuse;
    CHECK_FAILS(set->set_policy(id, policy), ErrorCode::OutcomeUnknown);
    CHECK_FAILS(set->attach(id, root), ErrorCode::OutcomeUnknown);
    CHECK(set->find("a") == nullptr);
    REQUIRE(set->find("b") != nullptr);
    CHECK(set->find("b")->policy == policy);
    CHECK(set->find("b")->attached_at == root);
    CHECK(set->entry(on)->attachments.count(root.node) == 1);
    CHECK_FAILS(set->detach(id), ErrorCode::OutcomeUnknown);
    CHECK(set->entry(on)->attachments.empty());
  }
  stop();
  start();
  REQUIRE(set->find("b") != nullptr);
  CHECK_FALSE(set->find("b")->attached_at);
}

TEST_CASE_FIXTURE(VolumeSetFixture,
                  "F45: whoever swaps a volume's directory for a link leads the server nowhere") {
  namespace fs = std::filesystem;
  auto opened = fileserver::VolumeFiles::open(options.directory, "");
  REQUIRE_OK(opened);
  fileserver::VolumeFiles& files = **opened;
  const common::VolumeId id{7};
  const fs::path place = files.path_of(id);
  const fs::path away = directory.path() / "away";
  const fs::path victim = directory.path() / "victim";
  fs::create_directories(victim / "deep");
  std::ofstream(victim / "deep" / "file") << "somebody else's";
  const auto whole = [&] {
    return fs::exists(victim / "deep" / "file") &&
           std::distance(fs::directory_iterator(victim), fs::directory_iterator()) == 1;
  };
  SUBCASE("it is there already") {
    fs::create_directory_symlink(victim, place);
    CHECK_FALSE(files.try_to_write(id));
    static_cast<void>(files.remove(id));
    CHECK(whole());
  }
  SUBCASE("it comes in between") {
    constexpr int kRounds = 2'000;
    std::atomic<bool> over{false};
    std::thread swapper([&] {
      while (!over) {
        std::error_code ignored;
        fs::create_directories(place / "deep", ignored);
        std::ofstream(place / "deep" / "file") << "ours";
        fs::rename(place, away, ignored);
        fs::create_directory_symlink(victim, place, ignored);
        fs::remove(place, ignored);
        fs::rename(away, place, ignored);
      }
    });
    for (int round = 0; round < kRounds; ++round) {
      static_cast<void>(files.remove(id));
      static_cast<void>(files.try_to_write(id));
    }
    over = true;
    swapper.join();
    CHECK(whole());
  }
}

TEST_CASE_FIXTURE(VolumeSetFixture,
                  "no more are open than may be: the one idle longest makes room") {
  options.open_volumes = 2;
  start();
  const auto a = make("a")->id;
  const auto b = make("b")->id;
  const auto c = make("c")->id;
  std::optional<VolumeRef> first = use(a);
  const VolumeRef second = use(b);
  CHECK(report("c").state == VolumeState::Closed);
  CHECK_FAILS(set->use(c, soon()), ErrorCode::Overloaded);
  make_file(*first, "kept");
  first.reset();
  CHECK_OK(use(c)->attributes(store::kRootNode));
  CHECK(report("a").state == VolumeState::Closed);
  CHECK(report("b").state == VolumeState::Open);
  CHECK_OK(use(a)->lookup(store::kRootNode, "kept"));
}

TEST_CASE_FIXTURE(VolumeSetFixture, "a volume that is only being maintained makes room") {
  options.open_volumes = 1;
  start();
  const auto a = make("a")->id;
  const auto b = make("b")->id;
  // What has just been opened is maintained at once.
  for (int turn = 0; turn < 40; ++turn)
    CHECK_OK(set->use(turn % 2 == 0 ? a : b, soon()));
  // Nor is the making of one refused for that.
  for (int turn = 0; turn < 5; ++turn) {
    CHECK_OK(set->use(a, soon()));
    make("c" + std::to_string(turn));
  }
}

TEST_CASE_FIXTURE(VolumeSetFixture, "an idle volume is closed, and opened again when it is used") {
  options.idle = std::chrono::seconds(0);
  start();
  const auto id = make("a")->id;
  make_file(use(id), "kept");
  const auto deadline = soon();
  while (report("a").state != VolumeState::Closed && clock.now() < deadline)
    std::this_thread::yield();
  CHECK(report("a").state == VolumeState::Closed);
  CHECK_OK(use(id)->lookup(store::kRootNode, "kept"));
}

TEST_CASE_FIXTURE(VolumeSetFixture,
                  "volumes lie on directories of others, and never in themselves") {
  start();
  const auto root = make("root")->id;
  const auto a = make("a")->id;
  const auto b = make("b")->id;
  const Fid in_root{root, common::NodeId{17}};
  const Fid in_a{a, common::NodeId{18}};
  const Fid in_b{b, common::NodeId{19}};
  REQUIRE_OK(set->attach(a, in_root));
  REQUIRE_OK(set->attach(b, in_a));
  CHECK_FAILS(set->attach(root, in_b), ErrorCode::Conflict);
  CHECK_FAILS(set->attach(b, {root, common::NodeId{20}}), ErrorCode::Busy);
  CHECK_FAILS(set->attach(make("c")->id, in_a), ErrorCode::Busy);
  CHECK(set->entry(root)->attachments.at(in_root.node) == a);
  CHECK_FAILS(set->remove(a, soon()), ErrorCode::Busy);
  CHECK_FAILS(set->remove(b, soon()), ErrorCode::Busy);
  stop();
  start();
  CHECK(set->entry(a)->attached_at == in_root);
  CHECK(set->entry(a)->attachments.at(in_a.node) == b);
  const auto where = set->detach(b);
  REQUIRE_OK(where);
  CHECK(*where == in_a);
  CHECK(set->entry(a)->attachments.empty());
  CHECK_FAILS(set->detach(b), ErrorCode::NotFound);
  CHECK_OK(set->remove(b, soon()));
  stop();
  start();
  CHECK(set->entry(a)->attachments.empty());
}

TEST_CASE_FIXTURE(VolumeSetFixture, "a sealed volume opens with its key only") {
  start();
  const auto id = make("secret", true)->id;
  make_file(use(id), "a");
  stop();
  start();
  CHECK(set->entry(id)->sealed);
  CHECK_OK(use(id)->lookup(store::kRootNode, "a"));
  stop();
  const auto key = directory / "volume-keys" / (fmt::format("{:08x}", id.value) + ".key");
  std::filesystem::rename(key.string(), key.string() + ".away");
  start();
  const auto refused = set->use(id, soon());
  CHECK_FAILS(refused, ErrorCode::Unavailable);
  CHECK(refused.error().message.find(".key") != std::string::npos);
}

TEST_CASE_FIXTURE(VolumeSetFixture,
                  "what an ended session held is freed, also in volumes that are closed") {
  start();
  const auto id = make("a")->id;
  const SessionId ended{11};
  const SessionId lives{12};
  const SessionId lost{13};
  {
    const VolumeRef volume = use(id);
    for (const SessionId session : {ended, lives, lost})
      REQUIRE_OK(volume->reserve(session, 1, 1000));
  }
  set->end_session(ended);
  const auto deadline = soon();
  while (use(id)->sessions()->size() != 2 && clock.now() < deadline)
    std::this_thread::yield();
  CHECK(*use(id)->sessions() == std::vector<SessionId>{lives, lost});
  stop();
  start();
  set->set_liveness([&](SessionId session) { return session == lives; });
  CHECK(*use(id)->sessions() == std::vector<SessionId>{lives});
}
