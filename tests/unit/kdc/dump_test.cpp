#include "kdc/dump.hpp"

#include <map>
#include <set>

#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

namespace {

struct Dump : Fixture {
  Dump() {
    const Id alice = add_user("alice");
    REQUIRE_OK(db->groups().create(actor("alice"), "alice:friends"));
    REQUIRE_OK(db->groups().add_member(admin, kdc::kAuditors, alice));
    REQUIRE_OK(db->keys().rotate(with_operation(admin), id_of("fileserver/fs1")));
    REQUIRE(db->attempts().begin("bob", "192.0.2.1").allowed);
    REQUIRE_OK(db->attempts().failed("bob", "192.0.2.1"));
    REQUIRE_OK(db->attempts().succeeded("alice", "192.0.2.1"));
  }
  std::string text() {
    std::string all;
    REQUIRE_OK(kdc::dump(db->core(), [&](std::string_view line) -> Status {
      all += line;
      return {};
    }));
    return all;
  }
  // A directory with the stash file and nothing else.
  void give_stash(const Scratch& to) {
    std::filesystem::copy_file(directory / kdc::kMasterKeyFile, to / kdc::kMasterKeyFile);
  }
  Status load(const Scratch& to, std::string_view dumped) {
    return kdc::load({.directory = to.path(), .cell = std::string(kCell), .first_contents = {}},
                     dumped, clock);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Dump, "a loaded dump is the same database, row by row") {
  const Scratch other;
  give_stash(other);
  REQUIRE_OK(load(other, text()));
  const auto copy = open_in(other.path(), clock);
  REQUIRE_OK(copy);
  const auto ours = kdc::digest(db->core());
  REQUIRE_OK(ours);
  CHECK(kdc::digest((*copy)->core()) == *ours);
  CHECK((*copy)->audit().verify()->ok);
  CHECK(same((*copy)->keys().key(id_of("alice"))->key, db->keys().key(id_of("alice"))->key));
  CHECK_FALSE((*copy)->attempts().begin("bob", "x").wait > Millis(0));
  // Any change shows in the digest.
  REQUIRE_OK((*copy)->principals().set_disabled(admin, "alice", true));
  CHECK(kdc::digest((*copy)->core()) != *ours);
}

TEST_CASE_FIXTURE(Dump, "every table and column is in the dump") {
  std::map<std::string, std::set<std::string>> dumped;
  for (const kdc::DumpedTable& table : kdc::dumped_tables()) {
    std::string column;
    for (const char c : std::string(table.columns) + ",") {
      if (c == ',')
        dumped[std::string(table.name)].insert(std::exchange(column, {}));
      else if (c != ' ')
        column += c;
    }
    CHECK(dumped[std::string(table.name)].size() == table.types.size());
  }
  const auto real =
      db->core().read([](ReadTx& tx) -> Result<std::map<std::string, std::set<std::string>>> {
        TROTH_TRY(auto rows, tx.query("SELECT m.name, c.name FROM sqlite_master AS m, "
                                      "pragma_table_info(m.name) AS c WHERE m.type = 'table' AND "
                                      "m.name <> 'troth_database'"));
        std::map<std::string, std::set<std::string>> found;
        for (;;) {
          TROTH_TRY(const bool more, rows.step());
          if (!more)
            return found;
          found[std::string(rows.column_text(0))].insert(std::string(rows.column_text(1)));
        }
      });
  REQUIRE_OK(real);
  CHECK(*real == dumped);
}

TEST_CASE_FIXTURE(Dump, "no key is in the dump but sealed") {
  const std::string all = text();
  const auto key = db->keys().key(id_of("alice"));
  REQUIRE_OK(key);
  CHECK(all.find("alice") != std::string::npos);
  // Rows hold 60 sealed bytes, never 32 plain ones: compared as bytes in the database itself.
  sql("CREATE TABLE needle(b BLOB)");
  sql("INSERT INTO needle VALUES (?1)", key->key.bytes());
  CHECK(number("SELECT count(*) FROM key, needle WHERE instr(sealed, b) > 0") == 0);
}

TEST_CASE_FIXTURE(Dump, "a dump that is cut or changed loads nothing at all") {
  const std::string all = text();
  const Scratch other;
  give_stash(other);
  const auto refused = [&](const std::string& bad) {
    const Status status = load(other, bad);
    CAPTURE(test_support::outcome_of(status).text());
    CHECK_FALSE(status.has_value());
    CHECK_FAILS(open_in(other.path(), clock), ErrorCode::NotFound);
  };
  refused("");
  refused("x\n");
  refused(all.substr(0, all.size() - 1));
  refused(all.substr(0, all.size() / 2));
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = all.find('\n', at) + 1;
    lines.push_back(all.substr(at, end - at));
    at = end;
  }
  const auto join = [](const std::vector<std::string>& parts) {
    std::string text;
    for (const std::string& part : parts)
      text += part;
    return text;
  };
  for (std::size_t missing = 0; missing < lines.size(); missing += 3) {
    auto fewer = lines;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(missing));
    refused(join(fewer));
  }
  auto swapped = lines;
  std::swap(swapped[5], swapped[6]);
  refused(join(swapped));
  std::string changed = all;
  changed[changed.find("alice") + 1] = 'x';
  refused(changed);
  refused(all + lines.back());
  CHECK_OK(load(other, all));
}

TEST_CASE_FIXTURE(Dump, "a dump goes only where nothing is, to its cell, with its master key") {
  const std::string all = text();
  db.reset();
  CHECK_FAILS(load(directory, all), ErrorCode::AlreadyExists);
  const Scratch other;
  CHECK_FAILS(load(other, all), ErrorCode::NotFound);
  kdc::MasterKeys wrong{std::string(kCell)};
  REQUIRE_OK(wrong.add_random());
  REQUIRE_OK(wrong.save(other / kdc::kMasterKeyFile));
  CHECK_FAILS(load(other, all), ErrorCode::InvalidArgument);
  std::filesystem::remove(other / kdc::kMasterKeyFile);
  give_stash(other);
  CHECK_OK(load(other, all));
  open();
}

TEST_CASE_FIXTURE(Dump, "many users load in one transaction, and their speed is known") {
  // More by hand: TROTH_TEST_IMPORT_USERS=100000.
  const char* asked = std::getenv("TROTH_TEST_IMPORT_USERS");
  const int users = asked == nullptr ? 2000 : std::stoi(asked);
  REQUIRE_OK(db->core().db().commit([&](WriteTx& tx) -> Status {
    for (int i = 0; i < users; ++i) {
      const std::string name = "user" + std::to_string(i);
      TROTH_TRY(const Id id,
                kdc::insert_principal(
                    tx, {.kind = Kind::User, .name = name, .id = std::nullopt, .policy = {}},
                    kdc::time_now(clock)));
      TROTH_TRY(const kdc::Principal user, kdc::need_principal(tx, id));
      TROTH_TRY_VOID(kdc::add_password_key(tx, *db->core().master_keys(), user, password_key(name),
                                           kdc::time_now(clock)));
    }
    return {};
  }));
  const std::string all = text();
  const Scratch other;
  give_stash(other);
  const auto begin = clock.now();
  REQUIRE_OK(load(other, all));
  const auto took = std::chrono::duration<double>(clock.now() - begin).count();
  MESSAGE(users << " users loaded in " << took << " s, " << all.size() / 1000 << " kB");
  const auto copy = open_in(other.path(), clock);
  REQUIRE_OK(copy);
  CHECK(kdc::digest((*copy)->core()) == *kdc::digest(db->core()));
}
