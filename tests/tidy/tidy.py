#!/usr/bin/env python3
"""Checks the rules of this tree that a script can check; an ordinary test.

    tests/tidy/tidy.py [--build-dir DIR] [ROOT]     the tree
    tests/tidy/tidy.py --commits main..             messages of commits

Prints `file:line: rule: what to do`; warnings (lengths) do not fail. Each rule is a function in
rules/ with a planted violation in tidy_test.py.
"""

import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rules import files, includes, text  # noqa: E402
from rules.tree import Tree  # noqa: E402

# The clang-format whose verdict counts (Debian 12's); see CONTRIBUTING.md.
FORMATTER = 14


RULES = (
    includes.include_direction, includes.library_headers, text.bare_mutexes, text.sleeps_in_tests,
    text.one_database_opener, text.no_shell_from_product, text.lint_exemptions_have_reasons,
    text.todos_name_a_condition, text.nothing_of_this_machine, text.words, files.headers_guard_themselves,
    files.folders_have_readmes, files.everything_is_built, files.formatted, files.lengths)


def report(**event):
    """Tells tests/run.py about one rule, which is one test case there."""
    path = os.environ.get("TROTH_TEST_REPORT")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def check(root, build_dir=None):
    """All findings about the tree, and why checks could not run."""
    tree = Tree(root)
    found, skipped = [], []
    for rule in RULES:
        name = rule.__name__.replace("_", " ")
        report(event="start", case=name)
        begin = time.monotonic()
        mine = []
        if rule is files.formatted and files.formatter_version() != FORMATTER:
            skipped.append(f"formatting: clang-format {FORMATTER} is not installed")
            report(event="skip", case=name, reason=skipped[-1])
        elif rule is files.everything_is_built:
            mine = list(rule(tree, build_dir))
        else:
            mine = list(rule(tree))
        found += mine
        report(event="end", case=name, seconds=time.monotonic() - begin,
               failed=any(not finding.warning for finding in mine))
    return found, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("root", nargs="?", default=os.path.join(os.path.dirname(__file__), "..", ".."))
    parser.add_argument("--build-dir", help="also trust its compile_commands.json on what is built")
    parser.add_argument("--commits", metavar="RANGE", help="check the messages of these commits instead")
    options = parser.parse_args()
    if options.commits:
        found, skipped = list(text.commit_messages(options.root, options.commits)), []
    else:
        found, skipped = check(options.root, options.build_dir)
    for finding in sorted(found, key=lambda f: (f.warning, f.path, f.line)):
        print(finding)
    for reason in skipped:
        print(f"not checked: {reason}")
    failures = sum(not finding.warning for finding in found)
    print(f"tidy: {failures} to mend, {len(found) - failures} warnings")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
