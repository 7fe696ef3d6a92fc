# SPDX-License-Identifier: Apache-2.0
"""A collector and other processes for the tests of this folder."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = pathlib.Path(os.environ.get("PEERS", "."))  # Set by tests/interop/run.
PYTHON = PEERS / "venv" / "bin" / "python"
WEFT = pathlib.Path(os.environ["WEFT_BINARY"])
DEADLINE_S = 60
# Nothing of the caller's own tracing decides where runs go.
CLEAN_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("LANGSMITH_", "LANGCHAIN_", "OTEL_", "WEFT_", "OPENAI_"))
}


def wait_for(process, condition, what):
    """Waits until condition() gives something, while the process is alive."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=0.02)
            raise AssertionError(f"{process.args[0]} ended with {status} while waiting for {what}")
    raise AssertionError(f"{what}: not within {DEADLINE_S} s")


def stop(process):
    """Ends a process cleanly; its status."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()


def start_until_ready(case, arguments, environment=None, cwd=None):
    """Starts a process with --ready-file; returns it and what the file says."""
    folder = case.enterContext(tempfile.TemporaryDirectory())
    ready = pathlib.Path(folder) / "ready"
    process = subprocess.Popen(
        [*map(str, arguments), "--ready-file", str(ready)],
        env={**CLEAN_ENVIRONMENT, **(environment or {})},
        cwd=cwd,
    )
    case.addCleanup(stop, process)
    return process, json.loads(
        wait_for(process, lambda: ready.exists() and ready.read_text(), f"{arguments[0]} to be ready")
    )


class CollectorCase(unittest.TestCase):
    """A test with a collector of its own; SDKs find it by LANGSMITH_ENDPOINT alone."""

    def collector_options(self):
        """What the collector is told besides where to listen and write."""
        return []

    def setUp(self):
        data = self.enterContext(tempfile.TemporaryDirectory())
        self.collector, addresses = start_until_ready(
            self,
            [WEFT, "collect", "--data", data]
            + [f"--listen-{kind}=127.0.0.1:0" for kind in ("grpc", "http", "otlp-http")]
            + self.collector_options(),
        )
        self.endpoint = f"http://{addresses['http']}"
        self.grpc_address = addresses["grpc"]
        self.otlp_http_address = addresses["otlp_http"]
        self.sdk_environment = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": self.endpoint,
            "LANGSMITH_API_KEY": "any key will do",
        }

    def run_program(self, arguments, environment, cwd=None):
        """Runs a program that prints one JSON object on its last line."""
        done = subprocess.run(
            list(map(str, arguments)),
            env={**CLEAN_ENVIRONMENT, **environment},
            cwd=cwd,
            stdout=subprocess.PIPE,
            timeout=DEADLINE_S,
            check=True,
            text=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    def weft(self, *arguments):
        """The output of a weft command that reads the collector."""
        done = subprocess.run(
            [str(WEFT), *arguments, "--endpoint", self.endpoint],
            env=CLEAN_ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=DEADLINE_S,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def exported(self, trace_id):
        """The runs of a trace, as far as the collector knows them."""
        done = subprocess.run(
            [str(WEFT), "export", trace_id, "--endpoint", self.endpoint],
            env=CLEAN_ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            text=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_for_trace(self, trace_id, names):
        """The runs of a trace, once they all have ended and the names are among theirs."""

        def complete():
            runs = self.exported(trace_id)
            ended = {run["name"] for run in runs if run.get("end_time")}
            return runs if names <= ended and all(run.get("end_time") for run in runs) else None

        return wait_for(self.collector, complete, f"runs {sorted(names)} of trace {trace_id}")

    def wait_for_runs(self, trace_id, count):
        """The runs of a trace, once there are so many and all have ended."""

        def complete():
            runs = self.exported(trace_id)
            ended = all(run.get("end_time") for run in runs)
            return runs if len(runs) >= count and ended else None

        runs = wait_for(self.collector, complete, f"{count} runs of trace {trace_id}")
        self.assertEqual(len(runs), count)
        return runs
