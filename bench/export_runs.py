#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the same work with weft and with LangSmith's SDKs for Python and npm, and prints CPU time and ratios.

    bench/export_runs.py [FOLDER]      default: build/release/bin, with export_benchmark and tracing_benchmark

First runs of 1 KB, made and sent to a LangSmith that looks at nothing: CPU of the whole process for each run. The SDKs make
20,000 where weft makes 1,000,000. Then the headers of the fourth run of a chain with five keys of metadata, written and read.
The SDKs are those of tests/interop/install_peers.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = 20_000
CALLS = 5_000
METADATA = """{
    "user_id": "u-1047", "thread_id": "0b6e1c2a-5c1c-4f2e-8a61-0f7d5a1e9c11",
    "workflow": "refund request", "tenant": "alpha/eu", "attempt": 2}"""

# Each prints microseconds: of a run, to write the headers, to read them.
PYTHON = f"""
import time
from langsmith import Client, RunTree, traceable
client = Client()
@traceable(client=client)
def answer(question):
    return len(question)
text = "q" * 1000
start = time.process_time()
for i in range({RUNS}):
    answer(text)
    if i % 2000 == 1999:
        client.flush()
client.flush()
print((time.process_time() - start) * 1e6 / {RUNS})

run = RunTree(name="first", project_name="checkout", extra={{"metadata": {METADATA}}}, client=client)
for name in ("second", "third", "fourth"):
    run = run.create_child(name=name)
headers = run.to_headers()
for work in (run.to_headers, lambda: RunTree.from_headers(headers, client=client)):
    start = time.process_time()
    for _ in range({CALLS}):
        work()
    print((time.process_time() - start) * 1e6 / {CALLS})
"""

JAVASCRIPT = f"""
import {{ webcrypto }} from "node:crypto";
import {{ Client, RunTree }} from "langsmith";
import {{ traceable }} from "langsmith/traceable";
globalThis.crypto ??= webcrypto;
const client = new Client();
const answer = traceable(async (question) => question.length, {{ name: "answer", client }});
const text = "q".repeat(1000);
const microseconds = (since, count) => {{
  const used = process.cpuUsage(since);
  console.log((used.user + used.system) / count);
}};
let start = process.cpuUsage();
for (let i = 0; i < {RUNS}; ++i) {{
  await answer(text);
  if (i % 2000 === 1999) await client.awaitPendingTraceBatches();
}}
await client.awaitPendingTraceBatches();
microseconds(start, {RUNS});

let run = new RunTree({{ name: "first", project_name: "checkout", metadata: {METADATA}, client }});
for (const name of ["second", "third", "fourth"]) run = run.createChild({{ name }});
const headers = run.toHeaders();
for (const work of [() => run.toHeaders(), () => RunTree.fromHeaders(headers, {{ client }})]) {{
  start = process.cpuUsage();
  for (let i = 0; i < {CALLS}; ++i) work();
  microseconds(start, {CALLS});
}}
process.exit(0);
"""


def output(command, **how):
    return subprocess.run(command, check=True, capture_output=True, text=True, **how).stdout


def sdk_figures(peers, endpoint):
    environment = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": endpoint,
        "LANGSMITH_API_KEY": "key",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    printed = {"Python": output([str(peers / "venv/bin/python"), "-c", PYTHON], env=environment)}
    with tempfile.TemporaryDirectory() as folder:
        # Node looks for packages beside the program.
        (pathlib.Path(folder) / "node_modules").symlink_to(peers / "js/node_modules")
        program = pathlib.Path(folder) / "program.mjs"
        program.write_text(JAVASCRIPT)
        printed["npm"] = output(["node", str(program)], env=environment)
    return {name: [float(number) for number in text.split()[-3:]] for name, text in printed.items()}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/release/bin"
    exported = output([str(folder / "export_benchmark")])
    print("weft:  ", exported.strip())
    headers = output([str(folder / "tracing_benchmark"), "headers"])
    print(headers[headers.index("headers of") :].strip())
    peers = subprocess.run([str(ROOT / "tests/interop/install_peers"), "--where"], capture_output=True, text=True)
    if peers.returncode != 0:
        print("the SDKs are not installed (tests/interop/install_peers)")
        return 0
    server = subprocess.Popen([str(folder / "export_benchmark"), "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        figures = sdk_figures(pathlib.Path(peers.stdout.strip()), server.stdout.readline().strip())
    finally:
        server.kill()
        server.wait()
    run = float(re.search(r"([\d.]+) us of CPU", exported).group(1))
    both = float(re.search(r"of its own each time +([\d.]+)", headers).group(1)) / 1000
    for name, (each, write, read) in figures.items():
        print(f"{name}: {RUNS} runs: {each:.0f} us of CPU a run, {each / run:.0f} x", end="; ")
        print(f"headers: {write:.1f} us to write, {read:.1f} us to read, {(write + read) / both:.0f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
