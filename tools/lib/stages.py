#!/usr/bin/env python3
"""The stages of tools/test, after packages and subprojects are in place.

Each stage is one thing that can pass or fail; the tests count one by one. A failed stage does not
keep later ones from running where they still can. The last line is the count of everything.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import builds  # noqa: E402
import checks  # noqa: E402

ROOT = builds.ROOT
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
WARN_SECONDS = 12 * 60       # the limit is 15 minutes; growth should be noticed before
PROGRAM_SECONDS = 20         # --help and --version, also on a busy machine
FUZZ_SECONDS = 30            # for each target
LONG_SOAK_SECONDS = 60
SLOWEST = 10


class Report:
    """What came of each stage, and how long it took."""

    def __init__(self, started):
        self.started = started
        self.passed = self.failed = self.skipped = 0
        self.seconds = []
        self.failures = []

    def time(self, name, seconds):
        self.seconds.append((name, seconds))

    def count(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def run(self, name, stage, *arguments):
        """One stage; it returns None, or a list of failures (sentences), or raises BuildError."""
        print(f"\n=== {name}", flush=True)
        begin = time.time()
        try:
            failures = stage(*arguments) or []
        except (builds.BuildError, subprocess.SubprocessError, OSError) as error:
            failures = [str(error)]
        self.time(name, time.time() - begin)
        if failures:
            self.failed += len(failures)
            self.failures += [f"{name}: {failure}" for failure in failures]
            for failure in failures:
                print(f"FAILED {name}: {failure}", flush=True)
        else:
            self.passed += 1
        return not failures

    def print(self):
        print("\nSeconds of each stage:")
        for name, seconds in self.seconds:
            print(f"  {seconds:7.1f} s  {name}")
        total = time.time() - self.started
        print(f"  {total:7.1f} s  in all")
        if self.failures:
            print("\nFailed stages:")
            for failure in self.failures:
                print(f"  {failure}")
        if total > WARN_SECONDS:
            print(f"\nWARNING: this took {total / 60:.1f} minutes, more than {WARN_SECONDS // 60}; the limit is 15.")
        print(f"\n{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0


def run_tests(report, kind, *arguments):
    """tests/run.py on a build; its cases are added to the count, its closing line is held back."""
    command = [sys.executable, os.path.join(ROOT, "tests", "run.py"), builds.directory(kind), *arguments]
    counts = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL) as child:
        for line in child.stdout:
            match = CLOSING.match(line.rstrip("\n"))
            if match:
                counts = [int(number) for number in match.groups()]
            else:
                print(line, end="", flush=True)
    if counts is None:
        return [f"tests/run.py ended with {child.returncode} and no count"]
    report.count(*counts)
    print(f"{kind}: {counts[0]} cases passed, {counts[1]} failed, {counts[2]} skipped")
    if child.returncode != 0 and counts[1] == 0:
        return [f"tests/run.py ended with {child.returncode}"]
    return None


def build(kind, installed_only=False, prefix=None):
    """Everything, what is installed, or the programs whose names begin with the prefix."""
    builds.configure(kind, everything=kind in ("test", "release"))
    builds.refresh(kind)
    programs, installed = builds.targets(kind)
    wanted = installed if installed_only else ()
    if prefix:
        wanted = [path for name, path in sorted(programs.items()) if name.startswith(prefix)]
    builds.compile_targets(kind, wanted, keep_going=True)


def slowest_files(kind):
    """The longest steps of the last build, from ninja's own log."""
    steps = {}
    try:
        with open(os.path.join(builds.directory(kind), ".ninja_log"), encoding="utf-8") as file:
            for line in file:
                fields = line.rstrip("\n").split("\t")
                if len(fields) == 5:
                    steps[fields[3]] = (int(fields[1]) - int(fields[0])) / 1000
    except OSError:
        return
    print("\nSlowest files to build (when they were last built):")
    for name, seconds in sorted(steps.items(), key=lambda step: -step[1])[:SLOWEST]:
        print(f"  {seconds:7.1f} s  {re.sub(r'[^/]*[.]p/', '', name)}")


