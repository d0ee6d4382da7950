// The same questions to a Judge and to the file system of this machine: random trees, callers and
// operations, carried out for real under that caller's ids.

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <random>

#include "memory_source.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace access_test;

namespace {

struct Who {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
};

// This process is somebody else for a scope. It has one thread.
class As {
 public:
  explicit As(const Who& who) {
    const std::vector<gid_t> groups(who.groups.begin(), who.groups.end());
    REQUIRE(::setgroups(groups.size(), groups.data()) == 0);
    REQUIRE(::setegid(who.gid) == 0);
    REQUIRE(::seteuid(who.uid) == 0);
  }
  ~As() {
    CHECK(::seteuid(0) == 0);
    CHECK(::setegid(0) == 0);
    CHECK(::setgroups(0, nullptr) == 0);
  }
  As(const As&) = delete;
  As& operator=(const As&) = delete;
};

int result_of(long returned) {
  return returned < 0 ? errno : 0;
}

// /p/a/{f,c}, /p/b/{t,d}: c and d directories; ids as in the table below.
enum Id : std::uint64_t { kP = 2, kA, kB, kF, kC, kT, kD, kNew };

class World {
 public:
  explicit World(std::mt19937_64& random) : random_(random) {
    REQUIRE(::chmod(top_.path().c_str(), 0755) == 0);
    paths_ = {{1, ""},       {kP, "p"},     {kA, "p/a"},   {kB, "p/b"},
              {kF, "p/a/f"}, {kC, "p/a/c"}, {kT, "p/b/t"}, {kD, "p/b/d"}};
    build();
  }

  [[nodiscard]] std::string path(std::uint64_t id) const {
    return (top_.path() / paths_.at(id)).string();
  }
  [[nodiscard]] std::string fresh() const { return path(kB) + "/new"; }
  [[nodiscard]] std::string fresh_in_a() const { return path(kA) + "/new"; }
  [[nodiscard]] struct stat now(const std::string& path) const {
    struct stat found {};
    REQUIRE(::lstat(path.c_str(), &found) == 0);
    return found;
  }
  MemorySource source;

 private:
  template <typename T>
  T pick(std::initializer_list<T> of) {
    return *(of.begin() + static_cast<std::ptrdiff_t>(random_() % of.size()));
  }

