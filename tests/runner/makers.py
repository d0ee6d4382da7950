"""Who makes files in directories that everybody may write to. The kernel tells only root (fanotify);
without that nobody is known to have made anything."""

import ctypes
import os
import select
import struct
import threading

FAN_CLOEXEC, FAN_NONBLOCK, FAN_REPORT_DFID_NAME = 0x1, 0x2, 0xC00
FAN_MARK_ADD, FAN_MARK_ONLYDIR = 0x1, 0x8
FAN_MOVED_TO, FAN_CREATE, FAN_ONDIR = 0x80, 0x100, 0x40000000
AT_FDCWD = -100
EVENT = struct.Struct("=IBBHQii")  # length, version, -, length of this, mask, fd, pid
# Of what follows: the kind and length of the record, the file system's id, the handle's length and kind.
RECORD = struct.Struct("=BBHQIi")
ANCESTORS = 100  # more than any process has


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None


def is_foreign(pid):
    """Whether the process lives, and neither is this one nor descends from it."""
    for _ in range(ANCESTORS):
        if pid is None or pid == os.getpid():
            return False
        if pid <= 1:
            return True
        pid = _parent(pid)
    return False


class Makers:
    """Notes, from now on, which names in the directories were made by foreign processes that lived on for a
    moment at least. Safe from any thread; the thread that listens ends with the program."""

    def __init__(self, directories, wanted):
        self._wanted = wanted  # whether a path is worth noting
        self._lock = threading.Lock()
        self._foreign = set()
        self._watched = {}
        self._poll = select.poll()
        for directory in directories:
            self._watch(directory)
        if self._watched:
            threading.Thread(target=self._listen, daemon=True).start()

    def made_by_others(self, path):
        with self._lock:
            for descriptor in self._watched:
                self._read(descriptor)
            return path in self._foreign

    def _watch(self, directory):
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            descriptor = libc.fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME, os.O_RDONLY)
        except AttributeError:
            return
        if descriptor < 0:
            return
        if libc.fanotify_mark(descriptor, FAN_MARK_ADD | FAN_MARK_ONLYDIR,
                              ctypes.c_uint64(FAN_CREATE | FAN_MOVED_TO | FAN_ONDIR), AT_FDCWD,
                              os.fsencode(directory)) != 0:
            os.close(descriptor)
            return
        self._watched[descriptor] = directory
        self._poll.register(descriptor, select.POLLIN)

    def _listen(self):
        while True:
            for descriptor, _ in self._poll.poll():
                with self._lock:
                    self._read(descriptor)

    def _read(self, descriptor):
        while True:
            try:
                data = os.read(descriptor, 65536)
            except BlockingIOError:
                return
            at = 0
            while at + EVENT.size <= len(data):
                length, _, _, head, _, _, pid = EVENT.unpack_from(data, at)
                self._note(self._watched[descriptor], data[at + head:at + length], pid)
                at += max(length, EVENT.size)

    def _note(self, directory, record, pid):
        if len(record) < RECORD.size:
            return
        name = record[RECORD.size + RECORD.unpack_from(record)[4]:].partition(b"\0")[0]
        path = os.path.join(directory, os.fsdecode(name))
        if not self._wanted(path):
            return
        if is_foreign(pid):
            self._foreign.add(path)
        else:
            self._foreign.discard(path)
