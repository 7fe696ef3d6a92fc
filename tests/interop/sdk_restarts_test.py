# SPDX-License-Identifier: Apache-2.0
"""Programs with LangSmith's SDKs, unchanged, lose nothing while the collector is killed under them."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from support import CLEAN_ENVIRONMENT, DEADLINE_S, HERE, PEERS, PYTHON, WEFT, start_until_ready, stop, wait_for

ROUNDS = 4


class SdkRestartsTest(unittest.TestCase):
    def setUp(self):
        self.data = self.enterContext(tempfile.TemporaryDirectory())
        self.http = "127.0.0.1:0"
        self.start_collector()

    def start_collector(self):
        """The first time on any port, then on the same."""
        self.collector, addresses = start_until_ready(
            self,
            [WEFT, "collect", "--data", self.data, f"--listen-http={self.http}"]
            + [f"--listen-{kind}=127.0.0.1:0" for kind in ("grpc", "otlp-http")],
        )
        self.http = addresses["http"]

    def kill_collector(self):
        self.collector.kill()
        self.collector.wait()

    def check(self, command, cwd=None):
        program = subprocess.Popen(
            list(map(str, command)),
            env={
                **CLEAN_ENVIRONMENT,
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_ENDPOINT": f"http://{self.http}",
                "LANGSMITH_API_KEY": "any key will do",
            },
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(stop, program)
        ids = []
        for _ in range(ROUNDS):
            program.stdin.write("\n")
            program.stdin.flush()
            ids += json.loads(program.stdout.readline())
            # What was made just now is being sent.
            self.kill_collector()
            self.start_collector()
        program.stdin.close()
        self.assertEqual(program.wait(timeout=DEADLINE_S), 0)
        program.stdout.close()
        self.assertEqual(len(set(ids)), ROUNDS * 50)
        for number, trace_id in enumerate(ids):
            runs = wait_for(self.collector, lambda: self.complete(trace_id), f"trace {number}")
            self.assertEqual(runs["agent"]["outputs"]["number"], number)
            self.assertEqual(runs["step"]["outputs"]["text"], f"{number} " * 200)
            self.assertEqual(runs["step"]["parent_run_id"], trace_id)

    def complete(self, trace_id):
        """The two runs of a trace by name, once both have ended."""
        query = urllib.request.Request(
            f"http://{self.http}/runs/query",
            data=json.dumps({"trace": trace_id}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(query) as reply:
            runs = json.load(reply)["runs"]
        ended = {run["name"]: run for run in runs if run.get("end_time")}
        return ended if ended.keys() == {"agent", "step"} else None

    def test_python(self):
        self.check([PYTHON, HERE / "sdk_restarts_program.py"])

    def test_javascript(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "node_modules").symlink_to(PEERS / "js" / "node_modules")
        shutil.copy(HERE / "sdk_restarts_program.mjs", folder)
        self.check(["node", "sdk_restarts_program.mjs"], cwd=folder)


if __name__ == "__main__":
    unittest.main()