  void build() {
    for (const std::uint64_t id : {kP, kA, kB, kC, kD})
      REQUIRE(::mkdir(path(id).c_str(), 0755) == 0);
    for (const std::uint64_t id : {kF, kT}) {
      const int fd = ::open(path(id).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
      REQUIRE(fd >= 0);
      REQUIRE(::write(fd, "0123", 4) == 4);
      ::close(fd);
    }
    // From the bottom up: what is closed is still to be got at by root.
    for (const std::uint64_t id : {kF, kC, kT, kD, kA, kB, kP}) {
      const bool directory = id != kF && id != kT;
      REQUIRE(::lchown(path(id).c_str(), pick({0U, 1'001U, 1'002U}), pick({0U, 100U, 200U})) == 0);
      std::uint32_t mode = static_cast<std::uint32_t>(random_()) & 07777;
      // Open often enough for what lies behind to matter.
      if (id == kP || (directory && random_() % 3 != 0))
        mode |= 0111;
      if ((id == kA || id == kB) && random_() % 2 == 0)
        mode |= 0222;
      if (id == kP && random_() % 8 == 0)
        mode &= ~0011U;
      REQUIRE(::chmod(path(id).c_str(), mode) == 0);
    }
    const std::map<std::uint64_t, std::uint64_t> homes{{kP, 1},  {kA, kP}, {kB, kP}, {kF, kA},
                                                       {kC, kA}, {kT, kB}, {kD, kB}};
    for (const auto& [id, home] : homes) {
      const struct stat found = now(path(id));
      source.add(node(id, S_ISDIR(found.st_mode) ? NodeKind::Directory : NodeKind::File,
                      found.st_mode & 07777, found.st_uid, found.st_gid, home));
    }
  }

  test_support::TempDir top_;
  std::mt19937_64& random_;
  std::map<std::uint64_t, std::string> paths_;
};

struct Question {
  const char* name;
  std::function<int(World&)> really;  // errno, or 0
  std::function<Result<Verdict>(World&, Judge&)> judged;
  // What must hold after success.
  std::function<void(World&, const Caller&)> after = {};
};

std::uint32_t mode_at(World& world, const std::string& path) {
  return world.now(path).st_mode & 07777;
}

void check_birth(World& world, const Caller& caller, NodeKind kind, std::uint32_t asked) {
  const struct stat made = world.now(world.fresh_in_a());
  const Birth expected = birth(caller, world.source[kA], kind, asked);
  CHECK(Birth{made.st_uid, made.st_gid, made.st_mode & 07777} == expected);
}

int opened(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0);
  const int failed = fd < 0 ? errno : 0;
  if (fd >= 0)
    ::close(fd);
  return failed;
}

std::vector<Question> content_questions() {
  return {
      {"read", [](World& w) { return opened(w.path(kF), O_RDONLY); },
       [](World& w, Judge& j) { return j.open(w.source[kF], {.read = true}); }},
      {"read and write", [](World& w) { return opened(w.path(kF), O_RDWR); },
       [](World& w, Judge& j) { return j.open(w.source[kF], {.read = true, .write = true}); }},
      {"write",
       [](World& w) {
         const int fd = ::open(w.path(kF).c_str(), O_WRONLY | O_CLOEXEC);
         const int failed = result_of(fd < 0 ? -1 : ::write(fd, "x", 1));
         if (fd >= 0)
           ::close(fd);
         return failed;
       },
       [](World& w, Judge& j) { return j.open(w.source[kF], {.write = true}); },
       [](World& w, const Caller& c) {
         CHECK(mode_at(w, w.path(kF)) == mode_after_write(c, w.source[kF]));
       }},
      {"truncate", [](World& w) { return result_of(::truncate(w.path(kF).c_str(), 1)); },
       [](World& w, Judge& j) { return j.set_attributes(w.source[kF], {.size = true}); },
       [](World& w, const Caller& c) {
         CHECK(mode_at(w, w.path(kF)) == mode_after(c, w.source[kF], {.size = true}));
       }},
      {"execute",
       [](World& w) {
         return result_of(::faccessat(AT_FDCWD, w.path(kF).c_str(), X_OK, AT_EACCESS));
       },
       [](World& w, Judge& j) { return j.open(w.source[kF], {.execute = true}); }},
      {"list", [](World& w) { return opened(w.path(kA), O_RDONLY | O_DIRECTORY); },
       [](World& w, Judge& j) { return j.list(w.source[kA]); }},
      {"stat",
       [](World& w) {
         struct stat found {};
         return result_of(::lstat(w.path(kF).c_str(), &found));
       },
       [](World& w, Judge& j) { return j.search(w.source[kA]); }},
      {"user xattr",
       [](World& w) { return result_of(::setxattr(w.path(kF).c_str(), "user.x", "1", 1, 0)); },
       [](World& w, Judge& j) { return j.set_xattr(w.source[kF], "user.x"); }},
      {"user xattr of a directory",
       [](World& w) { return result_of(::setxattr(w.path(kC).c_str(), "user.x", "1", 1, 0)); },
       [](World& w, Judge& j) { return j.set_xattr(w.source[kC], "user.x"); }},
  };
}

std::vector<Question> name_questions() {
  const auto rename = [](std::uint64_t from, std::uint64_t to, unsigned flags) {
    return [from, to, flags](World& w) {
      const std::string target = to == kNew ? w.fresh() : w.path(to);
      return result_of(
          ::renameat2(AT_FDCWD, w.path(from).c_str(), AT_FDCWD, target.c_str(), flags));
    };
  };
  const auto judge_rename = [](std::uint64_t from, std::uint64_t to, bool exchange) {
    return [from, to, exchange](World& w, Judge& j) {
      return j.rename({w.source[kA], &w.source[from]},
                      {w.source[kB], to == kNew ? nullptr : &w.source[to]}, exchange);
    };
  };
  return {
      {"create", [](World& w) { return opened(w.fresh_in_a(), O_CREAT | O_EXCL | O_WRONLY); },
       [](World& w, Judge& j) { return j.make(w.source[kA], NodeKind::File); },
       [](World& w, const Caller& c) { check_birth(w, c, NodeKind::File, 0); }},
      {"mkdir", [](World& w) { return result_of(::mkdir(w.fresh_in_a().c_str(), 01751)); },
       [](World& w, Judge& j) { return j.make(w.source[kA], NodeKind::Directory); },
       [](World& w, const Caller& c) { check_birth(w, c, NodeKind::Directory, 01751); }},
      {"mknod", [](World& w) { return result_of(::mknod(w.fresh_in_a().c_str(), S_IFBLK, 0x701)); },
       [](World& w, Judge& j) { return j.make(w.source[kA], NodeKind::BlockDevice); }},
      {"set-gid program",
       [](World& w) { return result_of(::mknod(w.fresh_in_a().c_str(), S_IFREG | 02755, 0)); },
       [](World& w, Judge& j) { return j.make(w.source[kA], NodeKind::File); },
       [](World& w, const Caller& c) { check_birth(w, c, NodeKind::File, 02755); }},
      {"unlink", [](World& w) { return result_of(::unlink(w.path(kF).c_str())); },
       [](World& w, Judge& j) { return j.remove(w.source[kA], w.source[kF]); }},
      {"rmdir", [](World& w) { return result_of(::rmdir(w.path(kC).c_str())); },
       [](World& w, Judge& j) { return j.remove(w.source[kA], w.source[kC]); }},
      {"rename a file", rename(kF, kNew, 0), judge_rename(kF, kNew, false)},
      {"rename over a file", rename(kF, kT, 0), judge_rename(kF, kT, false)},
      {"rename a directory", rename(kC, kNew, 0), judge_rename(kC, kNew, false)},
      {"rename over a directory", rename(kC, kD, 0), judge_rename(kC, kD, false)},
      {"exchange files", rename(kF, kT, RENAME_EXCHANGE), judge_rename(kF, kT, true)},
      {"exchange directories", rename(kC, kD, RENAME_EXCHANGE), judge_rename(kC, kD, true)},
      {"exchange both", rename(kF, kD, RENAME_EXCHANGE), judge_rename(kF, kD, true)},
      {"link", [](World& w) { return result_of(::link(w.path(kF).c_str(), w.fresh().c_str())); },
       [](World& w, Judge& j) { return j.link(w.source[kF], w.source[kB]); }},
  };
}

Question set(const char* name, std::function<int(World&)> really, const AttributeWish& wish,
             std::uint64_t id) {
  return {name, std::move(really),
          [wish, id](World& w, Judge& j) { return j.set_attributes(w.source[id], wish); },
          [wish, id](World& w, const Caller& c) {
            CHECK(mode_at(w, w.path(id)) == mode_after(c, w.source[id], wish));
          }};
}

std::vector<Question> attribute_questions() {
  const auto chmod = [](std::uint64_t id, std::uint32_t mode) {
    return set(
        "chmod", [=](World& w) { return result_of(::chmod(w.path(id).c_str(), mode)); },
        {.mode = mode}, id);
  };
  const auto chown = [](std::uint64_t id, std::optional<std::uint32_t> uid,
                        std::optional<std::uint32_t> gid) {
    return set(
        "chown",
        [=](World& w) {
          return result_of(::lchown(w.path(id).c_str(), uid.value_or(~0U), gid.value_or(~0U)));
        },
        {.uid = uid, .gid = gid}, id);
  };
  const auto utimes = [](const char* name, long first, long second, TimeWish mtime,
                         TimeWish atime) {
    return set(
        name,
        [=](World& w) {
          const struct timespec times[2] = {{1, first}, {2, second}};
          return result_of(::utimensat(AT_FDCWD, w.path(kF).c_str(), times, 0));
        },
        {.mtime = mtime, .atime = atime}, kF);
  };
  return {chmod(kF, 06755),
          chmod(kF, 02640),
          chmod(kC, 02755),
          chmod(kF, 0),
          chown(kF, 1'001, {}),
          chown(kF, {}, 100),
          chown(kF, {}, 200),
          chown(kF, {}, 300),
          chown(kF, 1'001, 100),
          chown(kF, 1'002, 200),
          chown(kC, 1'001, 200),
          utimes("now", UTIME_NOW, UTIME_NOW, TimeWish::Now, TimeWish::Now),
          utimes("given", 5, 6, TimeWish::Given, TimeWish::Given),
          utimes("half now", UTIME_NOW, 6, TimeWish::Given, TimeWish::Now),
          utimes("half omitted", UTIME_NOW, UTIME_OMIT, TimeWish::None, TimeWish::Now)};
}

// The machine may refuse links to what one could not write, whatever POSIX says.
bool links_are_protected() {
  const auto setting = test_support::read_file("/proc/sys/fs/protected_hardlinks");
  return setting && !setting->starts_with("0");
}

void ask(std::vector<Question> questions, std::uint64_t seed, int rounds) {
  if (::geteuid() != 0)
    SKIP_TEST("to be other users takes root");
  const bool protected_links = links_are_protected();
  const mode_t umask_before = ::umask(0);
  std::mt19937_64 random(seed);
  int refused = 0;
  int allowed = 0;
  for (int round = 0; round < rounds; ++round) {
    for (const Question& question : questions) {
      World world(random);
      Who who{random() % 8 == 0 ? 0U : 1'001U + static_cast<std::uint32_t>(random() % 3), 100, {}};
      who.gid = random() % 2 == 0 ? 100 : 300;
      if (random() % 2 == 0)
        who.groups = {200, 400};
      const Caller caller = local(who.uid, who.gid, who.groups);
      Judge judge({.caller = caller, .source = world.source, .volume = VolumeId(1)});
      const auto verdict = question.judged(world, judge);
      REQUIRE_OK(verdict);
      int really = 0;
      {
        const As as(who);
        really = question.really(world);
      }
      // A closed way is told from what is behind it only where one goes step by step.
      const int expected = verdict->rule == Rule::Path ? EACCES : verdict->error_number;
      if (protected_links && std::string_view(question.name) == "link" && really == EPERM)
        continue;
      INFO(question.name << ", seed " << seed << ", round " << round << ": "
                         << explain(*verdict, caller));
      CHECK(expected == really);
      (really == 0 ? allowed : refused) += 1;
      if (really == 0 && question.after)
        question.after(world, caller);
    }
  }
  ::umask(umask_before);
  // Neither side has it easy.
  CHECK(allowed > rounds);
  CHECK(refused > rounds);
}

}  // namespace

TEST_CASE("a local file system judges opening as we do") {
  ask(content_questions(), 1, 25);
}

TEST_CASE("a local file system judges names as we do") {
  ask(name_questions(), 2, 25);
}

TEST_CASE("a local file system judges attributes as we do") {
  ask(attribute_questions(), 3, 25);
}
