#include "common/ticket/keytab.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/crypto/hash.hpp"
#include "common/ticket/siphash.hpp"
#include "small_cell.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ticket_test;
using namespace std::chrono_literals;

namespace {

Keytab three_keys() {
  Keytab keytab = Keytab::make(kCell, kService).value();
  REQUIRE_OK(keytab.add(2, key_of(2), kNow));
  REQUIRE_OK(keytab.add(3, key_of(3), kNow + 1h));
  REQUIRE_OK(keytab.add(7, key_of(7)));
  return keytab;
}

bool same(const Keytab& a, const Keytab& b) {
  return std::ranges::equal(encode_keytab(a).value().bytes(), encode_keytab(b).value().bytes());
}

// With a checksum that fits.
Bytes with_checksum(Bytes content) {
  const auto checksum = crypto::sha256(content).value();
  content.insert(content.end(), checksum.begin(), checksum.end());
  return content;
}

Bytes content_of(const Keytab& keytab) {
  const auto bytes = encode_keytab(keytab).value();
  return {bytes.bytes().begin(), bytes.bytes().end() - 32};
}

}  // namespace

TEST_CASE("a keytab finds keys by number until they end") {
  Keytab keytab = three_keys();
  CHECK(keytab.newest()->kvno == 7);
  CHECK(keytab.find(3, kNow) != nullptr);
  CHECK(keytab.find(3, kNow + 1h - 1ms) != nullptr);
  CHECK(keytab.find(3, kNow + 1h) == nullptr);
  CHECK(keytab.find(2, kNow) == nullptr);
  CHECK(keytab.find(2, kNow - 1ms) != nullptr);
  CHECK(keytab.find(4, kNow) == nullptr);
  CHECK(keytab.find(7, kLatestTime) != nullptr);
  CHECK(keytab.drop_ended(kNow) == 1);
  CHECK(keytab.entries().size() == 2);
  CHECK_OK(keytab.retire(7, kNow + 2h));
  CHECK(keytab.find(7, kNow + 2h) == nullptr);
  CHECK_FAILS(keytab.retire(2, kNow), ErrorCode::NotFound);
  CHECK_FAILS(keytab.remove(2), ErrorCode::NotFound);
  CHECK_OK(keytab.remove(3));
  CHECK_OK(keytab.remove(7));
  CHECK(keytab.newest() == nullptr);
  CHECK_FAILS(encode_keytab(keytab), ErrorCode::InvalidArgument);
}

TEST_CASE("a keytab takes keys of rising numbers, sixteen of them") {
  Keytab keytab = Keytab::make(kCell, "host/desk7").value();
  CHECK_FAILS(keytab.add(0, key_of(1)), ErrorCode::InvalidArgument);
  CHECK_FAILS(keytab.add(1, crypto::Secret(16)), ErrorCode::InvalidArgument);
  CHECK_FAILS(keytab.add(1, key_of(1), Time{}), ErrorCode::InvalidArgument);
  for (std::uint32_t kvno = 1; kvno <= kMaxKeytabKeys; ++kvno)
    CHECK_OK(keytab.add(kvno, key_of(1)));
  CHECK_FAILS(keytab.add(5, key_of(1)), ErrorCode::AlreadyExists);
  CHECK_FAILS(keytab.add(kMaxKeytabKeys, key_of(1)), ErrorCode::AlreadyExists);
  CHECK_FAILS(keytab.add(99, key_of(1)), ErrorCode::ResourceExhausted);
  CHECK(same(decode_keytab(encode_keytab(keytab).value().bytes()).value(), keytab));
  CHECK_FAILS(Keytab::make(kCell, "alice"), ErrorCode::InvalidArgument);
  CHECK_FAILS(Keytab::make("", "host/desk7"), ErrorCode::InvalidArgument);
}

