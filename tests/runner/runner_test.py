#!/usr/bin/env python3
"""Tests of tests/run.py: it is run on made-up build directories whose programs misbehave."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

RUN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run.py")
LINGER = "exec sleep 1000"  # a process that stays until it is killed


class RunnerTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.build = os.path.join(self.directory.name, "b")
        os.makedirs(os.path.join(self.build, "meson-info"))
        self.tests = []

    def add(self, name, script, timeout=20, suite="unit", parallel=True):
        self.tests.append({"name": name, "cmd": ["/bin/bash", "-c", script], "env": {}, "suite": ["troth:" + suite],
                           "workdir": None, "timeout": timeout, "is_parallel": parallel})

    def run_all(self, *arguments, environment=None):
        """(exit code, output, {program: [case]}) of a run of the added tests."""
        with open(os.path.join(self.build, "meson-info", "intro-tests.json"), "w", encoding="utf-8") as file:
            json.dump(self.tests, file)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TROTH_TEST", "ASAN", "UBSAN", "TSAN"))}
        environment = {**inherited, "TROTH_TEST_PRESSURE": "/dev/null", **(environment or {})}
        environment["TROTH_TEST_SHARED_PLACES"] = os.path.join(self.directory.name, "troth*")
        answer = subprocess.run([sys.executable, RUN, self.build, *arguments], env=environment, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        output = answer.stdout.decode()
        with open(os.path.join(self.build, "test-results.json"), encoding="utf-8") as file:
            results = json.load(file)
        self.assertEqual(output.splitlines()[-1],
                         "{passed} passed, {failed} failed, {skipped} skipped".format(**results))
        return answer.returncode, output, {p["name"]: p["cases"] for p in results["programs"]}

    def only_failure(self, cases):
        failed = [case for case in cases if case["outcome"] == "failed"]
        self.assertEqual(len(failed), 1, cases)
        return failed[0]["name"] + ": " + failed[0]["reason"]

    def test_counts_passed_failed_and_skipped(self):
        self.add("good", "true")
        self.add("bad", "echo what went wrong; exit 3")
        self.add("skips", "echo 'SKIPPED: here.cpp: no such device'")
        code, output, cases = self.run_all()
        self.assertEqual(code, 1)
        self.assertTrue(output.endswith("1 passed, 1 failed, 1 skipped\n"), output)
        self.assertIn("what went wrong", output)
        self.assertIn("no such device", output)
        self.assertIn("exit code 3", self.only_failure(cases["bad"]))

    def test_a_clean_run_exits_with_zero_and_keeps_a_skip_visible(self):
        self.add("good", "true")
        self.add("skips", "exit 77")
        code, output, _ = self.run_all()
        self.assertEqual(code, 0)
        self.assertTrue(output.endswith("1 passed, 0 failed, 1 skipped\n"), output)

    def test_cases_come_from_the_report_and_a_crash_is_blamed_on_the_running_case(self):
        self.add("reports", """
            echo '{"event": "start", "case": "one"}' >> $TROTH_TEST_REPORT
            echo '{"event": "end", "case": "one", "seconds": 0.5, "failed": false}' >> $TROTH_TEST_REPORT
            echo '{"event": "start", "case": "two"}' >> $TROTH_TEST_REPORT
            kill -SEGV $$""")
        _, output, cases = self.run_all()
        self.assertEqual([c["outcome"] for c in cases["reports"]], ["passed", "failed"])
        self.assertIn("two: was running when the program ended (killed by SIGSEGV)", output)

    def test_a_bad_end_after_good_cases_is_a_failure(self):
        self.add("reports", """
            echo '{"event": "start", "case": "one"}' >> $TROTH_TEST_REPORT
            echo '{"event": "end", "case": "one", "seconds": 0.5, "failed": false}' >> $TROTH_TEST_REPORT
            exit 99""")
        _, _, cases = self.run_all()
        self.assertEqual(self.only_failure(cases["reports"]), "ends well: exit code 99")

    def test_a_process_left_behind_is_found_and_killed(self):
        pid_file = os.path.join(self.directory.name, "pid")
        self.add("leaves", f"( setsid bash -c 'echo $$ > {pid_file}; {LINGER}' & ) ; until [ -s {pid_file} ]; do :; done")
        _, _, cases = self.run_all()
        self.assertIn("left process", self.only_failure(cases["leaves"]))
        with open(pid_file, encoding="utf-8") as file:
            self.assertFalse(os.path.exists("/proc/" + file.read().strip()))

    def test_leaks_of_a_failed_test_are_found_too(self):
        self.add("leaves", "echo x > $TMPDIR/left; exit 1")
        _, output, cases = self.run_all()
        self.assertEqual(len(cases["leaves"]), 2)
        self.assertIn("left in its TMPDIR: left", output)

    def test_a_program_that_hangs_is_killed_with_everything_it_started(self):
        pid_file = os.path.join(self.directory.name, "pid")
        self.add("hangs", f"bash -c 'echo $$ > {pid_file}; {LINGER}' & wait", timeout=1)
        _, output, cases = self.run_all()
        self.assertIn("timed out", self.only_failure(cases["hangs"]))
        self.assertIn("timed out after 1 s", output)
        with open(pid_file, encoding="utf-8") as file:
            self.assertFalse(os.path.exists("/proc/" + file.read().strip()))

    def test_a_sanitizer_report_of_a_child_is_a_failure(self):
        self.add("child", """
            path=${ASAN_OPTIONS##*log_path=}
            echo 'ERROR: heap-use-after-free' > $path.4711""")
        _, output, cases = self.run_all()
        self.assertIn("keeps the sanitizers quiet", self.only_failure(cases["child"]))
        self.assertIn("heap-use-after-free", output)

    def test_a_child_that_became_somebody_else_reports_and_reaches_what_is_open_to_it(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        self.add("child", """
            mkdir -m 755 $TMPDIR/open && echo reached > $TMPDIR/open/file
            path=${ASAN_OPTIONS##*log_path=}
            setpriv --reuid=65534 --regid=65534 --clear-groups bash -c \
              'cat $TMPDIR/open/file; ls $TMPDIR && echo too much; echo ERROR: of nobody > '$path.4711
            rm -r $TMPDIR/open""")
        _, output, cases = self.run_all()
        self.assertIn("keeps the sanitizers quiet", self.only_failure(cases["child"]))
        self.assertIn("ERROR: of nobody", output)
        self.assertIn("reached", output)
        self.assertNotIn("too much", output)

    def test_new_troth_files_in_shared_places_are_a_failure(self):
        path = os.path.join(self.directory.name, "troth-left")
        self.add("leaves", "touch " + path)
        _, _, cases = self.run_all()
        self.assertEqual(self.only_failure(cases["leaves"]), "leaves nothing behind: left " + path)

    def test_a_shared_place_that_somebody_else_uses_is_not_blamed_on_a_test(self):
        path = os.path.join(self.directory.name, "troth-used")
        before = os.path.join(self.directory.name, "before")
        os.mkdir(before)
        handle = os.open(before, os.O_RDONLY)  # this process, which is no test's, works in it
        self.addCleanup(os.close, handle)
        self.add("innocent", f"mv {before} {path}")
        self.assertEqual(self.run_all()[0], 0)

    def test_a_shared_place_that_somebody_else_made_is_not_blamed_on_a_test(self):
        if os.geteuid() != 0:
            self.skipTest("only root is told who makes files")
        own = self.directory.name
        for name in ("begin", "made"):
            os.mkfifo(os.path.join(own, name))

        def make():  # in this process, which no run has started
            with open(os.path.join(own, "begin"), encoding="ascii") as begin:
                begin.read()
            os.mkdir(os.path.join(own, "troth-theirs"))
            with open(os.path.join(own, "made"), "w", encoding="ascii") as made:
                made.write("x\n")

        maker = threading.Thread(target=make)
        maker.start()
        self.add("innocent", f"echo x > {own}/begin; read y < {own}/made")
        code, output, _ = self.run_all()
        maker.join()
        self.assertEqual(code, 0, output)

    def test_time_in_which_others_have_the_processors_counts_a_fifth(self):
        pressure = os.path.join(self.directory.name, "pressure")
        begin, over = time.monotonic(), threading.Event()

        def starve():  # as if somebody had waited all the time
            while not over.is_set():
                with open(pressure + ".new", "w", encoding="ascii") as file:
                    file.write(f"some avg10=99.00 total={int((time.monotonic() - begin) * 1e6)}\nfull total=0\n")
                os.rename(pressure + ".new", pressure)
                over.wait(0.01)

        starving = threading.Thread(target=starve)
        starving.start()
        self.add("slow", "mkfifo $TMPDIR/f; exec 9<>$TMPDIR/f; rm $TMPDIR/f; read -t 2 -u 9 || true", timeout=1)
        self.add("hangs", LINGER, timeout=1)
        _, output, cases = self.run_all(environment={"TROTH_TEST_PRESSURE": pressure})
        over.set()
        starving.join()
        self.assertEqual([case["outcome"] for case in cases["slow"]], ["passed"], output)
        self.assertIn("timed out", self.only_failure(cases["hangs"]))

    def test_a_run_that_is_told_to_stop_starts_nothing_more(self):
        own = self.directory.name
        os.mkfifo(os.path.join(own, "runs"))
        self.add("first", f"echo x > {own}/runs; {LINGER}")
        for number in range(3):
            self.add(f"later-{number}", f"touch {own}/started")
        with open(os.path.join(self.build, "meson-info", "intro-tests.json"), "w", encoding="utf-8") as file:
            json.dump(self.tests, file)
        environment = dict(os.environ, TROTH_TEST_SHARED_PLACES=os.path.join(own, "troth*"))
        with subprocess.Popen([sys.executable, RUN, self.build, "--jobs", "1"], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            with open(os.path.join(own, "runs"), encoding="ascii") as runs:
                runs.read()
            run.terminate()
            self.assertEqual(run.wait(60), 128 + signal.SIGTERM)
        self.assertFalse(os.path.exists(os.path.join(own, "started")))

    def test_serial_programs_run_alone(self):
        own = self.directory.name
        os.mkfifo(os.path.join(own, "fifo-a"))
        os.mkfifo(os.path.join(own, "fifo-b"))
        # The two meet at the fifos, so they really run at the same time.
        self.add("alone", f"[ -e {own}/a.done -a -e {own}/b.done ]", suite="serial")
        self.add("first", f"echo x > {own}/fifo-a; read y < {own}/fifo-b; touch {own}/a.done")
        self.add("second", f"read y < {own}/fifo-a; echo x > {own}/fifo-b; touch {own}/b.done")
        code, output, _ = self.run_all("--jobs", "2")
        self.assertEqual(code, 0, output)

    def test_choosing_by_suite_filter_and_quick(self):
        self.add("one", "true", suite="unit")
        self.add("two", "true", suite="scenario")
        self.assertEqual(set(self.run_all("--suite", "scenario")[2]), {"two"})
        self.assertEqual(set(self.run_all("--filter", "^o")[2]), {"one"})
        self.assertEqual(set(self.run_all("--quick")[2]), {"one"})
        self.assertIn("4 passed", self.run_all("--repeat", "2")[1])

    def test_a_case_that_no_program_has_is_a_failure(self):
        # What makes a program doctest's for the runner is the text in it.
        fake = os.path.join(self.directory.name, "fake")
        shutil.copy("/bin/bash", fake)
        with open(fake, "ab") as file:
            file.write(b"[doctest] ")
        self.add("other", "true")
        for name in ("one", "two"):
            self.add(name, f"""
                [ "$0" = -tc={name} ] || exit 0
                echo '{{"event": "start", "case": "{name}"}}' >> $TROTH_TEST_REPORT
                echo '{{"event": "end", "case": "{name}", "seconds": 0.5, "failed": false}}' >> $TROTH_TEST_REPORT""")
            self.tests[-1]["cmd"][0] = fake
        code, output, _ = self.run_all("--case", "one")
        self.assertEqual((code, output.splitlines()[-1]), (0, "1 passed, 0 failed, 0 skipped"))
        code, output, _ = self.run_all("--case", "three")
        self.assertEqual((code, output.splitlines()[-1]), (2, "0 passed, 0 failed, 0 skipped"))
        self.assertIn("no test case matches 'three'", output)

    def test_a_program_that_is_not_built_is_a_failure(self):
        self.add("missing", "true")
        self.tests[0]["cmd"] = [os.path.join(self.build, "not-there")]
        _, output, cases = self.run_all()
        self.assertIn("starts", self.only_failure(cases["missing"]))
        self.assertIn("ninja", output)

    def test_the_junit_file_tells_the_same(self):
        self.add("bad", "printf 'a\\001b'; exit 1")
        self.add("good", "true")
        path = os.path.join(self.directory.name, "junit.xml")
        self.run_all("--junit", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn('failures="1"', text)
        self.assertIn("a?b", text)

    @unittest.skipUnless(os.geteuid() == 0, "mounts need root")
    def test_a_mount_left_behind_is_found_and_unmounted(self):
        self.add("mounts", "mkdir $TMPDIR/m && mount -t tmpfs mine$TROTH_TEST_ID $TMPDIR/m && echo mine$TROTH_TEST_ID > "
                 + os.path.join(self.directory.name, "name"))
        _, output, cases = self.run_all()
        self.assertEqual(len([c for c in cases["mounts"] if c["outcome"] == "failed"]), 2)
        self.assertIn("left a tmpfs mount", output)
        with open(os.path.join(self.directory.name, "name"), encoding="utf-8") as name:
            with open("/proc/self/mounts", encoding="utf-8") as file:
                self.assertNotIn(name.read().strip(), file.read())

    @unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
    def test_a_network_namespace_left_behind_is_found_and_deleted(self):
        self.add("names", "ip netns add tt$TROTH_TEST_ID-0")
        _, output, _ = self.run_all()
        self.assertIn("left network namespace tt", output)
        self.assertEqual(glob.glob("/run/netns/tt*-0"), [])


if __name__ == "__main__":
    unittest.main()
