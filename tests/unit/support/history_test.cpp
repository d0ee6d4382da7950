// The judges of histories: each kind of wrong history is found out, and right ones are not.

#include "tests/support/history/checker.hpp"
#include "tests/support/history/content.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace history;

namespace {

constexpr std::uint64_t kFile = 7;
constexpr std::uint64_t kDirectory = 1;

// One history of several clients; each line is later than the one before.
template <typename Check>
class Story {
 public:
  // Both phases, nothing between them.
  void did(Record record) { ended(began(std::move(record))); }
  Record began(Record record) {
    record.phase = Phase::Invoke;
    record.at = ++now_;
    record.op = ++ops_;
    check_.take(record);
    return record;
  }
  void ended(Record record, Outcome outcome = Outcome::Done) {
    record.phase = Phase::Return;
    record.outcome = outcome;
    record.at = ++now_;
    check_.take(record);
  }
  [[nodiscard]] Check& check() { return check_; }
  [[nodiscard]] const Verdicts& verdicts() const { return verdicts_; }
  // Nothing but this, once.
  [[nodiscard]] bool found_only(Fault fault) const {
    return verdicts_.of(fault) == 1 && verdicts_.all() == 1;
  }
  void pass(std::int64_t time) { now_ += time; }

 private:
  Verdicts verdicts_;
  Check check_{verdicts_};
  std::int64_t now_ = 0;
  std::uint64_t ops_ = 0;
};

Record wrote(std::uint64_t client, std::uint64_t value, std::uint64_t version) {
  Record record;
  record.kind = Kind::Write;
  record.client = client;
  record.object = kFile;
  record.value = value;
  record.version = version;
  return record;
}
Record saw(std::uint64_t client, std::uint64_t value, std::uint64_t version) {
  Record record = wrote(client, value, version);
  record.kind = Kind::Read;
  return record;
}

Record append(std::uint64_t client, std::uint64_t value, std::uint64_t offset,
              std::uint64_t version) {
  Record record = wrote(client, value, version);
  record.kind = Kind::Append;
  record.offset = offset;
  record.length = kLeastRecord;
  return record;
}
Record log_read(std::uint64_t client, std::string_view content, std::uint64_t version) {
  Record record = saw(client, 0, version);
  record.kind = Kind::Log;
  record.length = content.size();
  record.digest = digest_of(content);
  return record;
}

Record name_op(Kind kind, std::uint64_t client, std::string name, std::uint64_t node = 0) {
  Record record;
  record.kind = kind;
  record.client = client;
  record.object = kDirectory;
  record.name = std::move(name);
  record.node = node;
  return record;
}
Record renamed(std::string name, std::string to, std::uint64_t node) {
  Record record = name_op(Kind::Rename, 1, std::move(name), node);
  record.to = std::move(to);
  return record;
}
Record listed(std::uint64_t client, std::vector<Entry> entries) {
  Record record = name_op(Kind::List, client, "");
  record.entries = std::move(entries);
  return record;
}

}  // namespace

// --- registers ---

TEST_CASE("a register: what is in order is accepted, whatever overlaps") {
  Story<RegisterCheck> story;
  story.did(saw(1, 0, 3));
  story.did(wrote(1, 11, 4));
  story.did(saw(2, 11, 4));
  // Two writes and two reads at once: any order will do that the versions give.
  const Record first = story.began(wrote(1, 12, 6));
  const Record second = story.began(wrote(2, 13, 5));
  const Record early = story.began(saw(3, 11, 4));
  const Record late = story.began(saw(4, 12, 6));
  story.ended(late);
  story.ended(early);  // it began before anybody had been told of 6
  story.ended(first);
  story.ended(second);
  // Of an unknown outcome comes a version later, or nothing.
  const Record lost = story.began(wrote(1, 14, 0));
  story.ended(lost, Outcome::Unknown);
  story.began(wrote(5, 15, 0));
  story.check().client_gone(5);
  story.did(saw(2, 12, 6));
  story.did(saw(2, 15, 7));
  story.did(saw(2, 14, 9));
  const Record refused = story.began(wrote(1, 16, 0));
  story.ended(refused, Outcome::Refused);
  // What nobody ever asked for.
  Record other = saw(9, 0, 2);
  other.object = kFile + 1;
  story.check().take_last(other);
  CHECK(story.verdicts().all() == 0);
}