TEST_CASE("4.1 Keytabs: written whole and for nobody else, whatever the umask") {
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  const mode_t before = ::umask(0);
  CHECK_OK(save_keytab(three_keys(), path));
  ::umask(before);
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const auto loaded = load_keytab(path);
  REQUIRE_OK(loaded);
  CHECK(same(*loaded, three_keys()));
  CHECK(same(loaded->clone(), three_keys()));
}

TEST_CASE("4.1 Keytabs: replacing one leaves the old one or the new one") {
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  CHECK_OK(save_keytab(three_keys(), path));
  // Who reads while it is replaced has the old file open.
  const int reader = ::open(path.c_str(), O_RDONLY);
  struct stat old {};
  REQUIRE(::fstat(reader, &old) == 0);
  CHECK_OK(save_keytab(keytab_of(kService, 9), path));
  struct stat now {};
  REQUIRE(::stat(path.c_str(), &now) == 0);
  CHECK(old.st_ino != now.st_ino);
  ::close(reader);
  CHECK(same(load_keytab(path).value(), keytab_of(kService, 9)));
  // What a crash left of an attempt is no obstacle, and not read.
  REQUIRE_OK(test_support::write_file(path + ".new", "half of a keyt"));
  CHECK(same(load_keytab(path).value(), keytab_of(kService, 9)));
  CHECK_OK(save_keytab(three_keys(), path));
  CHECK(same(load_keytab(path).value(), three_keys()));
  CHECK_FALSE(std::filesystem::exists(path + ".new"));
  // An attempt that fails keeps the old one.
  CHECK_FAILS(save_keytab(Keytab::make(kCell, kService).value(), path), ErrorCode::InvalidArgument);
  CHECK(same(load_keytab(path).value(), three_keys()));
}

TEST_CASE("4.1 Keytabs: a replaced one stays its owner's, so that its daemon can read it") {
  if (::geteuid() != 0)
    SKIP_TEST("needs root, to give a file away");
  constexpr uid_t kDaemon = 65534;
  constexpr gid_t kGroup = 65533;
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  REQUIRE_OK(save_keytab(three_keys(), path));
  for (const mode_t mode : {0600, 0400}) {
    CAPTURE(mode);
    REQUIRE(::chown(path.c_str(), kDaemon, kGroup) == 0);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK_FAILS(load_keytab(path), ErrorCode::PermissionDenied);
    CHECK_OK(load_keytab_of_others(path));
    CHECK_OK(save_keytab(keytab_of(kService, 9), path));
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK(info.st_uid == kDaemon);
    CHECK(info.st_gid == kGroup);
    CHECK((info.st_mode & 07777) == mode);
    CHECK(same(load_keytab_of_others(path).value(), keytab_of(kService, 9)));
  }
  // Even root does not take it for a secret when others could have read it.
  REQUIRE(::chmod(path.c_str(), 0640) == 0);
  CHECK_FAILS(load_keytab_of_others(path), ErrorCode::PermissionDenied);
  // A link in its place is not followed, nor replaced.
  REQUIRE(::unlink(path.c_str()) == 0);
  REQUIRE(::symlink("elsewhere", path.c_str()) == 0);
  CHECK_FAILS(save_keytab(three_keys(), path), ErrorCode::PermissionDenied);
}

TEST_CASE("4.1 Keytabs: a file that others may read or write is refused") {
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  CHECK_OK(save_keytab(three_keys(), path));
  for (const mode_t mode : {0640, 0620, 0610, 0604, 0602, 0601, 0660, 0666, 0644, 0777}) {
    CAPTURE(mode);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    const auto refused = load_keytab(path);
    CHECK_FAILS(refused, ErrorCode::PermissionDenied);
    CHECK(refused.error().message.find("chmod 600") != std::string::npos);
  }
  for (const mode_t mode : {0600, 0400}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK_OK(load_keytab(path));
  }
}

TEST_CASE("4.1 Keytabs: a file of somebody else is refused") {
  if (::geteuid() != 0)
    SKIP_TEST("only root can give a file away");
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  CHECK_OK(save_keytab(three_keys(), path));
  REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
  CHECK_FAILS(load_keytab(path), ErrorCode::PermissionDenied);
}

