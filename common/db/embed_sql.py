#!/usr/bin/env python3
"""Turns schema.sql into a header with the text as a constant: kSchemaSql."""

import pathlib
import sys

source, target, namespace = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
name = "k" + "".join(part.capitalize() for part in source.stem.split("_")) + "Sql"
text = source.read_text(encoding="utf-8")
if ')sql"' in text:
    sys.exit(f"{source}: holds the mark that ends the embedded text")
target.write_text(
    "#pragma once\n\n#include <string_view>\n\n"
    f"namespace {namespace} {{\n"
    f'inline constexpr std::string_view {name} = R"sql({text})sql";\n'
    f"}}  // namespace {namespace}\n",
    encoding="utf-8")