TEST_CASE("a register: stale, lost, duplicated, torn, invented and disordered are told apart") {
  Story<RegisterCheck> story;
  story.did(wrote(1, 11, 4));
  SUBCASE("an open that begins after a close, and sees what was before") {
    story.did(wrote(1, 12, 5));
    story.did(saw(2, 11, 4));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("an open that begins after another open, and sees what was before") {
    const Record pending = story.began(wrote(1, 12, 5));
    story.did(saw(2, 12, 5));
    story.did(saw(3, 11, 4));
    story.ended(pending);
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("an acknowledged write is not there in the end") {
    story.did(wrote(1, 12, 5));
    story.check().take_last(saw(9, 11, 4));
    CHECK(story.found_only(Fault::Lost));
  }
  SUBCASE("a write took effect twice") {
    story.did(wrote(1, 12, 5));
    story.did(saw(2, 11, 6));
    CHECK(story.found_only(Fault::Duplicated));
  }
  SUBCASE("one version is two values") {
    const Record pending = story.began(wrote(2, 12, 0));
    story.did(saw(2, 12, 4));
    story.ended(pending, Outcome::Unknown);
    CHECK(story.found_only(Fault::Torn));
  }
  SUBCASE("a value that nobody wrote") {
    story.did(saw(2, 99, 5));
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("a refused write is seen later") {
    const Record refused = story.began(wrote(1, 12, 0));
    story.ended(refused, Outcome::Refused);
    story.did(saw(2, 12, 5));
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("a refused write was seen before") {
    const Record refused = story.began(wrote(1, 12, 0));
    story.did(saw(2, 12, 5));
    story.ended(refused, Outcome::Refused);
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("a write that makes no new version") {
    story.did(saw(1, 11, 4));
    const Record again = story.began(wrote(1, 12, 4));
    story.ended(again);
    CHECK(story.verdicts().of(Fault::Disordered) == 1);
  }
  SUBCASE("a value that two writes claim") {
    story.began(wrote(2, 11, 0));
    CHECK(story.found_only(Fault::Disordered));
  }
}

TEST_CASE("a register remembers its newest versions, and takes older ones for old") {
  Story<RegisterCheck> story;
  const std::uint64_t many = RegisterCheck::kVersions + 10;
  for (std::uint64_t i = 1; i <= many; ++i)
    story.did(wrote(1, i, i));
  CHECK(story.verdicts().all() == 0);
  story.did(saw(2, 1, 1));
  CHECK(story.found_only(Fault::Stale));
}

// --- appended records ---

TEST_CASE("records are made and recognised whole") {
  for (const std::size_t length : {kLeastRecord, std::size_t{65}, std::size_t{5000}}) {
    const std::string record = make_record(18446744073709551615ULL, length);
    REQUIRE(record.size() == length);
    const auto parsed = parse_record(record);
    REQUIRE(parsed);
    CHECK(parsed->value == 18446744073709551615ULL);
    CHECK(parse_whole(record) == parsed->value);
    CHECK_FALSE(parse_whole(record + record));
    CHECK(first_torn(record + record) == std::string::npos);
    for (const std::size_t at : {std::size_t{0}, std::size_t{21}, length / 2, length - 1}) {
      std::string torn = record;
      torn[at] = torn[at] == '7' ? '8' : '7';
      CHECK_FALSE(parse_record(torn));
      CHECK(first_torn(record + torn) == length);
    }
    CHECK_FALSE(parse_record(record.substr(0, length - 1)));
  }
  CHECK(parse_whole("") == 0);
  CHECK_FALSE(parse_whole("\n"));
}

TEST_CASE("appends: each once, where it was said, and what was read stays") {
  Story<AppendCheck> story;
  const std::string one = make_record(1, kLeastRecord);
  const std::string two = make_record(2, kLeastRecord);
  const std::string three = make_record(3, kLeastRecord);
  story.did(append(1, 1, 0, 10));
  story.did(append(2, 2, kLeastRecord, 11));
  story.did(log_read(3, one + two, 11));
  const Record pending = story.began(append(1, 3, 0, 0));
  SUBCASE("all is well with or without what is unknown") {
    story.ended(pending, Outcome::Unknown);
    story.check().take_content(kFile, one + two);
    story.check().take_content(kFile, one + two + three);
    story.check().client_gone(1);
    CHECK(story.check().objects() == std::vector{kFile});
    CHECK(story.verdicts().all() == 0);
  }
  SUBCASE("an acknowledged one is missing") {
    story.check().take_content(kFile, one);
    CHECK(story.verdicts().of(Fault::Lost) == 2);  // and so is what somebody read
  }
  SUBCASE("one is there twice") {
    story.check().take_content(kFile, one + two + three + two);
    CHECK(story.found_only(Fault::Duplicated));
  }
  SUBCASE("one that was refused is there") {
    story.ended(pending, Outcome::Refused);
    story.check().take_content(kFile, one + two + three);
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("one that nobody appended is there") {
    story.check().take_content(kFile, one + two + make_record(4, 80));
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("one is torn, or two are mixed") {
    story.check().take_content(kFile, one + two + three.substr(0, 40) + one.substr(40));
    CHECK(story.found_only(Fault::Torn));
  }
  SUBCASE("one is elsewhere than was said") {
    story.ended(append(1, 3, 3 * kLeastRecord, 12));
    story.check().take_content(kFile, one + two + three);
    CHECK(story.verdicts().of(Fault::Disordered) == 1);
  }
  SUBCASE("a reader sees less than was acknowledged before he began") {
    story.did(log_read(3, one, 10));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("a reader sees less under a newer version") {
    story.did(log_read(3, one, 12));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("two readers see other bytes") {
    story.did(log_read(3, two + one, 11));
    CHECK(story.found_only(Fault::Torn));
  }
  SUBCASE("what was read is not the beginning of what is there in the end") {
    story.ended(append(1, 3, 2 * kLeastRecord, 12));
    story.did(log_read(3, two + one + three, 12));
    story.check().take_content(kFile, one + two + three);
    CHECK(story.found_only(Fault::Torn));
  }
  SUBCASE("an append that makes no new version") {
    story.did(append(1, 5, 2 * kLeastRecord, 11));
    CHECK(story.verdicts().of(Fault::Disordered) == 1);
  }
}

// --- names ---

TEST_CASE("names: whoever looks sees what was there while he looked") {
  Story<NamesCheck> story;
  story.did(name_op(Kind::Look, 2, "a"));
  const Record making = story.began(name_op(Kind::Create, 1, "a"));
  story.did(name_op(Kind::Look, 2, "a"));
  story.did(name_op(Kind::Look, 2, "a", 5));
  Record made = making;
  made.node = 5;
  story.ended(made);
  story.did(listed(2, {{"a", 5}}));
  const Record moving = story.began(renamed("a", "b", 5));
  story.did(listed(3, {{"a", 5}}));
  story.ended(moving);
  story.did(listed(3, {{"b", 5}}));
  // Unknown, and then it is seen: from then on it is.
  const Record unknown = story.began(name_op(Kind::Remove, 1, "b"));
  story.ended(unknown, Outcome::Unknown);
  story.did(listed(3, {{"b", 5}}));
  story.did(listed(3, {}));
  story.check().take_last(kDirectory, {});
  CHECK(story.verdicts().all() == 0);
  story.did(listed(3, {{"b", 5}}));
  CHECK(story.found_only(Fault::Stale));
}

TEST_CASE("names: lost, stale, invented and doubled entries are found") {
  Story<NamesCheck> story;
  Record a = name_op(Kind::Create, 1, "a", 5);
  story.did(a);
  SUBCASE("what was made is not seen") {
    story.did(name_op(Kind::Look, 2, "a"));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("what was made is not listed") {
    story.did(listed(2, {}));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("what was made is not there in the end") {
    story.check().take_last(kDirectory, {});
    CHECK(story.found_only(Fault::Lost));
  }
  SUBCASE("what was removed is seen") {
    story.did(name_op(Kind::Remove, 1, "a"));
    story.did(name_op(Kind::Look, 2, "a", 5));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("what was renamed is seen under its old name, and not under its new one") {
    story.did(renamed("a", "b", 5));
    story.did(listed(2, {{"a", 5}}));
    CHECK(story.verdicts().of(Fault::Stale) == 2);
  }
  SUBCASE("another node has the name") {
    story.did(name_op(Kind::Look, 2, "a", 6));
    CHECK(story.found_only(Fault::Stale));
  }
  SUBCASE("a name that nobody made") {
    story.did(name_op(Kind::Look, 2, "x", 6));
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("a creation that was refused, and is there") {
    const Record making = story.began(name_op(Kind::Create, 1, "c"));
    story.did(name_op(Kind::Look, 2, "c", 6));
    story.ended(making, Outcome::Refused);
    CHECK(story.found_only(Fault::Invented));
  }
  SUBCASE("one node is listed under both names of a rename") {
    const Record moving = story.began(renamed("a", "b", 5));
    story.did(listed(2, {{"a", 5}, {"b", 5}}));
    story.ended(moving);
    CHECK(story.found_only(Fault::Duplicated));
  }
  SUBCASE("what was removed long ago is back") {
    story.did(name_op(Kind::Remove, 1, "a"));
    story.pass(2 * NamesCheck::kRememberedNs);
    story.did(name_op(Kind::Look, 2, "other"));
    CHECK(story.check().remembered() == 0);
    story.did(name_op(Kind::Look, 2, "a", 5));
    CHECK(story.found_only(Fault::Stale));
  }
}

// --- all together, from files ---

TEST_CASE("a line is read as it was written, and nothing else is a line") {
  Record record = renamed("a-1", "b.2", 5);
  record.phase = Phase::Return;
  record.outcome = Outcome::Unknown;
  record.at = 123;
  record.client = 9;
  record.op = 10;
  record.version = 1;
  record.value = 18446744073709551615ULL;
  record.offset = 3;
  record.length = 4;
  record.digest = 5;
  record.entries = {{"x", 1}, {"y", 2}};
  record.text = "why it is so";
  const auto back = from_line(to_line(record));
  REQUIRE_OK(back);
  CHECK(*back == record);
  const auto least = from_line(to_line(Record()));
  REQUIRE_OK(least);
  CHECK(*least == Record());
  const std::string line = to_line(record);
  CHECK_FALSE(from_line(""));
  CHECK_FALSE(from_line("! " + line.substr(2)));
  CHECK_FALSE(from_line("? what" + line.substr(8)));
  CHECK_FALSE(from_line("= rename done x" + line));
  CHECK_FALSE(from_line(line.substr(0, 40)));
}

TEST_CASE("histories of several clients are judged in one order, as far as it is certain") {
  const test_support::TempDir files;
  const std::string path1 = files / "1";
  const std::string path2 = files / "2";
  Checker checker;
  checker.add(1, path1);
  checker.add(2, path2);
  CHECK_OK(checker.go_on());
  const auto one = Writer::open(path1);
  const auto two = Writer::open(path2);
  REQUIRE_OK(one);
  REQUIRE_OK(two);
  const auto both = [](Writer& writer, Record record, std::uint64_t op) {
    record.op = op;
    record.phase = Phase::Invoke;
    writer.write(record);
    record.phase = Phase::Return;
    writer.write(record);
  };
  both(**one, wrote(1, 11, 4), 1);
  CHECK_OK(checker.go_on());
  CHECK(checker.answered() == 0);  // the other may have more to say of that time
  CHECK(checker.waiting() == 2);
  both(**two, saw(2, 0, 3), 1);
  Record torn;
  torn.kind = Kind::Torn;
  torn.client = 2;
  torn.text = "half a file";
  (*two)->write(torn);
  CHECK_OK(checker.go_on());
  CHECK(checker.answered() == 0);  // the first has said nothing for longest, now
  (*one)->write(Record());
  CHECK_OK(checker.go_on());
  CHECK(checker.answered() == 2);
  CHECK(checker.verdicts().of(Fault::Stale) == 1);
  CHECK(checker.verdicts().all() == 1);  // who wrote last may write at the same moment
  // The end of a line that is not whole is waited for.
  REQUIRE_OK(test_support::write_file(files / "3", "? idle"));
  checker.add(3, files / "3");
  checker.ended(1);
  CHECK_OK(checker.go_on());
  checker.ended(3);
  checker.ended(2);
  CHECK_OK(checker.go_on());
  CHECK(checker.waiting() == 0);
  CHECK(checker.answered() == 2);
  CHECK(checker.count(Kind::Read, Outcome::Done) == 1);
  CHECK(checker.verdicts().of(Fault::Stale) == 1);
  CHECK(checker.verdicts().of(Fault::Torn) == 1);
  CHECK(checker.verdicts().all() == 2);
  REQUIRE_OK(test_support::write_file(files / "4", "no history\n"));
  checker.add(4, files / "4");
  CHECK_FAILS(checker.go_on(), common::ErrorCode::Protocol);
}
