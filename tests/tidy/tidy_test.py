#!/usr/bin/env python3
"""Plants one violation of each tidy rule in a tree of its own, and sees it found; and harmless
look-alikes, and sees them left alone."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402
from rules import files, text  # noqa: E402
from rules.tree import without_comments  # noqa: E402

ORDER = """subdir('sync')
common_base_lib = static_library('common_base')
subdir('io')
subdir('db')
subdir('rpc')
"""
# What tidy asks for apart from the planted thing.
CLEAN = {
    "meson.build": "subdir('common')\nsubdir('kdc')\nsubdir('fileserver')\nsubdir('tests')\n",
    "common/meson.build": ORDER, "kdc/meson.build": "['a.cpp']", "fileserver/meson.build": "['a.cpp']",
    "tests/meson.build": "['a_test.cpp', 'x_test.py']",
    **{folder + "/README.md": "What this folder is for, in words. " * 10 for folder in ("common", "kdc", "fileserver")},
}


class TidyTest(unittest.TestCase):
    def findings(self, planted, failures_only=True):
        """rule names found in a clean tree with these files planted"""
        os.environ.pop("TROTH_TEST_REPORT", None)
        with tempfile.TemporaryDirectory() as root:
            for path, content in {**CLEAN, **planted}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(content)
            return [f.rule for f in tidy.check(root)[0] if not (failures_only and f.warning)]

    def planted(self, rule, path, content):
        self.assertEqual(self.findings({path: content}), [rule], content)

    def harmless(self, path, content):
        self.assertEqual(self.findings({path: content}), [], content)

    def test_the_clean_tree_is_clean(self):
        self.assertEqual(self.findings({}), [])

    def test_include_direction_between_folders(self):
        self.planted("include-direction", "kdc/a.cpp", '#include "fileserver/x.hpp"\n')
        self.planted("include-direction", "kdc/a.cpp", '#include "tests/support/test.hpp"\n')
        self.planted("include-direction", "kdc/a.cpp", '#include "replication/x.hpp"\n')
        self.planted("include-direction", "kdc/a.cpp", '#include "x.hpp"\n')
        self.planted("include-direction", "common/io/a.hpp", '#pragma once\n#include "kdc/x.hpp"\n')
        self.harmless("fileserver/a.cpp", '#include "replication/x.hpp"\n#include "common/rpc/x.hpp"\n')
        self.harmless("kdc/a.cpp", '// #include "fileserver/x.hpp"\n#include "kdc/x.hpp"\n')
        self.harmless("tests/a_test.cpp", '#include "kdc/x.hpp"\n#include "fileserver/x.hpp"\n')

    def test_include_direction_inside_common(self):
        self.planted("include-direction", "common/io/a.hpp", '#pragma once\n#include "common/db/x.hpp"\n')
        self.planted("include-direction", "common/sync/a.hpp", '#pragma once\n#include "common/result.hpp"\n')
        self.planted("include-direction", "common/result.hpp", '#pragma once\n#include "common/io/x.hpp"\n')
        self.planted("include-direction", "common/drawer/a.hpp", '#pragma once\n#include "common/io/x.hpp"\n')
        self.harmless("common/db/a.hpp", '#pragma once\n#include "common/io/x.hpp"\n#include "common/ids.hpp"\n')

    def test_library_headers(self):
        self.planted("library-header", "kdc/a.cpp", "#include <sqlite3.h>\n")
        self.planted("library-header", "kdc/a.cpp", "#include <openssl/evp.h>\n")
        self.planted("library-header", "kdc/a.cpp", "#include <nlohmann/json.hpp>\n")
        self.planted("library-header", "kdc/a.cpp", "#include <boost/any.hpp>\n")
        self.planted("library-header", "kdc/a.cpp", "#include <doctest/doctest.h>\n")
        self.planted("library-header", "common/rpc/a.hpp", "#pragma once\n#include <httplib.h>\n")
        self.harmless("common/rpc/a.hpp", "#pragma once\n#include <nlohmann/json_fwd.hpp>\n#include <sys/socket.h>\n")
        self.harmless("kdc/a.cpp", "#include <unistd.h>\n#include <fmt/format.h>\n#include <vector>\n")
        self.harmless("tests/a_test.cpp", "#include <sqlite3.h>\n")

    def test_sleeps(self):
        self.planted("sleep-in-test", "tests/a_test.cpp", "void f() { std::this_thread::sleep_for(x); }\n")
        self.planted("sleep-in-test", "tests/a_test.cpp", "void f() { usleep(5); }\n")
        self.planted("sleep-in-test", "tests/a_test.cpp", "void f() { ::sleep(5); }\n")
        self.planted("sleep-in-test", "tests/x_test.py", "import time\ntime.sleep(1)\n")
        self.planted("sleep-in-test", "tests/x.sh", "true\nsleep 1\n")
        self.harmless("tests/a_test.cpp", "// sleep_for is not used\nauto x = \"sleep(5)\";\n")
        self.harmless("tests/x_test.py", 'text = "time.sleep(1)"\n')

    def test_bare_mutexes(self):
        for name in ("mutex", "shared_mutex", "recursive_mutex", "timed_mutex", "condition_variable"):
            self.planted("bare-mutex", "kdc/a.cpp", f"std::{name} m;\n")
        self.harmless("common/sync/a.hpp", "#pragma once\nstd::mutex m;\n")
        self.harmless("kdc/a.cpp", "// std::mutex\ncommon::Mutex m;\n")

    def test_databases_and_shells(self):
        self.planted("database-opener", "kdc/a.cpp", "void f() { sqlite3_open_v2(a, b, c, d); }\n")
        self.planted("shell-out", "kdc/a.cpp", 'void f() { std::system("ls"); }\n')
        self.planted("shell-out", "kdc/a.cpp", 'void f() { popen("ls", "r"); }\n')
        self.harmless("kdc/a.cpp", "std::system_error e;\nvoid f() { clock.system(); }\n")

    def test_exemptions_and_todos(self):
        self.planted("lint-exemption", "kdc/a.cpp", "int x;  // NOLINT\n")
        self.planted("lint-exemption", "kdc/a.cpp", "int x;  // NOLINT(some-check)\n")
        self.planted("todo", "kdc/a.cpp", "// TO" + "DO: make this better\n")
        self.planted("todo", "kdc/a.cpp", "// FIX" + "ME\n")
        self.harmless("kdc/a.cpp", "int x;  // NOLINT(some-check): the C library asks for it\n")
        self.harmless("kdc/a.cpp", "// TO" + "DO(when tickets exist): check them here\n")

    def test_machine_paths_and_words(self):
        self.planted("machine", "docs/a.md", "see /wor" + "k/main/x\n")
        self.planted("words", "docs/a.md", "as the bri" + "ef says\n")
        self.harmless("docs/a.md", "a network/wor" + "k/x, /tmp, /run/troth; a brief remark\n")

    def test_a_mirror_of_this_machine_may_not_be_named(self):
        for host in sorted(text.machine_hosts()):
            self.planted("machine", "docs/a.md", f"from https://{host}/x\n")

    def test_files_and_folders(self):
        self.planted("pragma-once", "kdc/a.hpp", "// words first\n#pragma once\n")
        self.planted("not-built", "kdc/b.cpp", "int x;\n")
        self.planted("not-built", "tests/y_test.py", "x = 1\n")
        self.planted("not-built", "kdc/sub/meson.build", "\n")
        self.assertEqual(self.findings({"kdc/README.md": "short", "kdc/a.cpp": "int x;\n"}), ["readme"])

    def test_lengths_are_warnings(self):
        lines = "  work();\n" * 71
        body = f"void f() {{\n{lines}}}\n"
        self.assertEqual(self.findings({"kdc/a.cpp": body}), [])
        self.assertEqual(self.findings({"kdc/a.cpp": body}, False), ["long-function"])
        self.assertEqual(self.findings({"kdc/a.cpp": "int x;\n" * 401}, False), ["long-file"])
        self.assertEqual(self.findings({"kdc/a.cpp": "namespace kdc {\n" + "int x;\n" * 100 + "}\n"}, False), [])

    @unittest.skipUnless(files.formatter_version() == tidy.FORMATTER, "another clang-format, or none")
    def test_formatting(self):
        style = {".clang-format": "BasedOnStyle: Google\n"}
        self.assertEqual(self.findings({**style, "kdc/a.cpp": "int   x ;\n"}), ["format"])
        self.assertEqual(self.findings({**style, "kdc/a.cpp": "int x;\n"}), [])

    def test_comments_and_strings_are_told_apart(self):
        source = "a(10'000, 'x', \"q\\\"//\"); // c\nR\"(\n\"/*)\" b /* d\n */ e"
        self.assertEqual(without_comments(source).split(), ["a(10'000,", '"', '",', '"', '");', '"', '"', "b", "e"])

    def test_commit_messages(self):
        with tempfile.TemporaryDirectory() as root:
            git = ["git", "-C", root, "-c", "user.name=n", "-c", "user.email=e"]
            subprocess.run(["git", "init", "-q", root], check=True)
            for message in ("kdc: Issue tickets", "kdc: issue tickets", "x" * 80, "kdc: Ask Clau" + "de"):
                subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message], check=True)
            self.assertEqual(len(list(text.commit_messages(root, "HEAD"))), 3)


if __name__ == "__main__":
    unittest.main()
