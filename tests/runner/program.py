"""Runs one test program and says what came of each of its test cases.

A program may report its cases in the file named by TROTH_TEST_REPORT, one JSON object a line:
  {"event": "start", "case": name} · {"event": "skip", "case": name, "reason": text}
  {"event": "end", "case": name, "seconds": s, "failed": bool}
All doctest programs do (tests/support/doctest_main.cpp). Any other program is one case; a line
`SKIPPED: where: why` on its output, or exit code 77, makes it a skipped one.
"""

import json
import mmap
import os
import re
import resource
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

from . import leaks

SKIP_EXIT_CODE = 77
# What a program starts may run as another user, who must get to files that are open to him (PASSABLE),
# and whose sanitizer reports must not be lost (DROP_BOX): GCC 14's refuse to start where they cannot.
PASSABLE, DROP_BOX = 0o711, 0o1733
SKIP_LINE = re.compile(r"^SKIPPED: ([^:]*): (.*)$", re.MULTILINE)
# Of a failing program's output, so much is shown; all of it is in BUILD_DIR/test-logs.
SHOWN_BYTES = 64 * 1024
# Reading stacks of a program that hangs may not itself hang.
DEBUGGER_SECONDS = 30

SANITIZERS = {
    # What is freed is kept for 32 MB, not for 256: a fork copies the tables of all that memory, which was two
    # thirds of the time of tests that kill a child at every write.
    "ASAN_OPTIONS": "halt_on_error=1:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99"
                    ":quarantine_size_mb=32",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:exitcode=99",
}

# Where the kernel says for how long processes have waited for a processor; the runner's own tests say it.
PRESSURE = os.environ.get("TROTH_TEST_PRESSURE", "/proc/pressure/cpu")
STARVED_SPEED = 0.2
CLOCK_SECONDS = 5.0  # how often the clock of a running program is set

_running_lock = threading.RLock()  # a signal may interrupt who holds it
_running = {}  # process id -> test id
_stopped = threading.Event()  # no program is started any more


@dataclass
class Test:
    name: str
    command: list
    environment: dict
    directory: str
    timeout: float
    alone: bool
    suites: list


@dataclass
class Case:
    name: str
    outcome: str  # passed, failed, skipped
    seconds: float
    reason: str = ""


@dataclass
class Outcome:
    name: str
    seconds: float = 0.0
    cases: list = field(default_factory=list)
    output: str = ""
    log: str = ""

    def add_failure(self, name, reason):
        self.cases.append(Case(name, "failed", 0.0, reason))

    def add_leak(self, text):
        self.add_failure("leaves nothing behind", text)

    def failed(self):
        return [case for case in self.cases if case.outcome == "failed"]

    @staticmethod
    def of_leaks(name, texts):
        outcome = Outcome(name)
        for text in texts:
            outcome.add_leak(text)
        return outcome


def is_doctest(path):
    """Whether the program holds doctest's own text."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            return image[:4] == b"\x7fELF" and image.find(b"[doctest] ") >= 0
    except (OSError, ValueError):
        return False


def _environment(test, test_id, directories, build_dir):
    """The caller's environment, and what each test gets as its own."""
    own, sanitizer_log, case_report = directories
    result = dict(os.environ)
    result.update(test.environment)
    result.update({
        "TROTH_TEST_ID": test_id, "TROTH_TEST_REPORT": case_report, "TROTH_BUILD_DIR": build_dir,
        "TMPDIR": own, "HOME": own, "XDG_RUNTIME_DIR": own, "LC_ALL": "C.UTF-8",
        "MALLOC_PERTURB_": "165", "PYTHONDONTWRITEBYTECODE": "1"})
    for name, value in SANITIZERS.items():
        # Reports of processes that the program starts would otherwise end in pipes nobody reads.
        result.setdefault(name, f"{value}:log_path={sanitizer_log}")
    return result


