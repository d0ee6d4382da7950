"""Who may include what."""

import re

from .tree import PRODUCT, Finding, top, without_comments

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
_ORDER = re.compile(r"^subdir\('([^']+)'\)|^(common_base_lib)\b", re.MULTILINE)
# The files directly in common/ (results, ids, clock), as one step of the order.
BASE = "(base)"

# Beside itself and common, a product folder may include:
MAY_INCLUDE = {"fileserver": {"replication"}}

# Libraries, where they may be included, and whether only from .cpp files (they are slow to compile).
# Headers of libraries that are in no row may not be included at all; tests and bench are free.
EVERYWHERE = ("",)
LIBRARIES = (
    (re.compile(r"httplib\.h$"), ("common/rpc/",), True),
    (re.compile(r"openssl/"), ("common/crypto/", "common/tls/"), False),
    (re.compile(r"sqlite3\.h$"), ("common/db/",), False),
    (re.compile(r"zstd\.h$"), ("fileserver/store/blocks/",), True),
    (re.compile(r"spdlog/"), ("common/log/",), True),
    (re.compile(r"toml\+\+/|toml\.hpp$"), ("common/config/",), True),
    (re.compile(r"CLI/"), ("cli/command_line.cpp", "lockserver/", "common/completion/", "common/daemon/"), True),
    (re.compile(r"fuse3?/|fuse_lowlevel\.h$|fuse\.h$"), ("fuse-client/",), False),
    (re.compile(r"nlohmann/json_fwd\.hpp$"), EVERYWHERE, False),
    (re.compile(r"nlohmann/"), ("common/wire/", "common/rpc/", "common/fileproto/", "cli/"), True),
    (re.compile(r"systemd/"), ("common/daemon/", "common/log/"), True),
    (re.compile(r"fmt/|tl/expected\.hpp$"), EVERYWHERE, False),
    (re.compile(r"doctest/|benchmark/|rapidcheck"), (), False),
    # The C library and the kernel.
    (re.compile(r"(sys|netinet|arpa|net|linux|asm|bits)/[\w/.-]+\.h$"), EVERYWHERE, False),
    (re.compile(r"(aio|assert|byteswap|ctype|cpuid|dirent|dlfcn|endian|errno|fcntl|fnmatch|getopt|glob|grp|ifaddrs"
                r"|immintrin|inttypes|libgen|limits|locale|malloc|math|mntent|netdb|poll|pthread|pwd|sched|semaphore"
                r"|setjmp|shadow|signal|spawn|stdarg|stddef|stdint|stdio|stdlib|string|strings|syslog|termios|time"
                r"|unistd|utime|wordexp)\.h$"), EVERYWHERE, False),
    # The C++ library.
    (re.compile(r"[a-z_]+$"), EVERYWHERE, False),
    # The sanitizers' own interface.
    (re.compile(r"sanitizer/"), EVERYWHERE, False),
)


def includes_of(tree, path):
    """(line, is quoted, what) for each include."""
    text = without_comments(tree.text(path), strings=True)
    return [(text.count("\n", 0, match.start()) + 1, match.group(1) == '"', match.group(2))
            for match in _INCLUDE.finditer(text)]


def common_order(tree):
    """Folders of common, lowest first, as common/meson.build lists them."""
    if "common/meson.build" not in tree.files:
        return []
    return [match.group(1) or BASE for match in _ORDER.finditer(tree.text("common/meson.build"))]


def _step(path):
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else BASE


def _direction(path, target, order):
    """Why this file may not include that one of ours, or None."""
    own, other = top(path), top(target)
    if own in ("tests", "bench"):
        return None
    if "/" not in target:
        return "name it by its path from the top of the tree"
    if own == "common":
        if other != "common":
            return "common includes nothing of ours outside common"
        mine, its = _step(path), _step(target)
        if mine == its:
            return None
        for step in (mine, its):
            if step not in order:
                return f"common/{step} has no place in the order of common/meson.build"
        if order.index(its) > order.index(mine):
            return f"{its} stands above {mine} in the order of common/meson.build"
        return None
    if other in (own, "common") or other in MAY_INCLUDE.get(own, ()):
        return None
    return f"{own} may include " + ", ".join(sorted({own, "common"} | MAY_INCLUDE.get(own, set()))) + " only"


def include_direction(tree):
    order = common_order(tree)
    for path in tree.cpp():
        if top(path) not in PRODUCT:
            continue
        for line, quoted, target in includes_of(tree, path):
            why = _direction(path, target, order) if quoted else None
            if why:
                yield Finding(path, line, "include-direction", f'"{target}": {why}')


def library_headers(tree):
    for path in tree.cpp():
        if top(path) not in PRODUCT:
            continue
        for line, quoted, target in includes_of(tree, path):
            if quoted:
                continue
            row = next((row for row in LIBRARIES if row[0].match(target)), None)
            if row is None or not path.startswith(row[1] or "\0"):
                where = ", ".join(row[1]) if row and row[1] else "no product folder"
                yield Finding(path, line, "library-header", f"<{target}> is for {where}")
            elif row[2] and path.endswith(".hpp"):
                yield Finding(path, line, "library-header", f"<{target}> is heavy: include it in .cpp files only")
