# SPDX-License-Identifier: Apache-2.0
"""Python or JavaScript calls C++, which calls Python or JavaScript: one trace, by the SDKs' own
headers, over unary and streaming calls."""

import pathlib
import shutil
import tempfile
import unittest

from support import HERE, PEERS, PYTHON, WEFT, CollectorCase, start_until_ready

RELAY = HERE / "relay"
METHODS = {"interop.Relay/Ask": 1, "interop.Relay/Follow": 2}


class RelayTest(CollectorCase):
    def setUp(self):
        super().setUp()
        # Node looks for packages beside the program.
        self.javascript = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.javascript / "node_modules").symlink_to(PEERS / "js" / "node_modules")
        for name in ("peer.mjs", "tracing.mjs", "relay.proto"):
            shutil.copy(RELAY / name, self.javascript)
        self.programs = {
            "python": [PYTHON, RELAY / "peer.py"],
            "javascript": ["node", self.javascript / "peer.mjs"],
        }

    def environment(self, name, collector):
        return {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_PROJECT": "relay",
            "OTEL_SERVICE_NAME": name,
            **collector,
        }

    def trace_of(self, asker, answerer):
        _, answering = start_until_ready(
            self,
            [*self.programs[answerer], "answer"],
            self.environment("answerer", self.sdk_environment),
            cwd=self.javascript,
        )
        _, relaying = start_until_ready(
            self,
            [WEFT.parent / "interop_relay", "--next", answering["grpc"]],
            self.environment("relay", {"WEFT_COLLECTOR": self.grpc_address}),
        )
        asked = self.run_program(
            [*self.programs[asker], "ask", relaying["grpc"]],
            self.environment("asker", self.sdk_environment),
            cwd=self.javascript,
        )
        self.assertEqual(asked["answers"], ["ONE TREE", "ONE", "TREE"])
        # Two sides of two calls of both methods, a run in the relay for each, three answers.
        return asked["trace_id"], self.wait_for_runs(asked["trace_id"], 1 + 2 * 5 + 3)

    def check(self, asker, answerer):
        trace_id, runs = self.trace_of(asker, answerer)
        by_id = {run["id"]: run for run in runs}
        for run in runs:
            self.assertEqual(run["trace_id"], trace_id)
            self.assertEqual(run["status"], "success", run.get("error"))
            self.assertEqual(run["session_name"], "relay", run["name"])
        answers = {method: 0 for method in METHODS}
        for run in runs:
            if run["name"] != "answer":
                continue
            path = self.path_of(run, by_id)
            method = path[1][1]
            answers[method] += 1
            self.assertEqual(
                path,
                [
                    ("answer",),
                    ("SERVER", method, "answerer"),
                    ("CLIENT", method, "relay"),
                    ("pass_on",),
                    ("SERVER", method, "relay"),
                    ("CLIENT", method, "asker"),
                    ("asker",),
                ],
            )
        self.assertEqual(answers, METHODS)

    def path_of(self, run, by_id):
        """What is above a run, up to the root."""
        path = []
        while run:
            metadata = run["extra"]["metadata"]
            if run["name"] in METHODS:
                path.append((metadata["otel_kind"], run["name"], metadata["service.name"]))
            else:
                path.append((run["name"],))
            if not run.get("parent_run_id"):
                return path
            self.assertIn(run["parent_run_id"], by_id, run["name"])
            run = by_id[run["parent_run_id"]]

    def test_python_calls_cpp_calls_python(self):
        self.check("python", "python")

    def test_javascript_calls_cpp_calls_javascript(self):
        self.check("javascript", "javascript")

    def test_python_calls_cpp_calls_javascript(self):
        self.check("python", "javascript")

    def test_javascript_calls_cpp_calls_python(self):
        self.check("javascript", "python")


if __name__ == "__main__":
    unittest.main()
