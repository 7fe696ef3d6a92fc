#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes runs of 1 KB and sends them to a LangSmith that looks at nothing: weft, and LangSmith's Python SDK beside it.

    bench/export_runs.py [BINARY]      default: build/release/bin/export_benchmark

The SDK is that of tests/interop/install_peers. Prints CPU of the whole process for each run, and the ratio.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON_RUNS = 20_000
SDK = f"""
import time, langsmith
from langsmith import traceable
client = langsmith.Client()
@traceable(client=client)
def answer(question):
    return len(question)
text = "q" * 1000
start = time.process_time()
for i in range({PYTHON_RUNS}):
    answer(text)
    if i % 2000 == 1999:
        client.flush()
client.flush()
print((time.process_time() - start) * 1e6 / {PYTHON_RUNS})
"""


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/release/bin/export_benchmark")
    ours = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    print("weft:  ", ours.strip())
    peers = subprocess.run([str(ROOT / "tests/interop/install_peers"), "--where"], capture_output=True, text=True)
    if peers.returncode != 0:
        print("Python: not installed (tests/interop/install_peers)")
        return 0
    python = pathlib.Path(peers.stdout.strip()) / "venv/bin/python"
    server = subprocess.Popen([binary, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        endpoint = server.stdout.readline().strip()
        environment = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": endpoint,
            "LANGSMITH_API_KEY": "key",
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run([str(python), "-c", SDK], env=environment, check=True, capture_output=True, text=True)
    finally:
        server.kill()
        server.wait()
    theirs = float(done.stdout.split()[-1])
    mine = float(re.search(r"([\d.]+) us of CPU", ours).group(1))
    print(f"Python: {PYTHON_RUNS} runs: {theirs:.0f} us of CPU a run, {theirs / mine:.0f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
