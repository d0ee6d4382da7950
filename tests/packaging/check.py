#!/usr/bin/env python3
"""Checks what packaging/ installs: check.py (verify|security|man) BUILD_DIR

verify    systemd-analyze finds nothing to say about the units
security  no unit is more exposed than it has to be
man       every page formats without a warning, and those of the servers name every setting
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Most exposure, in tenths, that a unit may have. The mount's is what is left when it must run as
# root, hold CAP_SYS_ADMIN and share the host's mount namespace; its unit says why, point by point.
MOST_EXPOSURE = {
    "troth-kdc.service": 20,
    "troth-lockserver.service": 20,
    "troth-fileserver.service": 20,
    "troth-mount@.service": 42,
}
SERVERS = ["kdc", "lockserver", "fileserver"]


def skip(reason):
    print(f"SKIPPED: {sys.argv[0]}: {reason}")
    sys.exit(77)


def fail(text):
    print(text)
    sys.exit(1)


def run(*command):
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)


def units(build, into):
    """Copies of the built units that start the programs of the build directory."""
    places = {"troth-kdc": "kdc", "troth-lockserver": "lockserver", "troth-fileserver": "fileserver",
              "troth-mount": "fuse-client"}
    made = []
    for name in MOST_EXPOSURE:
        with open(os.path.join(build, "packaging", "systemd", name), encoding="utf-8") as file:
            text = file.read()
        text, count = re.subn(
            r"^ExecStart=\S*/(troth-\w+)",
            lambda match: f"ExecStart={build}/{places[match[1]]}/{match[1]}", text, flags=re.MULTILINE)
        if count != 1:
            fail(f"{name}: expected one ExecStart of a program of ours")
        made.append(os.path.join(into, name))
        with open(made[-1], "w", encoding="utf-8") as file:
            file.write(text)
    return made


def verify(build, into):
    # Pages are not installed where the units are built.
    result = run("systemd-analyze", "verify", "--man=no", *units(build, into))
    if result.returncode != 0 or result.stdout.strip():
        fail(f"systemd-analyze verify, exit code {result.returncode}:\n{result.stdout}")


def security(build, into):
    for unit in units(build, into):
        name = os.path.basename(unit)
        result = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
        overall = re.search(r"Overall exposure level for .*: ([0-9.]+)", result.stdout)
        if not overall:
            skip(f"this systemd-analyze cannot judge a file: {result.stdout.strip()[:200]}")
        print(f"{name}: {overall[1]}")
        if round(float(overall[1]) * 10) > MOST_EXPOSURE[name]:
            fail(f"{name}: exposure {overall[1]} is more than {MOST_EXPOSURE[name] / 10}:\n{result.stdout}")


def settings_of(build, role):
    result = run(os.path.join(build, role, f"troth-{role}"), "--help")
    return re.findall(r"^  ([a-z0-9_]+)(?: = |  \(required\))", result.stdout, flags=re.MULTILINE)


def man(build, _into):
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    pages = glob.glob(os.path.join(source, "packaging", "man", "*.[158]"))
    pages += glob.glob(os.path.join(build, "packaging", "man", "*.[158]"))
    if len(pages) < 8:
        fail(f"expected at least 8 pages, found {pages}")
    with open(os.path.join(source, "packaging", "man", "troth-server.toml.5"), encoding="utf-8") as file:
        described = set(re.findall(r"^\.It Va (\w+)", file.read(), flags=re.MULTILINE))
    known = set()  # some settings are one server's alone
    for role in SERVERS:
        settings = set(settings_of(build, role))
        if settings - described:
            fail(f"troth-server.toml.5 does not describe {sorted(settings - described)} of troth-{role}")
        known |= settings
    if described - known:
        fail(f"no server knows {sorted(described - known)}, which troth-server.toml.5 describes")
    if not shutil.which("groff"):
        skip("groff is not installed")
    for page in pages:
        result = run("groff", "-mdoc", "-Tutf8", "-ww", "-z", page)
        if result.returncode != 0 or result.stdout.strip():
            fail(f"{page}:\n{result.stdout}")


def main():
    checks = {"verify": verify, "security": security, "man": man}
    check, build = checks[sys.argv[1]], os.path.abspath(sys.argv[2])
    if check is not man and not shutil.which("systemd-analyze"):
        skip("systemd-analyze is not installed")
    with tempfile.TemporaryDirectory() as into:
        check(build, into)


if __name__ == "__main__":
    main()
