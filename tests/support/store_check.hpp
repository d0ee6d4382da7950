#pragma once

// Whether a volume says what the model says. A failure tells the first difference.

#include "tests/support/store_model.hpp"

namespace test_support {

// A text for people: what differs.
[[nodiscard]] std::string describe(const store::Attributes& attributes);

[[nodiscard]] common::Status compare_attributes(const store::Attributes& found,
                                                const store::Attributes& expected);

struct CompareOptions {
  store::At at;                 // the volume is asked for this seq
  bool skip_root = false;       // others change it
  bool every_byte = true;       // else of large files: pages here and there
  bool through_lookup = false;  // each entry by name, too
};
// Everything that the model knows, asked of the volume in all ways there are.
[[nodiscard]] common::Status compare_state(store::Volume& volume, const ModelState& state,
                                           const CompareOptions& options);
[[nodiscard]] common::Status compare_node(store::Volume& volume, const ModelState& state,
                                          const ModelNode& node, const CompareOptions& options);

// The wall clock of tests: moves by itself only when told to; deadlines run on real time.
class ScriptedClock final : public common::Clock {
 public:
  [[nodiscard]] common::Instant now() const override { return real_.now(); }
  [[nodiscard]] common::WallTime wall_now() const override {
    return common::WallTime(std::chrono::nanoseconds(wall_.load()));
  }
  void set_wall(std::int64_t nanoseconds) { wall_ = nanoseconds; }
  [[nodiscard]] std::int64_t wall() const { return wall_.load(); }

 private:
  common::SystemClock real_;
  std::atomic<std::int64_t> wall_{1'700'000'000'000'000'000};
};

// Lets `copy` redo everything that `original` has committed since `after`, fetching the blocks it
// lacks, each record as bytes there and back. Returns the last seq.
[[nodiscard]] common::Result<Seq> redo_all(store::Volume& original, store::Volume& copy, Seq after);

}  // namespace test_support
