#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every test that README.md names exists, and no promise is without one.

invariants_test.py FOLDER   FOLDER holds the test programs.
"""

import functools
import pathlib
import re
import subprocess
import sys

PROMISES = range(18)
HEADING = re.compile(r"^## (\d+)\. ")
NAME = re.compile(r"`(?:(?P<program>[a-z_]+_test)|(?P<test>\w+Test\.[\w/]+))`")


@functools.cache
def tests_of(program):
    """The names that GoogleTest lists: a line for each suite, indented ones for its tests."""
    listing = subprocess.run([program, "--gtest_list_tests"], check=True, text=True,
                             capture_output=True).stdout
    names, suite = set(), ""
    for line in listing.splitlines():
        name = line.split("#")[0].rstrip()
        if name.startswith("  "):
            names.add(suite + name.strip())
            names.add(suite + name.strip().split("/")[0])  # with any parameter
        else:
            suite = name
    return names


def problems_of(text, folder):
    problems, named = [], {promise: 0 for promise in PROMISES}
    promise, program = None, None
    for number, line in enumerate(text.splitlines(), 1):
        if heading := HEADING.match(line):
            promise, program = int(heading[1]), None
        for match in NAME.finditer(line):
            if match["program"]:
                program = folder / match["program"]
                if not program.exists():
                    problems.append(f"{number}: there is no {program}")
            elif program is None:
                problems.append(f"{number}: no program before {match['test']}")
            elif program.exists() and match["test"] not in tests_of(program):
                problems.append(f"{number}: {program.name} has no {match['test']}")
            else:
                named[promise] += 1
    problems += [f"promise {promise} names no test" for promise, n in named.items() if n == 0]
    return problems, sum(named.values())


def main():
    readme = pathlib.Path(__file__).with_name("README.md")
    problems, count = problems_of(readme.read_text(), pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(f"{readme}:{problem}", file=sys.stderr)
    print(f"{count} names of tests")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
