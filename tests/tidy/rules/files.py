"""What each file and folder needs."""

import json
import os
import re
import subprocess

from .tree import PRODUCT, Finding, line_of, top

LONG_FILE = 400
LONG_FUNCTION = 70
_NOT_A_FUNCTION = re.compile(r"\b(namespace|class|struct|enum|union|extern)\b[^;{}()]*$|=\s*$|^\s*$")


def headers_guard_themselves(tree):
    for path in tree.files:
        if path.endswith(".hpp") and not tree.text(path).startswith("#pragma once\n"):
            yield Finding(path, 1, "pragma-once", "the first line of a header is `#pragma once`")


def folders_have_readmes(tree):
    sources = {top(path) for path in tree.cpp()}
    for folder in PRODUCT:
        if folder in sources and len(tree.text(folder + "/README.md") if folder + "/README.md" in tree.files else "") < 200:
            yield Finding(folder + "/README.md", 1, "readme", "each product folder has a README.md of one page")


def _compiled(build_dir):
    """Paths in the compilation database, relative to the tree, if there is one."""
    try:
        with open(os.path.join(build_dir or "", "compile_commands.json"), encoding="utf-8") as file:
            return {os.path.realpath(os.path.join(entry["directory"], entry["file"])) for entry in json.load(file)}
    except OSError:
        return set()


def everything_is_built(tree, build_dir=None):
    """Sources and tests that no meson.build names are dead, and their tests never run."""
    compiled = _compiled(build_dir)
    builds = {os.path.dirname(path): tree.text(path) for path in tree.files if os.path.basename(path) == "meson.build"}
    for path in tree.files:
        is_test_script = path.startswith("tests/") and path.endswith(("_test.py", "_test.sh"))
        if not (path.endswith((".cpp", ".c")) or is_test_script) or top(path) in ("packaging", "docs"):
            continue
        if os.path.realpath(os.path.join(tree.root, path)) in compiled or _named(path, builds):
            continue
        yield Finding(path, 1, "not-built", "no meson.build names this file")
    for folder in builds:
        parent, name = os.path.split(folder)
        if folder and f"'{name}'" not in builds.get(parent, ""):
            yield Finding(folder + "/meson.build", 1, "not-built", "no subdir() leads here")


def _named(path, builds):
    folder = os.path.dirname(path)
    while True:
        text = builds.get(folder, "")
        relative = os.path.relpath(path, folder or ".")
        if f"'{relative}'" in text or f"'{os.path.splitext(relative)[0]}'" in text:
            return True
        for suffix in ("_test.cpp", "_fuzz.cpp"):  # name + '_test.cpp' in a loop over names
            if relative.endswith(suffix) and f"'{suffix}'" in text and f"'{relative[:-len(suffix)]}'" in text:
                return True
        if not folder:
            return False
        folder = os.path.dirname(folder)


def functions_of(code):
    """(first line, lines) of each outermost block that is neither a type nor a namespace."""
    found, depth_is_function, start = [], [], None
    statement = 0
    for match in re.finditer(r"[{};]", code):
        sign = match.group()
        if sign == "{":
            before = code[statement:match.start()]
            before = re.sub(r"^[ \t]*#.*$", "", before, flags=re.MULTILINE)
            opens = start is None and "(" in before and not _NOT_A_FUNCTION.search(before)
            depth_is_function.append(opens)
            if opens:
                start = statement + len(code[statement:match.start()]) - len(code[statement:match.start()].lstrip())
        elif sign == "}" and depth_is_function:
            if depth_is_function.pop():
                first = line_of(code, start)
                found.append((first, line_of(code, match.start()) - first + 1))
                start = None
        statement = match.end()
    return found


def lengths(tree):
    """Reported, never a failure: a reason in the file's head is for people to judge."""
    for path in tree.files:
        lines = tree.text(path).count("\n")
        if path.endswith((".cpp", ".hpp", ".c", ".py", ".sh")) and lines > LONG_FILE:
            yield Finding(path, 1, "long-file", f"{lines} lines, over {LONG_FILE}: its head should say why", True)
        if path.endswith((".cpp", ".hpp", ".c")):
            for line, count in functions_of(tree.code(path)):
                if count > LONG_FUNCTION:
                    yield Finding(path, line, "long-function", f"{count} lines, over {LONG_FUNCTION}", True)


def formatter_version():
    """Major version of the clang-format that is installed, or None."""
    try:
        answer = subprocess.run(["clang-format", "--version"], check=True, stdout=subprocess.PIPE)
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.search(rb"version (\d+)", answer.stdout)
    return int(match.group(1)) if match else None


def formatted(tree):
    """Only under the version that the project uses: others break lines elsewhere."""
    paths = tree.cpp()
    if not paths or ".clang-format" not in tree.files:
        return
    answer = subprocess.run(["clang-format", "--dry-run", "--Werror", *paths], cwd=tree.root, check=False,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seen = set()
    for match in re.finditer(r"^(\S+?):(\d+):\d+: error: code should be", answer.stderr.decode(errors="replace"),
                             re.MULTILINE):
        if match.group(1) not in seen:
            seen.add(match.group(1))
            yield Finding(match.group(1), int(match.group(2)), "format", "run clang-format -i on this file")
