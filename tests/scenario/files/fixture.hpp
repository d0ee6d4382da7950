#pragma once

// A cell with a root volume, and people who work with its files from a shell.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/live_cell.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace files_test {

namespace fs = std::filesystem;
using test_support::CommandResult;
using test_support::kAdministrator;
using test_support::kAdministratorPassword;
using test_support::LiveCell;
using Words = std::vector<std::string>;

// A command may wait as long as its calls do, and more than once, on a machine that is busy.
inline constexpr std::chrono::minutes kCommandPatience{3};

class Cell {
 public:
  Cell() {
    auto made = LiveCell::create();
    REQUIRE_OK(made);
    cell_ = std::move(*made);
    for (const char* role : {"kdc", "fileserver"})
      REQUIRE_OK(cell_->start(role));
    log_in(std::string(kAdministrator), std::string(kAdministratorPassword), "me");
    ok({"volume", "create", "root", "--root", "--mode", "0777"});
  }

  [[nodiscard]] LiveCell& live() { return *cell_; }
  [[nodiscard]] fs::path local(std::string_view name = "") const { return dir_ / name; }

  void log_in(const std::string& user, const std::string& password, const std::string& as) {
    ok({"login", user, "--password-stdin"}, as, password + "\n");
  }
  void add_user(const std::string& name) {
    const std::string password = "the password of " + name;
    ok({"user", "add", name, "--password-stdin", "--new-password-stdin"}, "me",
       std::string(kAdministratorPassword) + "\n" + password + "\n");
    log_in(name, password, name);
  }

  CommandResult troth(const Words& words, const std::string& as = "me",
                      const std::string& input = "") {
    const auto program = test_support::find_program("troth");
    REQUIRE_OK(program);
    test_support::ProcessOptions options = cell_->options_for("");
    options.environment["TROTH_CREDENTIALS"] = cell_->credentials(as);
    options.input = input;
    auto result = test_support::run_command(*program, words, options, kCommandPatience);
    REQUIRE_OK(result);
    return *std::move(result);
  }
  // What it printed, having ended well.
  std::string ok(const Words& words, const std::string& as = "me", const std::string& input = "") {
    const CommandResult result = troth(words, as, input);
    CAPTURE(words);
    CAPTURE(result.output);
    CAPTURE(result.error_output);
    CHECK(result.status.code == 0);
    return result.output;
  }
  nlohmann::json json(Words words, const std::string& as = "me") {
    words.emplace_back("--json");
    return nlohmann::json::parse(ok(words, as));
  }
  // It failed, and said so in a line that has this in it.
  std::string refused(const Words& words, std::string_view part, const std::string& as = "me",
                      int code = 1) {
    const CommandResult result = troth(words, as);
    CAPTURE(words);
    CAPTURE(result.output);
    CAPTURE(result.error_output);
    CHECK(result.status.code == code);
    CHECK(result.error_output.starts_with("troth: "));
    CHECK(result.error_output.find(part) != std::string::npos);
    return result.error_output;
  }

  void write(const fs::path& path, std::string_view text) const {
    fs::create_directories((dir_.path() / path).parent_path());
    REQUIRE_OK(test_support::write_file(dir_.path() / path, text));
  }
  [[nodiscard]] std::string read(const fs::path& path) const {
    auto text = test_support::read_file(dir_.path() / path);
    REQUIRE_OK(text);
    return *std::move(text);
  }

 private:
  test_support::TempDir dir_;
  std::unique_ptr<LiveCell> cell_;
};

}  // namespace files_test
