# SPDX-License-Identifier: Apache-2.0
"""examples/interop: TypeScript, C++ and Python in one trace, over HTTP and gRPC; the same tree for
whoever reads it."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import langsmith
from fake_langsmith import FakeLangSmith
from support import (
    CLEAN_ENVIRONMENT,
    DEADLINE_S,
    HERE,
    PEERS,
    ROOT,
    WEFT,
    CollectorCase,
    wait_for,
)

PROJECT = "trips"
FORECAST = "trip.Forecaster/Forecast"
# Each run with the one above it; the SDK or `weft-cpp` that made it.
TREE = [
    ("plan_trip", "", "langsmith-js"),
    ("POST /advice", "plan_trip", "weft-cpp"),
    (FORECAST, "POST /advice", "weft-cpp"),
    (FORECAST, FORECAST, "weft-cpp"),
    ("normals", FORECAST, "langsmith-py"),
    ("POST /stations", "normals", "weft-cpp"),
    ("write_text", "POST /advice", "langsmith-js"),
]


def tree_of(runs):
    """Name, parent's name and maker of each run; the runs are as LangSmith has them."""
    names = {run["id"]: run["name"] for run in runs}
    return sorted(
        (
            run["name"],
            # A parent that is not there keeps its id, so that it shows.
            names.get(run["parent_run_id"], run["parent_run_id"]) if run.get("parent_run_id") else "",
            run["extra"]["runtime"]["sdk"],
        )
        for run in runs
    )


class InteropExampleTest(CollectorCase):
    def collector_options(self):
        self.langsmith = FakeLangSmith()
        self.addCleanup(self.langsmith.close)
        return ["--forward", f"langsmith={self.langsmith.url}"]

    def setUp(self):
        super().setUp()
        # As its reader has it: with the packages installed in its folder.
        self.example = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "interop"
        shutil.copytree(
            ROOT / "examples" / "interop",
            self.example,
            ignore=shutil.ignore_patterns("node_modules", ".venv"),
        )
        (self.example / "node_modules").symlink_to(PEERS / "interop" / "node_modules")
        (self.example / ".venv").symlink_to(PEERS / "venv")

    def ask(self, *options, **destination):
        done = subprocess.run(
            [self.example / "start", "--bin", WEFT.parent, *options, "Oslo"],
            env={**CLEAN_ENVIRONMENT, "LANGSMITH_PROJECT": PROJECT, **destination},
            stdout=subprocess.PIPE,
            timeout=2 * DEADLINE_S,
            check=True,
            text=True,
        )
        return done.stdout, json.loads(done.stdout.splitlines()[-1])

    def read_with_javascript(self, answer):
        shutil.copy(HERE / "sdk_reader.mjs", self.example)
        return self.run_program(
            ["node", "sdk_reader.mjs", answer["id"], answer["trace_id"], PROJECT],
            self.sdk_environment,
            cwd=self.example,
        )

    def test_one_trace_that_every_reader_sees_alike(self):
        shown, answer = self.ask(
            LANGSMITH_ENDPOINT=self.endpoint, WEFT_COLLECTOR=self.grpc_address
        )
        self.assertIn("Oslo harbour", answer["answer"])
        for name, _, _ in TREE:
            self.assertIn(name, shown)
        trace_id = answer["trace_id"]
        runs = self.wait_for_runs(trace_id, len(TREE))
        self.assertEqual(tree_of(runs), sorted(TREE))
        by_id = {run["id"]: run for run in runs}
        for run in runs:
            self.assertEqual(run["status"], "success", run.get("error"))
            self.assertEqual(run["session_name"], PROJECT, run["name"])
            self.assertEqual(run["extra"]["metadata"].get("user_id"), "u-7", run["name"])
            if parent := by_id.get(run.get("parent_run_id")):
                self.assertTrue(run["dotted_order"].startswith(parent["dotted_order"] + "."))

        ids = {run["id"]: run.get("parent_run_id") for run in runs}
        client = langsmith.Client(api_url=self.endpoint, api_key="any")
        listed = client.list_runs(project_name=PROJECT, trace_id=trace_id)
        self.assertEqual(
            {str(run.id): run.parent_run_id and str(run.parent_run_id) for run in listed}, ids
        )
        nested = client.read_run(answer["id"], load_child_runs=True)
        self.assertEqual(self.nesting(nested.dict()), self.nesting_of(runs))
        read = self.read_with_javascript(answer)
        self.assertEqual(sorted(read["listed"]), sorted(run["name"] for run in runs))
        self.assertEqual(self.nesting(read["run"]), self.nesting_of(runs))

        sent = wait_for(
            self.collector,
            lambda: (seen := self.langsmith.runs(trace_id)).keys() == ids.keys() and seen,
            f"all runs at LangSmith, problems: {self.langsmith.problems}",
        )
        self.assertEqual(tree_of([{"id": key, **run} for key, run in sent.items()]), tree_of(runs))
        self.assertEqual(self.langsmith.problems, [])

    def test_the_same_tree_at_langsmith_without_a_collector(self):
        _, answer = self.ask("--no-tree", LANGSMITH_ENDPOINT=self.langsmith.url)
        sent = wait_for(
            self.collector,
            lambda: len(seen := self.langsmith.runs(answer["trace_id"])) >= len(TREE) and seen,
            f"all runs at LangSmith, problems: {self.langsmith.problems}",
        )
        self.assertEqual(tree_of([{"id": key, **run} for key, run in sent.items()]), sorted(TREE))
        for run in sent.values():
            self.assertEqual(run["session_name"], PROJECT, run["name"])
            self.assertIn("end_time", run, run["name"])
        self.assertEqual(self.langsmith.problems, [])

    def nesting(self, run):
        """A run as SDKs read it with its children: names in names, in the order of their start."""
        return run["name"], [self.nesting(child) for child in run.get("child_runs") or []]

    def nesting_of(self, runs):
        def below(parent_id):
            children = [run for run in runs if run.get("parent_run_id") == parent_id]
            return [
                (run["name"], below(run["id"]))
                for run in sorted(children, key=lambda run: run["dotted_order"])
            ]

        return below(None)[0]


if __name__ == "__main__":
    unittest.main()
