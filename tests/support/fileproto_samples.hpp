#pragma once

// One sample of every JSON message of common/fileproto, with all of its fields set: for golden
// files, and for tests and fuzzing that go through all decoders.

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/volumes.hpp"

namespace test_support {

struct SampleMessage {
  std::string_view name;
  bool arguments = false;  // else a result or a detail
  std::string text;        // encoded
  // Decodes it, and encodes it again.
  common::Result<std::string> (*recode)(const nlohmann::json&) = nullptr;
  common::Result<std::string> (*recode_text)(std::string_view) = nullptr;
};

[[nodiscard]] std::vector<SampleMessage> fileproto_samples();

[[nodiscard]] common::fileproto::Attributes sample_file();
[[nodiscard]] common::fileproto::Attributes sample_directory();

}  // namespace test_support
