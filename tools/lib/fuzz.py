#!/usr/bin/env python3
"""Runs fuzz targets for a while: fuzz.py PREFIX ... [--seconds N] [--seed S]

All libFuzzer targets whose name begins with fuzz_ and a PREFIX, one after the other, each from its committed
corpus and for its share of the seconds. Progress on stderr; the last line of stdout is one JSON object
with `executions`, `violations` and both for each target; exit code 1 if there are any. An input that
violates something is kept in the build directory, which is named on stderr.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import builds  # noqa: E402

EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
LAST_PULSE = re.compile(r"^#(\d+)\s", re.MULTILINE)  # where a finding kept the statistics from being printed
SLACK_SECONDS = 180
# By the clock, not by the processor: by then an input must have ended, though the machine may stand
# still now and then.
STUCK_SECONDS = 120


def run(name, path, seconds, seed):
    """(executions, violations) of one target."""
    corpus = os.path.join(builds.ROOT, "tests", "fuzz", "corpus", name[len("fuzz_"):])
    with tempfile.TemporaryDirectory(prefix="troth-fuzz-") as found:
        command = [path, f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1",
                   f"-timeout={STUCK_SECONDS}", f"-artifact_prefix={found}/found-", found] + ([corpus] if os.path.isdir(corpus) else [])
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", timeout=seconds + SLACK_SECONDS, check=False)
            output, failed = done.stdout, done.returncode != 0
        except subprocess.TimeoutExpired as error:
            output, failed = (error.stdout or b"").decode(errors="replace"), True
        counts = EXECUTIONS.findall(output) or LAST_PULSE.findall(output)
        executions = int(counts[-1]) if counts else 0
        print(f"{name}: {executions} executions, {'FAILED' if failed else 'ok'}", file=sys.stderr, flush=True)
        if failed:
            kept = os.path.join(builds.directory("fuzz"), "found", name)
            os.makedirs(kept, exist_ok=True)
            for entry in os.listdir(found):
                if entry.startswith("found-"):
                    shutil.copy(os.path.join(found, entry), kept)
            print(f"{output[-4000:]}\ninput kept in {kept}", file=sys.stderr)
        # A target that ran nothing has shown nothing.
        return executions, 1 if failed or executions == 0 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("prefixes", nargs="+")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        builds.configure("fuzz")
        builds.refresh("fuzz")
        programs, _ = builds.targets("fuzz")
        wanted = tuple("fuzz_" + prefix for prefix in options.prefixes)
        chosen = {name: path for name, path in sorted(programs.items()) if name.startswith(wanted)}
        builds.compile_targets("fuzz", chosen.values())
    except builds.BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    share = max(1, options.seconds // max(1, len(chosen)))
    results = {name: run(name, path, share, options.seed) for name, path in chosen.items()}
    violations = sum(count for _, count in results.values()) + (0 if results else 1)
    print(json.dumps({"executions": sum(count for count, _ in results.values()), "violations": violations,
                      "targets": {name: {"executions": runs, "violations": bad}
                                  for name, (runs, bad) in results.items()}}))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
