# SPDX-License-Identifier: Apache-2.0
"""The Python and the TypeScript of docs/tracing.md make the runs that the page speaks of; the C++ is
tested by tests/examples/langsmith_snippets_test.cc."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from support import CLEAN_ENVIRONMENT, DEADLINE_S, PEERS, PYTHON, ROOT, CollectorCase

SNIPPETS = ROOT / "docs" / "snippets"
CALLER = "01a0b35e-7a00-7000-8000-000000000001"
HEADERS = {
    "langsmith-trace": f"20260910T004640000001Z{CALLER}",
    "baggage": "langsmith-project=far",
}


class SnippetsTest(CollectorCase):
    def runs_of(self, *command, cwd=None):
        subprocess.run(
            [*map(str, command), json.dumps(HEADERS)],
            env={**CLEAN_ENVIRONMENT, **self.sdk_environment},
            cwd=cwd,
            timeout=DEADLINE_S,
            check=True,
        )
        return self.wait_for_runs(CALLER, 6)

    def check(self, runs):
        by_id = {run["id"]: run for run in runs}
        names = {
            (run["name"], by_id[run["parent_run_id"]]["name"] if run["parent_run_id"] in by_id else "caller")
            for run in runs
        }
        self.assertEqual(
            names, {("plan", "caller"), ("rerank", "caller"), ("plan", "rerank"), ("ask", "caller"), ("plan", "ask")}
        )
        for run in runs:
            self.assertEqual(run["status"], "success", run.get("error"))
            self.assertEqual(run["session_name"], "far")
        plans = [run for run in runs if run["name"] == "plan"]
        self.assertEqual(len(plans), 4)
        for run in plans:
            self.assertEqual(run["run_type"], "llm")
            self.assertIn("demo", run["tags"])
        return plans

    def test_python(self):
        plans = self.check(self.runs_of(PYTHON, SNIPPETS / "langsmith_users.py"))
        for tag in ("canary", "retry"):
            self.assertEqual(len([run for run in plans if tag in run["tags"]]), 1, tag)

    def test_typescript(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "node_modules").symlink_to(PEERS / "interop" / "node_modules")
        (folder / "package.json").write_text('{"type": "module"}')
        shutil.copy(SNIPPETS / "langsmith_users.ts", folder)
        self.check(self.runs_of("node", "--import", "tsx", "langsmith_users.ts", cwd=folder))


if __name__ == "__main__":
    unittest.main()
