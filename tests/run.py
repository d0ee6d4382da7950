#!/usr/bin/env python3
"""Runs the tests of a build directory and ends with `N passed, N failed, N skipped`.

    tests/run.py BUILD_DIR [--suite unit] [--filter REGEX] [--case PATTERN] [--repeat N] [--quick]

Programs run in parallel, one per core, but those of suite 'serial' (or meson's is_parallel: false)
alone, afterwards. What is counted are test cases, not programs. After each program the machine is
searched for what it left behind (see runner/leaks.py); a leak is a failure. Nothing is built here:
run ninja first, or use tools/test.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from runner import leaks, program, report  # noqa: E402

# Suites left out by --quick: they start several processes, mount, or run for long.
NOT_QUICK = {"scenario", "mount", "soak", "slow", "serial"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("build_dir")
    parser.add_argument("--suite", action="append", default=[], help="only tests of this suite (repeatable)")
    parser.add_argument("--no-suite", action="append", default=[], help="no tests of this suite (repeatable)")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only programs whose name matches")
    parser.add_argument("--case", default="", metavar="PATTERN", help="only doctest cases that match (doctest -tc=)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run everything N times")
    parser.add_argument("--quick", action="store_true", help="without " + ", ".join(sorted(NOT_QUICK)))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--timeout-factor", type=float, default=1.0, metavar="X", help="multiply every timeout")
    parser.add_argument("--junit", metavar="FILE", help="also write JUnit XML")
    parser.add_argument("--results", metavar="FILE", help="result file (default BUILD_DIR/test-results.json)")
    parser.add_argument("--list", action="store_true", help="name the chosen programs and stop")
    return parser.parse_args()


def introspect(build_dir):
    """The tests of the build directory, as meson knows them."""
    path = os.path.join(build_dir, "meson-info", "intro-tests.json")
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError:
        pass
    answer = subprocess.run(["meson", "introspect", "--tests", build_dir], check=True, stdout=subprocess.PIPE)
    return json.loads(answer.stdout)


def choose(tests, options):
    """The tests asked for, as program.Test, in the order meson lists them."""
    chosen = []
    for entry in tests:
        suites = {name.rpartition(":")[2] for name in entry.get("suite", [])}
        if options.suite and not suites & set(options.suite):
            continue
        if suites & set(options.no_suite) or (options.quick and suites & NOT_QUICK):
            continue
        if options.filter and not re.search(options.filter, entry["name"]):
            continue
        if options.case and not program.is_doctest(entry["cmd"][0]):
            continue
        chosen.append(program.Test(
            name=entry["name"], command=entry["cmd"], environment=entry.get("env") or {},
            directory=entry.get("workdir"), timeout=max(1, entry.get("timeout") or 30) * options.timeout_factor,
            alone=not entry.get("is_parallel", True) or "serial" in suites, suites=sorted(suites)))
    return chosen


def longest_first(tests, results_path):
    """So that the slowest program does not start last; times are those of the run before."""
    try:
        with open(results_path, encoding="utf-8") as file:
            before = {entry["name"]: entry["seconds"] for entry in json.load(file)["programs"]}
    except (OSError, ValueError, KeyError):
        before = {}
    return sorted(tests, key=lambda test: -before.get(test.name, test.timeout))


class Session:
    """One run: hands programs out, prints what they did, keeps what they reported."""

    def __init__(self, options, scratch):
        self.options = options
        self.scratch = scratch
        self.lock = threading.Lock()
        self.started = 0
        self.outcomes = []
        self.watch = leaks.SharedPlaces()

    def run(self, test):
        with self.lock:
            self.started += 1
            number = self.started
        self.watch.begin(number, test.name)
        outcome = program.run(test, number, self.scratch, self.options.build_dir, self.options.case)
        for text in self.watch.end(number):
            outcome.add_leak(text)
        with self.lock:
            self.outcomes.append(outcome)
            report.print_outcome(outcome, sys.stdout)

    def run_all(self, tests):
        together = [test for test in tests if not test.alone]
        alone = [test for test in tests if test.alone]
        with ThreadPoolExecutor(max_workers=max(1, self.options.jobs)) as pool:
            for future in [pool.submit(self.run, test) for test in together]:
                future.result()
        for test in alone:
            self.run(test)
        leftovers = self.watch.finish()
        if leftovers:
            self.outcomes.append(program.Outcome.of_leaks("what no program cleaned up", leftovers))
            report.print_outcome(self.outcomes[-1], sys.stdout)


def stop_on_signal(number, _frame):
    """A stopped run leaves nothing behind either."""
    program.kill_everything()
    sys.exit(128 + number)


def main():
    options = parse_arguments()
    options.build_dir = os.path.abspath(options.build_dir)
    results_path = options.results or os.path.join(options.build_dir, "test-results.json")
    tests = choose(introspect(options.build_dir), options)
    if options.list:
        for test in tests:
            print(f"{test.name}  [{', '.join(test.suites)}]")
        return 0
    if not tests:
        print("no test matches", file=sys.stderr)
        print("0 passed, 0 failed, 0 skipped")
        return 2
    leaks.adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    # Short, because the path of a UNIX socket has room for 107 bytes only.
    scratch = tempfile.mkdtemp(prefix="tt-")
    os.chmod(scratch, program.PASSABLE)
    begin = time.monotonic()
    session = Session(options, scratch)
    try:
        session.run_all(longest_first(tests, results_path) * options.repeat)
    finally:
        program.kill_everything()
        shutil.rmtree(scratch, ignore_errors=True)
    summary = report.Summary(session.outcomes, time.monotonic() - begin)
    summary.write_json(results_path)
    if options.junit:
        summary.write_junit(options.junit)
    none = options.case and not summary.passed + summary.failed + summary.skipped
    if none:
        print(f"no test case matches '{options.case}'", file=sys.stderr)
    summary.print(sys.stdout)
    return 2 if none else 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
