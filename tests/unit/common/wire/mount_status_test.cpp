#include "common/wire/mount_status.hpp"

#include "tests/support/test.hpp"

using common::ErrorCode;
using namespace common::wire;

TEST_CASE("a mount's status is one line, and comes back as it was") {
  const MountStatus status{"0.1.0", "/mnt/tr\xF6th", "does not mount yet", 7, 123, true};
  const auto line = encode_mount_status(status);
  REQUIRE_OK(line);
  CHECK(line->find('\n') == line->size() - 1);
  const auto back = decode_mount_status(*line);
  REQUIRE_OK(back);
  CHECK(back->version == status.version);
  CHECK(back->mount_point == status.mount_point);  // not UTF-8, and still whole
  CHECK(back->message == status.message);
  CHECK(back->uptime_s == 7);
  CHECK(back->pid == 123);
  CHECK(back->ready);
}

TEST_CASE("a mount's status: golden line") {
  const auto line = encode_mount_status({"0.1.0", "/mnt", "m", 1, 2, false});
  REQUIRE_OK(line);
  CHECK(*line ==
        "{\"message\":\"m\",\"mount_point\":\"/mnt\",\"pid\":2,\"ready\":false,\"role\":\"mount\","
        "\"uptime_s\":1,\"version\":\"0.1.0\"}\n");
}

TEST_CASE("what is no mount's status is refused") {
  const std::string good =
      R"({"message":"m","mount_point":"/mnt","pid":2,"ready":false,"uptime_s":1,"version":"0"})";
  CHECK_OK(decode_mount_status(good));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return decode_mount_status(text.replace(text.find(from), from.size(), to));
  };
  CHECK_FAILS(decode_mount_status(""), ErrorCode::Protocol);
  CHECK_FAILS(decode_mount_status("[]"), ErrorCode::Protocol);
  CHECK_FAILS(decode_mount_status(good.substr(0, 20)), ErrorCode::Protocol);
  CHECK_FAILS(with("\"pid\":2", "\"pid\":-2"), ErrorCode::Protocol);
  CHECK_FAILS(with("\"pid\":2", "\"pid\":\"2\""), ErrorCode::Protocol);
  CHECK_FAILS(with("false", "null"), ErrorCode::Protocol);
  CHECK_FAILS(with("\"m\"", "5"), ErrorCode::Protocol);
  CHECK_FALSE(decode_mount_status(std::string(kMaxMountStatus + 1, ' ') + good));
}