TEST_CASE("4.1 Keytabs: links, directories, FIFOs and missing files are refused without waiting") {
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  CHECK_OK(save_keytab(three_keys(), path));
  const std::string link = (directory / "link").string();
  REQUIRE(::symlink(path.c_str(), link.c_str()) == 0);
  CHECK_FAILS(load_keytab(link), ErrorCode::PermissionDenied);
  CHECK_FAILS(load_keytab(directory.path().string()), ErrorCode::PermissionDenied);
  const std::string fifo = (directory / "fifo").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_FAILS(load_keytab(fifo), ErrorCode::PermissionDenied);
  CHECK_FAILS(load_keytab((directory / "none").string()), ErrorCode::NotFound);
}

TEST_CASE("4.1 Keytabs: damaged, cut off or overlong files are refused, and say which file") {
  const test_support::TempDir directory;
  const std::string path = (directory / "fs1.keytab").string();
  CHECK_OK(save_keytab(three_keys(), path));
  const std::string good = test_support::read_file(path).value();
  const auto load = [&](const std::string& content) {
    REQUIRE_OK(test_support::write_file(path, content));
    return load_keytab(path);
  };
  CHECK_OK(load(good));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, good.size() / 2, good.size() - 1}) {
    const auto refused = load(good.substr(0, size));
    CHECK_FAILS(refused, ErrorCode::Corrupt);
    CHECK(refused.error().message.find(path) == 0);
  }
  CHECK_FAILS(load(good + "x"), ErrorCode::Corrupt);
  CHECK_FAILS(load(good + std::string(kMaxKeytabBytes, 'x')), ErrorCode::Corrupt);
  std::string wrong = good;
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  CHECK_FAILS(load(wrong), ErrorCode::Corrupt);
}

TEST_CASE("a right checksum does not make a keytab of anything else") {
  const Bytes good = content_of(three_keys());
  CHECK_OK(decode_keytab(with_checksum(good)));
  const std::size_t count_at = 2 + 4 + kCell.size() + 4 + kService.size();
  const auto with = [&](std::size_t at, int value) {
    Bytes changed = good;
    changed[at] = static_cast<std::byte>(value);
    return decode_keytab(with_checksum(changed));
  };
  CHECK_OK(with(count_at + 3, 3));
  for (const int count : {0, 2, 4, 17, 255})
    CHECK_FAILS(with(count_at + 3, count), ErrorCode::Corrupt);
  CHECK_FAILS(with(0, 2), ErrorCode::Corrupt);
  CHECK_FAILS(with(1, 7), ErrorCode::Corrupt);
  CHECK_FAILS(with(count_at + 4 + 3, 3),
              ErrorCode::Corrupt);  // the first number as high as the next
  CHECK_FAILS(with(count_at + 4 + 3, 0), ErrorCode::Corrupt);
  CHECK_FAILS(with(count_at + 4 + 4, 0xFF), ErrorCode::Corrupt);  // a time beyond the year 9999
  Bytes longer = good;
  longer.push_back(std::byte{0});
  CHECK_FAILS(decode_keytab(with_checksum(longer)), ErrorCode::Corrupt);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes changed = good;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    if (const auto other = decode_keytab(with_checksum(changed)))
      CHECK(content_of(*other) == changed);
  }
}

TEST_CASE("SipHash-2-4 gives the published value") {
  std::array<std::byte, 16> key;
  Bytes data;
  for (int i = 0; i < 16; ++i)
    key[static_cast<std::size_t>(i)] = static_cast<std::byte>(i);
  for (int i = 0; i < 15; ++i)
    data.push_back(static_cast<std::byte>(i));
  CHECK(siphash(key, data) == 0xA129CA6149BE45E5);  // appendix A of its paper
  CHECK(siphash(key, ByteView(data).first(8)) != siphash(key, ByteView(data).first(7)));
}