def _stacks(pid, test_id):
    """Where a program that took too long stands."""
    text = []
    for process in leaks.processes_of(test_id) or [pid]:
        text.append(f"--- {leaks.describe_process(process)}")
    try:
        text.append(subprocess.run(
            ["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "thread apply all backtrace 24"], check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=DEBUGGER_SECONDS).stdout.decode(errors="replace"))
    except (OSError, subprocess.TimeoutExpired):
        text.append("(no stacks: gdb is not installed or took too long)")
    return "\n".join(text)


def _kill_group(pid, test_id):
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
    leaks.kill(leaks.processes_of(test_id))


def _reap_orphans():
    with _running_lock:
        leaks.reap_adopted(set(_running))


def kill_everything():
    """Kills all programs that run now, and everything they started. None is started any more."""
    _stopped.set()
    with _running_lock:
        current = dict(_running)
    for pid, test_id in current.items():
        _kill_group(pid, test_id)


def _read_cases(path):
    """(finished cases, name of the case that was running at the end or None)."""
    cases, open_case, skips = [], None, {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            events = [json.loads(line) for line in file if line.endswith("\n")]
    except OSError:
        return [], None
    for event in events:
        name = event["case"]
        if event["event"] == "start":
            open_case = name
        elif event["event"] == "skip":
            skips[name] = event["reason"]
        else:
            open_case = None
            outcome = "failed" if event["failed"] else "skipped" if name in skips else "passed"
            cases.append(Case(name, outcome, event["seconds"], skips.pop(name, "")))
    return cases, open_case


def _judge(outcome, test, code, report_path, output, doctest, selected):
    """Turns exit code, report and output into cases. Only if some were selected may there be none."""
    cases, open_case = _read_cases(report_path)
    outcome.cases += cases
    if doctest or cases:
        if open_case is not None:
            outcome.add_failure(open_case, f"was running when the program ended ({_say_code(code)})")
        elif code != 0 and not outcome.failed():
            outcome.add_failure("ends well", _say_code(code))
        elif not cases and code == 0 and not selected:
            outcome.add_failure("has test cases", "no test case ran")
        return
    skipped = SKIP_LINE.findall(output)
    if code == SKIP_EXIT_CODE or (code == 0 and skipped):
        reason = "; ".join(reason for _, reason in skipped) or "no reason given"
        outcome.cases.append(Case(test.name, "skipped", outcome.seconds, reason))
    else:
        outcome.cases.append(Case(test.name, "passed" if code == 0 else "failed", outcome.seconds,
                                  "" if code == 0 else _say_code(code)))


def _say_code(code):
    if code is None:
        return "timed out"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _starved_seconds():
    """For how long somebody on this machine has waited for a processor, since it started."""
    try:
        with open(PRESSURE, encoding="ascii") as file:
            return int(re.search(r"^some .*total=(\d+)", file.read(), re.MULTILINE).group(1)) / 1e6
    except (OSError, AttributeError):
        return 0.0


def _wait(child, timeout):
    """The program's exit code; TimeoutExpired. A machine that others use as well is no program's fault: while
    somebody waits for a processor, the time counts a fifth."""
    used, at, starved = 0.0, time.monotonic(), _starved_seconds()
    while True:
        try:
            return child.wait(max(0.0, min(CLOCK_SECONDS, timeout - used)))
        except subprocess.TimeoutExpired:
            now, now_starved = time.monotonic(), _starved_seconds()
            used += now - at - min(now - at, now_starved - starved) * (1 - STARVED_SPEED)
            at, starved = now, now_starved
            if used >= timeout:
                raise


def run(test, number, scratch, build_dir, case_pattern):
    """Runs one program to its end or its timeout. Blocks; called from worker threads."""
    test_id = os.urandom(4).hex()
    leaks.issued.add(test_id)
    own = os.path.join(scratch, str(number))
    hidden = os.path.join(scratch, f"{number}.d")
    for directory, mode in ((own, PASSABLE), (hidden, DROP_BOX)):
        os.mkdir(directory, 0o700)
        os.chmod(directory, mode)  # whatever the umask is
    sanitizer_log, report_path = os.path.join(hidden, "sanitizer"), os.path.join(hidden, "cases")
    outcome = Outcome(test.name)
    logs = os.path.join(build_dir, "test-logs")
    os.makedirs(logs, exist_ok=True)
    outcome.log = os.path.join(logs, test.name.replace("/", "_") + ".txt")
    doctest = is_doctest(test.command[0])
    command = test.command + (["-tc=" + case_pattern] if doctest and case_pattern else [])
    begin = time.monotonic()
    code = None
    try:
        # Under the lock: a program that nobody has registered yet would look like an orphan, and whoever
        # collects orphans would take its exit code away.
        with open(outcome.log, "wb") as log, _running_lock:
            if _stopped.is_set():
                outcome.add_failure("starts", "the run was stopped")
                return outcome
            child = subprocess.Popen(
                command, cwd=test.directory or build_dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=_environment(test, test_id, (own, sanitizer_log, report_path), build_dir),
                start_new_session=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
            _running[child.pid] = test_id
    except OSError as error:
        outcome.add_failure("starts", f"{error}; build it with: ninja -C {os.path.basename(build_dir)}")
        return outcome
    try:
        code = _wait(child, test.timeout)
    except subprocess.TimeoutExpired:
        stacks = _stacks(child.pid, test_id)
        _kill_group(child.pid, test_id)
        child.wait()
        with open(outcome.log, "a", encoding="utf-8") as log:
            log.write(f"\ntimed out after {test.timeout:.0f} s\n{stacks}\n")
    outcome.seconds = time.monotonic() - begin
    with _running_lock:
        del _running[child.pid]
    _reap_orphans()
    leaked = leaks.find_and_clean(test_id, own)
    _reap_orphans()
    with open(outcome.log, "a+", encoding="utf-8", errors="replace") as log:
        for name in sorted(os.listdir(hidden)):
            if name.startswith("sanitizer"):
                with open(os.path.join(hidden, name), encoding="utf-8", errors="replace") as file:
                    log.write(f"\n--- report of process {name.partition('.')[2]}\n{file.read()}\n")
                outcome.add_failure("keeps the sanitizers quiet", f"report of process {name.partition('.')[2]}")
        log.seek(0)
        output = log.read()
    _judge(outcome, test, code, report_path, output, doctest, bool(case_pattern))
    for text in leaked:
        outcome.add_leak(text)
    if outcome.failed():
        outcome.output = output[-SHOWN_BYTES:]
    return outcome
