"""What may not be written."""

import io
import os
import re
import subprocess
import tokenize

from .tree import PRODUCT, Finding, line_of, search, top

_MUTEX = re.compile(r"\bstd::(recursive_|shared_)?(timed_)?mutex\b|\bstd::condition_variable(_any)?\b"
                    r"|\bpthread_(mutex|cond|rwlock)_\w+")
_SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep)\b|(?<![\w.>])(::)?sleep[ ]*\(")
_PYTHON_SLEEP = re.compile(r"\btime\.sleep\b|\basyncio\.sleep\b|\bimport sleep\b")
_SHELL_SLEEP = re.compile(r"^[ \t]*sleep[ \t]+[0-9.$]|[;&|][ \t]*sleep[ \t]+[0-9.$]", re.MULTILINE)
_OPEN_DATABASE = re.compile(r"\bsqlite3_open(_v2|16)?\b")
_SHELL_OUT = re.compile(r"(?<![\w.>:])(std::|::)?(system|popen)[ ]*\(")
_NOLINT = re.compile(r"NOLINT\w*(\([^)\n]+\))?(?P<reason>[ ]*(:|--)[ ]*\S.{7,})?")
_TODO = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
_DUE = re.compile(r"TODO[(:]?[ ]*(when|once|if|until|after|as soon as|before)\b", re.IGNORECASE)
# Written so that this file does not match itself.
_CHECKOUT = re.compile(r"(?<![\w./-])/wor[k]/|/tmp/w[t]/|(?<![\w./-])/home/\w+/(src|git|work|code)/")
# Words about who or what wrote a change instead of about the change.
_WORDS = re.compile(r"\b(the (brie[f])\b|helper (sessio[n])|(claud[e])\b|(anthropi[c])|(chatgp[t])|language mode[l]"
                    r"|as an A[I]\b|this sessio[n]'s|sub-?agen[t]s?\b)", re.IGNORECASE)
# Debian's and Ubuntu's own hosts may be named; the mirror a machine happens to use may not.
_PUBLIC_HOST = re.compile(r"(^|\.)(debian\.org|ubuntu\.com|debian\.net)$")


def bare_mutexes(tree):
    paths = [path for path in tree.cpp() if not path.startswith("common/sync/")]
    return search(tree, paths, _MUTEX, "bare-mutex", "{}: use common/sync (Mutex, CondVar, Locked)")


def _python_code(text):
    """Python text without comments and strings, lines kept."""
    lines = [""] * (text.count("\n") + 2)
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NAME, tokenize.OP):
                spaced = " " if token.type == tokenize.NAME and lines[token.start[0] - 1][-1:].isidentifier() else ""
                lines[token.start[0] - 1] += spaced + token.string
    except (tokenize.TokenError, IndentationError):
        return text
    return "\n".join(lines)


def sleeps_in_tests(tree):
    message = "{}: wait for a condition with a deadline, or move a ManualClock"
    paths = [path for path in tree.files if top(path) == "tests"]
    yield from search(tree, [path for path in paths if path in set(tree.cpp())], _SLEEP, "sleep-in-test", message)
    yield from search(tree, [path for path in paths if path.endswith(".sh")], _SHELL_SLEEP, "sleep-in-test", message,
                      code=False)
    for path in paths:
        if path.endswith(".py"):
            code = _python_code(tree.text(path))
            for match in _PYTHON_SLEEP.finditer(code):
                yield Finding(path, line_of(code, match.start()), "sleep-in-test", message.format(match.group()))


def one_database_opener(tree):
    paths = [path for path in tree.cpp() if top(path) in PRODUCT and not path.startswith("common/db/")]
    return search(tree, paths, _OPEN_DATABASE, "database-opener", "{}: only common/db opens databases")


def no_shell_from_product(tree):
    paths = [path for path in tree.cpp() if top(path) in PRODUCT]
    return search(tree, paths, _SHELL_OUT, "shell-out", "{}...): product code starts no shell")


def lint_exemptions_have_reasons(tree):
    for path in tree.cpp():
        text = tree.text(path)
        for match in _NOLINT.finditer(text):
            if not match["reason"] and "END" not in match.group():
                yield Finding(path, line_of(text, match.start()), "lint-exemption",
                              "write it as NOLINT(check-name): the reason")


def todos_name_a_condition(tree):
    for path in tree.files:
        if path.startswith("tests/tidy/") or not (path in set(tree.cpp()) or path.endswith((".py", ".sh", ".build"))):
            continue
        text = tree.text(path)
        for match in _TODO.finditer(text):
            if not _DUE.match(text[match.start():match.start() + 60]):
                yield Finding(path, line_of(text, match.start()), "todo",
                              "name the condition that makes it due: TODO(when ...)")


def machine_hosts():
    """Hosts in this machine's package configuration that mean nothing elsewhere."""
    hosts = set()
    for folder in ("/etc/apt", "/etc/apt/sources.list.d"):
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            try:
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                    hosts.update(re.findall(r"https?://(?:[^/@\s]*@)?([\w.-]+)", file.read()))
            except OSError:
                continue
    return {host for host in hosts if "." in host and not _PUBLIC_HOST.search(host)}


def nothing_of_this_machine(tree):
    hosts = machine_hosts()
    checkout = tree.root if tree.root.count("/") >= 2 and len(tree.root) >= 8 else None
    for path in tree.files:
        text = tree.text(path)
        for match in _CHECKOUT.finditer(text):
            yield Finding(path, line_of(text, match.start()), "machine", f"path of one machine: {match.group()}")
        for needle in [*hosts, *([checkout + "/"] if checkout else [])]:
            if needle in text:
                yield Finding(path, line_of(text, text.index(needle)), "machine", f"belongs to one machine: {needle}")


def words(tree):
    for path in tree.files:
        text = tree.text(path)
        for match in _WORDS.finditer(text):
            yield Finding(path, line_of(text, match.start()), "words", f"'{match.group()}' has no place in the tree")


def commit_messages(root, commits):
    """Findings about the messages of a range of commits (not part of the test: history stays)."""
    log = subprocess.run(["git", "-C", root, "log", "--no-merges", "--format=%h%x00%B%x01", commits], check=True,
                         stdout=subprocess.PIPE).stdout.decode(errors="replace")
    for entry in filter(str.strip, log.split("\x01")):
        name, _, message = entry.strip().partition("\0")
        lines = message.strip().splitlines()
        if len(lines[0]) > 72 or not re.match(r"[\w./, -]+: [A-Z]", lines[0]):
            yield Finding(name, 1, "commit", f"subject is not 'folder: Imperative summary' in 72 columns: {lines[0]}")
        if len(lines) > 1 and lines[1]:
            yield Finding(name, 2, "commit", "the second line is not empty")
        for match in _WORDS.finditer(message):
            yield Finding(name, line_of(message, match.start()), "commit", f"'{match.group()}' in the message")
