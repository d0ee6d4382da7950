"""Checks of all sources by clang, without a clang build: what the sanitizer build compiles is parsed
again (nothing is compiled), in parallel, and only if it or something it includes changed. ninja does
the bookkeeping."""
import json
import os
import re
import shlex
import shutil
import subprocess

import builds

# GCC's own words that clang does not know, and what is not needed to parse.
DROPPED = re.compile(r"^(-fsanitize=.*|-fno-sanitize=.*|-fPI[CE]|-fpi[ce]|-pthread|-fstack-protector.*|-ffile-prefix-map=.*|-fno-omit-frame-pointer|-g\d?|-O\S*|-c|-MD|-MQ|-MF|-o|-Werror|-pipe"
                     r"|-Wno-missing-designated-field-initializers|-fdiagnostics-color=.*|--param=.*|-fpch-deps|--include=common/precompiled\.inc"
                     r"|-W(no-)?invalid-pch)$")
THREAD_SAFETY = ["-fsyntax-only", "-Wthread-safety", "-Werror=thread-safety", "-Wno-unknown-warning-option",
                 "-Wno-unused-command-line-argument"]
# What most sources include, parsed once: with these precompiled the check takes half as long. Headers
# whose meaning depends on macros of single folders (spdlog) must not be here.
COMMON_HEADERS = [
    "algorithm", "array", "atomic", "charconv", "chrono", "condition_variable", "cstdint", "cstdio", "cstdlib",
    "cstring", "deque", "exception", "filesystem", "fmt/format.h", "fstream", "functional", "limits", "map", "memory",
    "mutex", "nlohmann/json.hpp", "optional", "random", "span", "sstream", "string", "string_view", "thread",
    "tl/expected.hpp", "unordered_map", "utility", "variant", "vector"]
PRECOMPILED = {"product": COMMON_HEADERS, "tests": COMMON_HEADERS + ["doctest/doctest.h"]}
PRECOMPILED_ARGUMENTS = ["-std=c++20", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-pthread", "-w"]


TOGETHER = re.compile(r"-unity\d+\.cpp$")


def _taken_together(generated, as_one):
    """meson's own sources that include several of ours, compiled as one; else those that they include."""
    for path in generated:
        if TOGETHER.search(path) and as_one:
            yield path
        elif TOGETHER.search(path):
            with open(path, encoding="utf-8") as file:
                for source in re.findall(r'^#include\s*[<"](.+)[>"]', file.read(), re.MULTILINE):
                    yield os.path.normpath(source)


def _our_sources(kind, as_one=False):
    """(source file, compiler arguments) of each source of ours, once, in whatever pieces it is compiled; with
    `as_one` those pieces themselves."""
    with open(os.path.join(builds.directory(kind), "meson-info", "intro-targets.json"), encoding="utf-8") as file:
        targets = json.load(file)
    seen = {}
    for group in (group for target in targets for group in target.get("target_sources", ())):
        if group.get("language") != "cpp":
            continue
        arguments = None
        for source in [*group["sources"], *_taken_together(group.get("generated_sources", ()), as_one)]:
            relative = os.path.relpath(source, builds.ROOT)
            foreign = relative.startswith(("subprojects", "build", "..")) and not TOGETHER.search(source)
            if foreign or not source.endswith(".cpp") or source in seen:
                continue
            if arguments is None:
                arguments = [word for word in group["parameters"] if not DROPPED.match(word)]
            seen[source] = arguments
    return sorted(seen.items())


def _write_if_changed(path, text):
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except OSError:
        pass
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _precompile(folder):
    """ninja's lines that make the precompiled headers, and the name of the one for a source."""
    lines = ["rule precompile", f"  command = clang++ -x c++-header {' '.join(PRECOMPILED_ARGUMENTS)} -MD -MF $out.d "
             "-MT $out -o $out $in", "  depfile = $out.d", "  deps = gcc", "  description = precompile $in"]
    for name, headers in PRECOMPILED.items():
        header = os.path.join(folder, name + ".hpp")
        _write_if_changed(header, "".join(f"#include <{included}>\n" for included in headers))
        lines.append(f"build {header}.pch: precompile {header}")

    def for_source(source):
        root = builds.directory("test") if TOGETHER.search(source) else builds.ROOT
        kind = "tests" if os.path.relpath(source, root).startswith("tests/") else "product"
        return os.path.join(folder, kind + ".hpp.pch")
    return lines, for_source


def _run_ninja(name, rule, sources, precompiled=False):
    """One step for each source; a list of failures."""
    path = builds.directory("test")
    folder = os.path.join(path, name)
    os.makedirs(folder, exist_ok=True)
    lines = [f"builddir = {folder}", "rule check", f"  command = {rule}", "  depfile = $out.d", "  deps = gcc",
             f"  description = {name} $in"]
    if precompiled:
        more, header_of = _precompile(folder)
        lines += more
    for source, arguments in sources:
        stamp = os.path.join(folder, os.path.relpath(source, builds.ROOT).replace("/", "__") + ".ok")
        words = [*arguments, "-pthread"]
        implicit = ""
        if precompiled:
            words += ["-include-pch", header_of(source)]
            implicit = " | " + header_of(source)
        lines += [f"build {stamp}: check {source}{implicit}", f"  args = {' '.join(shlex.quote(word) for word in words)}"]
    with open(os.path.join(folder, "build.ninja"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    done = subprocess.run(["ninja", "-C", path, "-f", os.path.join(folder, "build.ninja"), "-k0",
                           f"-j{builds.jobs()}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode == 0:
        print(f"{name}: {len(sources)} sources are fine")
        return None
    # ninja's progress lines say nothing; what clang says, does.
    print("\n".join(line for line in done.stdout.splitlines() if not re.match(r"^\[\d+/\d+\] ", line)))
    return [line for line in done.stdout.splitlines() if line.startswith("FAILED: ")] or ["ninja failed"]


def _cannot_lock(kind):
    """The sources that the last build compiled without any header of common/sync, where all locks and
    all annotations of them are from."""
    done = subprocess.run(["ninja", "-C", builds.directory(kind), "-t", "deps"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    found = set()
    for block in done.stdout.split("\n\n"):
        head, *files = block.strip().splitlines() or [""]
        files = [os.path.normpath(os.path.join(builds.directory(kind), name.strip())) for name in files]
        locks = os.path.join(builds.ROOT, "common", "sync", "")
        if head.endswith("(VALID)") and files and not any(name.startswith(locks) for name in files):
            found.update(name for name in files if name.endswith(".cpp"))
    return found


def thread_safety(everything=False):
    """Sources in which there can be a lock; with `everything` all, since clang must be able to build them."""
    free = set() if everything else _cannot_lock("test")
    sources = [entry for entry in _our_sources("test", as_one=True) if entry[0] not in free]
    rule = f"clang++ $args {' '.join(THREAD_SAFETY)} -MD -MF $out.d -MT $out $in && touch $out"
    return _run_ninja("thread-safety", rule, sources, precompiled=True)


def clang_tidy():
    if not shutil.which("clang-tidy"):
        return ["clang-tidy is not installed"]
    sources = _our_sources("test")
    # The depfile comes from a preprocessor run, since clang-tidy writes none.
    rule = ("clang++ $args -Wno-unknown-warning-option -w -E -MD -MF $out.d -MT $out -o /dev/null $in && "
            "clang-tidy --quiet --warnings-as-errors='*' $in -- $args -Wno-unknown-warning-option && touch $out")
    return _run_ninja("clang-tidy", rule, sources)
