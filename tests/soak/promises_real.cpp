// Five clients that cache by promises and a file server, all real processes in networks of their
// own, while they are killed, stopped, cut off, slowed down and told the wrong time: nobody may see
// what is old, lose what was acknowledged, find anything twice, or half of it.
//
//   soak_promises_real [--seconds N] [--seed S] [--brief 1] [--plant NAME]
//
// --brief: short leases, faults close together. --plant: a client or the server is wrong in that
// way; the run ends when it has been found, and fails if it has not ("--plant list" names them).
// Last line: {"ops":..,"faults":{..},"stale":..,"lost":..,"duplicated":..,"torn":..,
// "violations":..}

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/soak/promises/client.hpp"
#include "tests/soak/promises/isolated.hpp"
#include "tests/soak/promises/run.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (!args.empty() && args[0] == "--client")
    return promises_real::client_main(args);
  promises_real::RunOptions options;
  const auto plants = promises_real::all_plants();
  bool good = args.size() % 2 == 0;
  for (std::size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--seconds")
      options.seconds = std::max(std::atoi(args[i + 1].c_str()), 5);
    else if (args[i] == "--seed")
      options.seed = std::strtoull(args[i + 1].c_str(), nullptr, 10);
    else if (args[i] == "--brief")
      options.brief = args[i + 1] == "1";
    else if (args[i] == "--plant")
      options.plant = args[i + 1];
    else
      good = false;
  }
  const bool list = options.plant == "list";
  if (list) {
    for (const std::string& name : plants)
      std::printf("%s\n", name.c_str());
    return 0;
  }
  if (!options.plant.empty() &&
      std::find(plants.begin(), plants.end(), options.plant) == plants.end())
    good = false;
  if (!good) {
    std::fprintf(stderr,
                 "usage: soak_promises_real [--seconds N] [--seed S] [--brief 1] "
                 "[--plant NAME]\n");
    return 2;
  }
  const int code = promises_real::run_isolated(
      [&](const std::string& scratch) { return promises_real::run(options, scratch); });
  if (options.plant.empty() || code == 77)
    return code;
  // What was planted had to be found.
  return code == promises_real::kFound ? 0 : 1;
}
