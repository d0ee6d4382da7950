#include "common/io/posix_file_io.hpp"
#include "tests/support/store_crash.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace test_support;
using common::sim::Random;

namespace {

// A recorded run, and crashes in it.
class Recorded {
 public:
  Recorded(const CrashBase& base, const TempDir& scratch, const CrashWorkload& workload,
           StoreRecorder::Lie lie)
      : cut_(scratch / "cut"), model_(*base.model) {
    const std::string live = scratch / "live";
    copy_volume(base.directory, live);
    auto files = common::io::PosixFileIo::open_root(live);
    REQUIRE_OK(files);
    files_ = *std::move(files);
    recorder_ = std::make_unique<StoreRecorder>(*files_, lie);
    recorder_->start(live);
    recorder_->note({model_.last().value, model_.last().value});
    CrashRun run;
    run.directory = live;
    run.probe = recorder_.get();
    run.io = recorder_.get();
    run.told = [&](Seq committed, Seq stable) { recorder_->note({committed.value, stable.value}); };
    run.close = false;
    REQUIRE_OK(run_workload(workload, base, run, model_));
  }

  [[nodiscard]] std::size_t length() const { return recorder_->length(); }

  common::Status crash(std::size_t position, StoreRecorder::Loss loss, bool power, Random& random) {
    const auto image = recorder_->make_image(position, loss, random);
    write_image(image, cut_);
    CrashCheck check;
    check.directory = cut_;
    check.at_least = Seq{power ? image.notes.stable : image.notes.committed};
    check.given = Seq{image.notes.committed};
    check.machine_restarted = power;
    check.seed = random.next();
    check.more = 2;
    const auto verdict = check_after_crash(check, model_);
    return verdict ? common::Status() : tl::unexpected(verdict.error());
  }

 private:
  const std::string cut_;
  StoreModel model_;
  std::unique_ptr<common::io::PosixFileIo> files_;
  std::unique_ptr<StoreRecorder> recorder_;
};

CrashBase base_in(const TempDir& scratch) {
  auto base = make_crash_base(scratch / "base");
  REQUIRE_OK(base);
  return *std::move(base);
}

}  // namespace

TEST_CASE("F1: killed anywhere, a volume has all that was committed") {
  const TempDir scratch;
  const CrashBase base = base_in(scratch);
  Random random(1);
  for (std::size_t number = 0; number < crash_workloads(); number += 311) {
    const CrashWorkload workload = crash_workload(number);
    INFO(workload.name());
    Recorded run(base, scratch, workload, StoreRecorder::Lie::None);
    for (std::size_t position = number % 5; position <= run.length(); position += 9)
      CHECK_OK(run.crash(position, StoreRecorder::Loss::Nothing, false, random));
  }
}

TEST_CASE("F3, F5: after power loss anywhere, a volume is a whole state not older than stable") {
  const TempDir scratch;
  const CrashBase base = base_in(scratch);
  Random random(2);
  for (std::size_t number = 3; number < crash_workloads(); number += 241) {
    const CrashWorkload workload = crash_workload(number);
    INFO(workload.name());
    Recorded run(base, scratch, workload, StoreRecorder::Lie::None);
    for (std::size_t position = number % 7; position <= run.length(); position += 11) {
      CHECK_OK(run.crash(position, StoreRecorder::Loss::Everything, true, random));
      CHECK_OK(run.crash(position, StoreRecorder::Loss::Some, true, random));
    }
  }
}

TEST_CASE("a disk whose syncs lie is found out") {
  const TempDir scratch;
  const CrashBase base = base_in(scratch);
  Random random(3);
  CrashWorkload workload;
  workload.stable_between = true;
  for (const CrashAction& action : crash_actions()) {
    if (action.name == "store large" || action.name == "overwrite large")
      workload.actions.push_back(&action);
  }
  REQUIRE(workload.actions.size() == 2);
  for (const auto lie : {StoreRecorder::Lie::Segments, StoreRecorder::Lie::Wal}) {
    Recorded run(base, scratch, workload, lie);
    int violations = 0;
    for (std::size_t position = 0; position <= run.length(); ++position)
      violations += run.crash(position, StoreRecorder::Loss::Everything, true, random) ? 0 : 1;
    CHECK(violations > 0);
  }
}
