"""The files of a source tree, and C++ text without its comments and strings."""

import os
import re
import subprocess
from dataclasses import dataclass

# Folders that make up the product; `tests` and `bench` may use whatever they like.
PRODUCT = ("common", "replication", "kdc", "lockserver", "fileserver", "fuse-client", "cli")
SKIPPED_FOLDERS = re.compile(r"^(build[^/]*|subprojects|\.git|\.cache)(/|$)")
CPP = (".cpp", ".hpp", ".c", ".h")

_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|(?P<raw>R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)")"""
    r"""|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<character>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')""", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    text: str
    warning: bool = False

    def __str__(self):
        return f"{self.path}:{self.line}: {'warning: ' if self.warning else ''}{self.rule}: {self.text}"


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text, strings=False):
    """Same length and lines, comments blanked; string and character contents too unless asked."""
    def replace(match):
        quoted = match.lastgroup is not None
        if not quoted:
            return _blank(match.group())
        return match.group() if strings else '"' + _blank(match.group()[1:-1]) + '"'
    return _TOKENS.sub(replace, text)


class Tree:
    """All files below a root that git would track; everything is read once."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self._texts = {}
        self._code = {}
        self.files = sorted(path for path in self._list() if not SKIPPED_FOLDERS.match(path)
                            and os.path.isfile(os.path.join(self.root, path)))

    def _list(self):
        try:
            answer = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "-co", "--exclude-standard"],
                                    check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if os.path.lexists(os.path.join(self.root, ".git")):
                return answer.stdout.decode().split("\0")[:-1]
        except (OSError, subprocess.CalledProcessError):
            pass
        found = []
        for folder, _, names in os.walk(self.root):
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in names]
        return found

    def cpp(self):
        return [path for path in self.files if path.endswith(CPP)]

    def text(self, path):
        """The file's text; empty for what is not text."""
        if path not in self._texts:
            with open(os.path.join(self.root, path), "rb") as file:
                data = file.read()
            self._texts[path] = "" if b"\0" in data else data.decode(errors="replace")
        return self._texts[path]

    def code(self, path):
        """C++ text without comments and strings."""
        if path not in self._code:
            self._code[path] = without_comments(self.text(path))
        return self._code[path]


def top(path):
    return path.split("/")[0]


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def search(tree, paths, pattern, rule, message, code=True):
    """A finding for every match of `pattern`."""
    for path in paths:
        text = tree.code(path) if code else tree.text(path)
        for match in pattern.finditer(text):
            yield Finding(path, line_of(text, match.start()), rule, message.format(match.group().strip()))
