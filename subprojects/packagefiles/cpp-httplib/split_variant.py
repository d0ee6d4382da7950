#!/usr/bin/env python3
"""Make one variant of httplib: settings in front of the split header, so that every file that
includes it sees the same ones (they change class layouts), and the source file to it.

Usage: split_variant.py UPSTREAM_DIR SETTINGS OUT_HEADER OUT_SOURCE [--namespace NAME]
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile


def split(upstream_dir):
    """Run upstream's split.py on a copy of httplib.h; return (header, source) as text."""
    with tempfile.TemporaryDirectory() as work:
        for name in ("httplib.h", "split.py"):
            shutil.copy(os.path.join(upstream_dir, name), work)
        out = os.path.join(work, "out")
        subprocess.run([sys.executable, os.path.join(work, "split.py"), "--out", out],
                       check=True, stdout=subprocess.DEVNULL, cwd=work)
        texts = []
        for name in ("httplib.h", "httplib.cc"):
            with open(os.path.join(out, name), encoding="utf-8") as file:
                texts.append(file.read())
        return texts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream_dir")
    parser.add_argument("settings")
    parser.add_argument("out_header")
    parser.add_argument("out_source")
    parser.add_argument("--namespace", default="httplib")
    args = parser.parse_args()

    header, source = split(args.upstream_dir)
    with open(args.settings, encoding="utf-8") as file:
        settings = file.read()
    # A macro renames the namespace for the length of the file; quoted includes are untouched.
    rename, restore = "", ""
    if args.namespace != "httplib":
        rename = f"#define httplib {args.namespace}\n"
        restore = "#undef httplib\n"

    first_line, rest = source.split("\n", 1)
    if first_line.strip() != '#include "httplib.h"':
        sys.exit("split_variant.py: split.py's output does not begin as expected")
    with open(args.out_header, "w", encoding="utf-8") as file:
        file.write(settings + rename + header + restore)
    with open(args.out_source, "w", encoding="utf-8") as file:
        file.write(f'#include "{os.path.basename(args.out_header)}"\n' + rename + rest + restore)


if __name__ == "__main__":
    main()
