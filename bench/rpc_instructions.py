#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that an RPC costs, all threads counted, and their ratio to an RPC that nobody sees.

Use: bench/rpc_instructions.py [--program PATH] [ROW...]

A row is the words of rpc_benchmark, such as "null" or "exported stream"; without any, the rows below.
Each is run twice under callgrind, with different numbers of calls: the slope is what a call costs.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

MIDDLEWARES = ["auth", "concurrency", "deadline", "forward", "logging", "metrics", "rate-limit", "real-peer"]
CLIENT_MIDDLEWARES = ["concurrency", "forward", "logging", "metrics", "rate-limit"]

ROWS = [
    "bare", "floor", "hand", "filtered", "off", "unsampled", "held", "headers", "null", "exported", "unpacked",
    "unsampled hooks", "headers hooks",
    *(f"{mode} {api}" for api in ("sync", "callback")
      for mode in ("bare", "floor", "filtered", "off", "unsampled", "headers", "null", "exported", "null hooks")),
    "bare stream", "floor stream", "hand stream", "off stream", "unsampled stream", "held stream", "headers stream",
    "null stream", "exported stream", "headers hooks stream",
    # Each further middleware, on one side of traced calls.
    "null key timed guarded",
    *(f"null key timed guarded server:{name}" for name in MIDDLEWARES),
    *(f"null key timed guarded client:{name}" for name in CLIENT_MIDDLEWARES),
]


def baseline(row):
    """The row to compare with: no interceptors, but the same server and the same calls."""
    return " ".join(["bare", *(word for word in row.split()[1:] if word in ("stream", "sync", "callback", "key", "timed"))])


def run(program, row, calls):
    """Instructions of the whole program, and allocations per call."""
    mode, *words = row.split()
    with tempfile.NamedTemporaryFile() as out:
        result = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", program, "once", mode, str(calls), *words],
            capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{row}: {result.stderr[-2000:]}")
        with open(out.name, encoding="utf-8") as profile:
            total = re.search(r"^(?:summary|totals): (\d+)", profile.read(), re.M)
    return int(total[1]), float(re.search(r"([\d.]+) allocations", result.stdout)[1])


def slope(program, row):
    few, many = (20, 120) if "stream" in row.split() else (200, 1200)
    (start, _), (end, allocations) = run(program, row, few), run(program, row, many)
    return (end - start) / (many - few), allocations


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--program", default=os.path.join(os.path.dirname(__file__), "../build/release/bin/rpc_benchmark"))
    parser.add_argument("rows", nargs="*", metavar="ROW")
    args = parser.parse_args()
    measured = {}
    print(f"{'':38} {'instructions':>12} {'more':>10} {'x bare':>7} {'allocations':>11}")
    for row in args.rows or ROWS:
        for name in (baseline(row), row):
            if name not in measured:
                measured[name] = slope(args.program, name)
        instructions, allocations = measured[row]
        bare, _ = measured[baseline(row)]
        print(f"{row:38} {instructions:12.0f} {instructions - bare:10.0f} {instructions / bare:7.3f} {allocations:11.1f}", flush=True)


if __name__ == "__main__":
    main()
