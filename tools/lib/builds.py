#!/usr/bin/env python3
"""The standing builds: where each lives, how it is configured, what it makes.

    builds.py KIND [--suite PREFIX] [--installed] [--print-path] [TARGET ...]

Configures the build directory if needed and builds the named programs (default: everything),
progress on stderr. Used by tools/test, bench, soak and up, so that all agree.
"""
import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MEMORY_PER_JOB = 1_200 << 20  # the heaviest sources take 700 MB under a sanitizer

# Line tables only: enough for stacks, and a third less to write and link.
LINES_ONLY = "-Dcpp_args=-g1"
KINDS = {
    # Every test, under the sanitizers that find most.
    "test": ("build-test", "gcc", ["-Db_sanitize=address,undefined", "-Dwerror=true", "-Doptimization=1",
                                   "-Dprecompiled=true", LINES_ONLY]),
    # The same with the checks that cost most to compile (see meson.build).
    "ub": ("build-ub", "gcc", ["-Db_sanitize=address,undefined", "-Devery_ub_check=true", "-Dwerror=true", LINES_ONLY]),
    # What is installed, run and measured. Whoever installs it may have a compiler that warns of more.
    "release": ("build-release", "gcc", ["--buildtype=release", "-Doptimization=2", "-Dprecompiled=true"]),
    # Optimised, with assertions.
    "soak": ("build-soak", "gcc", ["-Db_ndebug=false", LINES_ONLY]),
    "tsan": ("build-tsan", "gcc", ["-Db_sanitize=thread", "-Dwerror=true", "-Doptimization=1", LINES_ONLY]),
    "fuzz": ("build-fuzz", "clang", ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true", LINES_ONLY]),
}

# In the compiler's command line, so that they hold for a plain `ninja` in the build directory, too:
# what was compiled in one clone serves another wherever it lies, and what was not is not preprocessed
# first only to learn that.
CCACHE = ("CCACHE_BASEDIR=" + shlex.quote(ROOT), "CCACHE_NOHASHDIR=1", "CCACHE_DEPEND=1")


class BuildError(Exception):
    """Configuring or compiling failed; what the tools printed has been shown."""


def jobs():
    cores = len(os.sched_getaffinity(0))
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return cores
    return max(1, min(cores, available // MEMORY_PER_JOB))


def directory(kind):
    return os.path.join(ROOT, KINDS[kind][0])


def _environment(kind):
    c_compiler = KINDS[kind][1]
    cpp_compiler = {"gcc": "g++", "clang": "clang++"}[c_compiler]
    # meson adds ccache only to compilers of its own choice.
    cached = f"env {' '.join(CCACHE)} ccache " if shutil.which("ccache") else ""
    result = dict(os.environ, CC=cached + c_compiler, CXX=cached + cpp_compiler)
    if shutil.which("ld.lld"):
        result.update(CC_LD="lld", CXX_LD="lld")
    return result


def _run(command, environment=None):
    # Progress must not mix with the JSON line that the program run afterwards prints.
    code = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode
    if code != 0:
        raise BuildError(f"{command[0]} ended with {code}")


# For a build of everything from nothing; see meson.build.
TOGETHER = ["-Dtogether=true"]


def configure(kind, everything=False):
    """Make the build directory, or make it again if it was made with other options. How a new one is
    made depends on whether `everything` is going to be built."""
    where, _, options = KINDS[kind]
    path, stamp = directory(kind), os.path.join(directory(kind), ".troth-options")
    wanted = json.dumps([kind, options, _environment(kind)["CXX"]])
    try:
        with open(stamp, encoding="utf-8") as file:
            if file.read() == wanted:
                return path
    except OSError:
        pass
    shutil.rmtree(path, ignore_errors=True)
    quiet = os.path.join(ROOT, where + ".configure.log")
    with open(quiet, "wb") as log:
        done = subprocess.run(["meson", "setup", path, ROOT, *options, *(TOGETHER if everything else ())], env=_environment(kind),
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        with open(quiet, encoding="utf-8", errors="replace") as log:
            sys.stderr.write("".join(log.readlines()[-30:]))
        raise BuildError(f"meson setup of {where} failed")
    os.remove(quiet)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(wanted)
    return path


def targets(kind):
    """({name: path} of the executables, paths of everything of ours that is installed)."""
    with open(os.path.join(directory(kind), "meson-info", "intro-targets.json"), encoding="utf-8") as file:
        entries = json.load(file)
    programs = {entry["name"]: entry["filename"][0] for entry in entries if entry["type"] == "executable"}
    installed = [path for entry in entries if entry.get("installed") and not entry.get("subproject")
                 for path in entry["filename"]]
    return programs, installed


def compile_targets(kind, paths=(), keep_going=False):
    path = directory(kind)
    command = ["ninja", "-C", path, f"-j{jobs()}"] + (["-k0"] if keep_going else [])
    _run(command + [os.path.relpath(target, path) for target in paths], _environment(kind))


def refresh(kind):
    """Let meson see changed build files before its list of targets is read."""
    compile_targets(kind, [os.path.join(directory(kind), "build.ninja")])


def suites(kind, prefix):
    """Names of the programs that begin with the prefix, without it, as people type them."""
    programs, _ = targets(kind)
    return sorted(name[len(prefix):].replace("_", "-") for name in programs if name.startswith(prefix))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--suite", metavar="PREFIX", help="targets are suites: PREFIX is put in front")
    parser.add_argument("--installed", action="store_true", help="build what is installed")
    parser.add_argument("--print-path", action="store_true", help="print the paths of the programs built")
    options = parser.parse_intermixed_args()
    try:
        configure(options.kind)
        refresh(options.kind)
        programs, installed = targets(options.kind)
        wanted = []
        for name in options.targets:
            full = (options.suite or "") + name
            full = full if full in programs else full.replace("-", "_")
            if not re.fullmatch(r"[\w.+-]+", name) or full not in programs:
                known = suites(options.kind, options.suite) if options.suite else sorted(programs)
                print(f"unknown suite '{name}'; known: {', '.join(known) or 'none yet'}", file=sys.stderr)
                return 2
            wanted.append(programs[full])
        compile_targets(options.kind, installed if options.installed else wanted)
        if options.print_path:
            print("\n".join(wanted))
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