def answers(program, argument, environment=None):
    """What is wrong with the program's answer to --help or --version, or None."""
    done = subprocess.run([program, argument], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PROGRAM_SECONDS, env=environment, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        return f"{os.path.basename(program)} {argument} ended with {done.returncode}: {done.stdout[-300:]!r}"
    return None


def smoke():
    """Installs the release build into an empty tree and runs each program from there."""
    path = builds.directory("release")
    with tempfile.TemporaryDirectory(prefix="troth-smoke-") as tree:
        done = subprocess.run(["meson", "install", "-C", path, "--no-rebuild", "--quiet", "--skip-subprojects"],
                              env=dict(os.environ, DESTDIR=tree), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            return [f"meson install failed: {done.stdout[-600:]}"]
        programs, files = [], 0
        for folder, _, names in os.walk(tree):
            files += len(names)
            programs += [os.path.join(folder, name) for name in names if os.path.basename(folder) in ("bin", "sbin")]
        # Nothing of the build tree may be needed: no loader path, no file beside the program.
        environment = {"PATH": os.pathsep.join({os.path.dirname(program) for program in programs}), "LC_ALL": "C.UTF-8"}
        failures = [answers(program, argument, environment)
                    for program in sorted(programs) for argument in ("--help", "--version")]
        print(f"installed {files} files; {len(programs)} programs answer --help and --version")
        return [failure for failure in failures if failure]


def fuzz():
    """Each fuzz target for a while, from its committed corpus."""
    build("fuzz", prefix="fuzz_")
    programs, _ = builds.targets("fuzz")
    failures = []
    for name, path in sorted(programs.items()):
        if not name.startswith("fuzz_"):
            continue
        corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name[len("fuzz_"):])
        with tempfile.TemporaryDirectory(prefix="troth-fuzz-") as found:
            command = [path, f"-max_total_time={FUZZ_SECONDS}", f"-artifact_prefix={found}/", found]
            done = subprocess.run(command + ([corpus] if os.path.isdir(corpus) else []), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                  timeout=FUZZ_SECONDS * 4, check=False)
            print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
            if done.returncode != 0:
                kept = os.path.join(builds.directory("fuzz"), "found", name)
                shutil.copytree(found, kept, dirs_exist_ok=True)
                print(done.stdout[-4000:])
                failures.append(f"{name}: input kept in {kept}")
    return failures


def long_soaks():
    """Every soak for a minute; the same programs that tools/soak runs."""
    build("soak", prefix="soak_")
    programs, _ = builds.targets("soak")
    failures = []
    for name, path in sorted(programs.items()):
        if name.startswith("soak_"):
            done = subprocess.run([path, "--seconds", str(LONG_SOAK_SECONDS)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True, timeout=LONG_SOAK_SECONDS * 10, check=False)
            last = done.stdout.strip().splitlines()[-1:] or ["no output"]
            print(f"{name}: {last[0]}", flush=True)
            if done.returncode != 0:
                failures.append(f"{name} ended with {done.returncode}: {last[0]}")
    return failures


def stages(report, options):
    fine = report.run("build with sanitizers", build, "test")
    selection = ["--quick"] if options.quick else [] if options.all else ["--no-suite", "slow"]
    # Also after a failed build: what was built can tell more. What was not counts as failed there.
    if fine or os.path.exists(os.path.join(builds.directory("test"), "meson-info", "intro-tests.json")):
        report.run("tests", run_tests, report, "test", *selection)
        report.run("clang thread safety", checks.thread_safety, options.all)
    if not options.quick:
        if report.run("release build", build, "release", True):
            report.run("release smoke test", smoke)
    if options.all:
        if report.run("build with thread sanitizer", build, "tsan"):
            report.run("tests under thread sanitizer", run_tests, report, "tsan", "--timeout-factor", "3",
                       *(word for suite in ("unit", "contract", "scenario") for word in ("--suite", suite)))
        if report.run("build with every undefined-behaviour check", build, "ub"):
            report.run("tests with every undefined-behaviour check", run_tests, report, "ub", "--no-suite", "slow",
                       "--no-suite", "tidy")
        report.run("clang-tidy", checks.clang_tidy)
        report.run("fuzzers", fuzz)
        report.run("long soaks", long_soaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--started", type=float, default=time.time())
    parser.add_argument("--packages-done", type=float, default=time.time())
    options = parser.parse_args()
    report = Report(options.started)
    report.time("packages", options.packages_done - options.started)
    report.time("subprojects", time.time() - options.packages_done)
    stages(report, options)
    slowest_files("test")
    return report.print()


if __name__ == "__main__":
    sys.exit(main())
