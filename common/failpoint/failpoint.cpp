#include "common/failpoint/failpoint.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/sync/locked.hpp"

namespace common::failpoint {
namespace {

enum class Action : std::uint8_t { Kill, Error, Pause, Count, Call };

struct Plan {
  Action action = Action::Count;
  ErrorCode code = ErrorCode::Internal;
  std::string socket;
  std::function<Status()> call;
  std::uint64_t first = 1;
  std::uint64_t last = UINT64_MAX;
  std::uint64_t every = 1;
};

struct Place {
  std::vector<Plan> plans;
  std::uint64_t hits = 0;
};

using Places = std::map<std::string, Place, std::less<>>;

// One for the process: places are named all over the product, and must cost nothing to reach.
struct Registry {
  std::atomic<bool> armed{false};
  Locked<Places> places;

  Registry();
  void add(std::vector<std::pair<std::string, Plan>> plans) {
    auto held = places.lock();
    for (auto& [name, plan] : plans)
      (*held)[name].plans.push_back(std::move(plan));
    armed.store(!held->empty(), std::memory_order_release);
  }
};

bool parse_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0;
}

// `kill`, `error(code)`, `pause(socket)` or `count`.
Status parse_action(std::string_view text, Plan& plan) {
  const auto open = text.find('(');
  const std::string_view word = text.substr(0, open);
  std::string_view argument;
  if (open != std::string_view::npos) {
    if (text.back() != ')')
      return fail(ErrorCode::InvalidArgument, "no closing parenthesis in '{}'", text);
    argument = text.substr(open + 1, text.size() - open - 2);
  }
  if (word == "kill" && argument.empty()) {
    plan.action = Action::Kill;
  } else if (word == "count" && argument.empty()) {
    plan.action = Action::Count;
  } else if (word == "pause" && !argument.empty()) {
    plan.action = Action::Pause;
    plan.socket = argument;
  } else if (word == "error") {
    plan.action = Action::Error;
    plan.code = error_code_from_string(argument);
    if (to_string(plan.code) != argument)
      return fail(ErrorCode::InvalidArgument, "no error code is called '{}'", argument);
  } else {
    return fail(ErrorCode::InvalidArgument, "'{}' is not kill, error(code), pause(socket) or count",
                text);
  }
  return {};
}

// `3`, `3+` or `3*7`.
bool parse_hits(std::string_view text, Plan& plan) {
  const auto star = text.find('*');
  if (star != std::string_view::npos)
    return parse_number(text.substr(0, star), plan.first) &&
           parse_number(text.substr(star + 1), plan.every);
  const bool onwards = !text.empty() && text.back() == '+';
  if (onwards)
    text.remove_suffix(1);
  if (!parse_number(text, plan.first))
    return false;
  if (!onwards)
    plan.last = plan.first;
  return true;
}

// `name=action`, `name=action@3`, `name=action@3+` or `name=action@3*7`.
Result<std::pair<std::string, Plan>> parse_plan(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos)
    return fail(ErrorCode::InvalidArgument, "'{}' is not name=action", text);
  Plan plan;
  std::string_view action = text.substr(equals + 1);
  const auto at = action.rfind('@');
  if (at != std::string_view::npos) {
    if (!parse_hits(action.substr(at + 1), plan))
      return fail(ErrorCode::InvalidArgument, "'{}' does not end in @N, @N+ or @N*M", text);
    action = action.substr(0, at);
  }
  TROTH_TRY_VOID(parse_action(action, plan));
  return std::pair{std::string(text.substr(0, equals)), std::move(plan)};
}

Result<std::vector<std::pair<std::string, Plan>>> parse(std::string_view specification) {
  std::vector<std::pair<std::string, Plan>> plans;
  while (!specification.empty()) {
    const auto end = specification.find(';');
    const std::string_view one = specification.substr(0, end);
    if (!one.empty()) {
      TROTH_TRY(auto plan, parse_plan(one));
      plans.push_back(std::move(plan));
    }
    specification =
        end == std::string_view::npos ? std::string_view{} : specification.substr(end + 1);
  }
  return plans;
}

Registry::Registry() {
  const char* text = std::getenv("TROTH_FAILPOINTS");
  if (text == nullptr)
    return;
  auto plans = parse(text);
  if (!plans) {
    fmt::print(stderr, "TROTH_FAILPOINTS: {}\n", plans.error().message);
    std::_Exit(2);
  }
  add(std::move(*plans));
}

Registry& registry() {
  // Never destroyed: a thread may reach a place while the process exits.
  static Registry& instance = *new Registry;
  return instance;
}

// Says the name on the connection and waits for the answer.
void wait_at(int fd, std::string_view name, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return;  // nobody waits there any more
  const std::string line = std::string(name) + "\n";
  if (::send(fd, line.data(), line.size(), MSG_NOSIGNAL) < 0)
    return;
  pollfd wanted{fd, POLLIN, 0};
  const auto longest = std::chrono::milliseconds(kLongestPause).count();
  while (::poll(&wanted, 1, static_cast<int>(longest)) < 0 && errno == EINTR) {
  }
}

void pause_at(std::string_view name, const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  wait_at(fd, name, path);
  ::close(fd);
}

Status carry_out(const Plan& plan, std::string_view name, std::uint64_t hit_number) {
  switch (plan.action) {
    case Action::Kill:
      ::kill(::getpid(), SIGKILL);
      std::abort();  // SIGKILL has no way back
    case Action::Error:
      return fail(plan.code, "failpoint {} (hit {})", name, hit_number);
    case Action::Pause:
      pause_at(name, plan.socket);
      return {};
    case Action::Call:
      return plan.call();
    case Action::Count:
      return {};
  }
  return {};
}

}  // namespace

Status hit(std::string_view name) {
  Registry& all = registry();
  if (!all.armed.load(std::memory_order_acquire))
    return {};
  std::vector<Plan> due;
  std::uint64_t number = 0;
  {
    auto held = all.places.lock();
    const auto place = held->find(name);
    if (place == held->end())
      return {};
    number = ++place->second.hits;
    for (const Plan& plan : place->second.plans)
      if (number >= plan.first && number <= plan.last && (number - plan.first) % plan.every == 0)
        due.push_back(plan);
  }
  for (const Plan& plan : due)
    TROTH_TRY_VOID(carry_out(plan, name, number));
  return {};
}

Status arm(std::string_view specification) {
  TROTH_TRY(auto plans, parse(specification));
  registry().add(std::move(plans));
  return {};
}

void arm_call(std::string_view name, std::function<Status()> action) {
  Plan plan;
  plan.action = Action::Call;
  plan.call = std::move(action);
  registry().add({{std::string(name), std::move(plan)}});
}

void disarm_all() {
  auto held = registry().places.lock();
  held->clear();
  registry().armed.store(false, std::memory_order_release);
}

std::uint64_t hits(std::string_view name) {
  auto held = registry().places.lock();
  const auto place = held->find(name);
  return place == held->end() ? 0 : place->second.hits;
}

}  // namespace common::failpoint
