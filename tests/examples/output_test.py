#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program and fails unless it ends well and prints exactly what a file says; `...` in the
file stands for any part of a line."""

import difflib
import os
import pathlib
import re
import subprocess
import sys

TIMEOUT_SECONDS = 50
# Would send the runs of the program elsewhere.
FOREIGN = ("LANGCHAIN_", "LANGSMITH_", "OTEL_", "WEFT_")


def main():
    program, expected_file = sys.argv[1:]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    done = subprocess.run(
        [program], env=environment, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_SECONDS
    )
    if done.returncode != 0:
        return f"{program} ended with {done.returncode}"
    expected = pathlib.Path(expected_file).read_text()
    if re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), done.stdout):
        return 0
    return "\n".join(
        difflib.unified_diff(
            expected.splitlines(), done.stdout.splitlines(), expected_file, "printed", lineterm=""
        )
    )


if __name__ == "__main__":
    sys.exit(main())
