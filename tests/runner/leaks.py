"""What a test program may leave behind, and how it is found and removed.

Found by id, so that programs running at the same time are not blamed for one another:
  processes         those whose environment holds TROTH_TEST_ID=<id>, and orphans without any id
  mounts            those below the program's own TMPDIR
  namespaces, links those named after the id (tests/support/network_namespace.hpp does so)
  loop devices      those whose backing file lies in TMPDIR
  files             whatever is left in TMPDIR
Without an id: whatever new is called troth* in /tmp, /run or /dev/shm, unless a process made it that this
run did not start (see makers.py). When several programs ran meanwhile, all of them are named, and only
what is still there in the end is a failure.
"""

import ctypes
import fnmatch
import glob
import os
import select
import shutil
import signal
import subprocess
import threading
import time

from . import makers

MARK = "TROTH_TEST_ID="
# How long a killed process may take to be gone after its test program has ended.
GRACE_SECONDS = 2.0
PR_SET_CHILD_SUBREAPER = 36
# Ids given to programs of this run.
issued = set()
# The runner's own tests look elsewhere, since other people's work shows up in these.
SHARED_PATTERNS = os.environ.get(
    "TROTH_TEST_SHARED_PLACES",
    "/tmp/troth*:/run/troth*:/run/user/*/troth*:/dev/shm/troth*:/run/netns/troth*").split(":")


def adopt_orphans():
    """Makes processes whose parent died our children, so that none of them can get away."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def processes_of(test_id):
    """Ids of the live processes that carry the mark."""
    mark = (MARK + test_id).encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            if mark in _read(f"/proc/{name}/environ").split(b"\0"):
                found.append(int(name))
    return found


def _stat_fields(pid):
    """(state, parent) of a process, or None."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (fields[0].decode(), int(fields[1])) if len(fields) > 1 else None


def reap_adopted(known):
    """Collects dead orphans that were handed to us; `known` are the programs somebody waits for."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in known:
            continue
        fields = _stat_fields(name)
        if fields and fields == ("Z", os.getpid()):
            try:
                os.waitpid(int(name), os.WNOHANG)
            except OSError:
                pass


def describe_process(pid):
    command = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    return f"process {pid} ({command[:120] or '?'})"


def wait_gone(pids, seconds):
    """Waits until all are gone or the time is over; returns those that stay."""
    deadline = time.monotonic() + seconds
    left = []
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                left.append(pid)
        finally:
            os.close(handle)
    return left


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    wait_gone(pids, GRACE_SECONDS)


def mounts_below(directory):
    """Mount points below the directory, innermost first."""
    found = []
    for line in _read("/proc/self/mountinfo").decode(errors="replace").splitlines():
        fields = line.split()
        point = fields[4].encode().decode("unicode_escape")
        if point == directory or point.startswith(directory + "/"):
            found.append((point, fields[fields.index("-") + 1]))
    return found[::-1]


def find_and_clean(test_id, directory):
    """Sentences about everything the program left; all of it is gone afterwards."""
    found = []
    left = wait_gone(processes_of(test_id), GRACE_SECONDS)
    found += ["left " + describe_process(pid) for pid in left]
    kill(left)
    for point, kind in mounts_below(directory):
        found.append(f"left a {kind} mount on {point}")
        subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)
    for path in glob.glob(f"/run/netns/*{test_id}*"):
        found.append(f"left network namespace {os.path.basename(path)}")
        subprocess.run(["ip", "netns", "del", os.path.basename(path)], check=False)
    for path in glob.glob(f"/sys/class/net/*{test_id}*"):
        found.append(f"left network interface {os.path.basename(path)}")
        subprocess.run(["ip", "link", "del", os.path.basename(path)], check=False)
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        if _read(path).decode(errors="replace").startswith(directory + "/"):
            device = "/dev/" + path.split("/")[3]
            found.append(f"left loop device {device}")
            subprocess.run(["losetup", "-d", device], check=False)
    names = sorted(os.listdir(directory))
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        found.append("left in its TMPDIR: " + ", ".join(names[:5]) + more)
        for name in names:
            path = os.path.join(directory, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
    return found


def used_by_others(path):
    """Whether a process that none of our programs started works in there: then it is not ours."""
    for link in glob.glob("/proc/[0-9]*/fd/*") + glob.glob("/proc/[0-9]*/cwd"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target == path or target.startswith(path + "/"):
            marks = [entry for entry in _read(link[:link.index("/", 6)] + "/environ").split(b"\0")
                     if entry.startswith(MARK.encode())]
            return not any(entry[len(MARK):].decode() in issued for entry in marks)
    return False


class SharedPlaces:
    """Watches places that all programs share. Safe from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._makers = makers.Makers(
            sorted({folder for folder in map(os.path.dirname, SHARED_PATTERNS) if os.path.isdir(folder)}),
            lambda path: any(fnmatch.fnmatch(path, pattern) for pattern in SHARED_PATTERNS))
        self._known = self._look()
        self._running = {}
        self._suspects = {}

    @staticmethod
    def _look():
        return {path for pattern in SHARED_PATTERNS for path in glob.glob(pattern)}

    def begin(self, number, name):
        with self._lock:
            self._running[number] = name
            self._note()

    def end(self, number):
        """What this program certainly left (it ran alone meanwhile)."""
        with self._lock:
            self._note()
            name = self._running.pop(number)
            mine = [path for path, names in self._suspects.items() if names == {name}]
            for path in mine:
                del self._suspects[path]
                self._known.add(path)
            return [f"left {path}" for path in mine if os.path.lexists(path) and not used_by_others(path)]

    def _note(self):
        for path in self._look() - self._known:
            if not self._makers.made_by_others(path):
                self._suspects.setdefault(path, set(self._running.values()))

    def finish(self):
        with self._lock:
            return [f"{path} was left by one of: {', '.join(sorted(names))}"
                    for path, names in sorted(self._suspects.items())
                    if os.path.lexists(path) and not used_by_others(path)]
