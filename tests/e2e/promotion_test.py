# SPDX-License-Identifier: Apache-2.0
"""An error in one of four processes, none of which has the trace in its sample.

    ask ─┬─ side
         └─ middle ── back     where `search` fails, and `back` answers all the same
"""

import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from support import CLEAN_ENVIRONMENT, DEADLINE_S, CollectorCase  # noqa: E402

SERVICE = os.environ["PROMOTION_SERVICE"]
GOOD_TRACES = 20


class PromotionTest(CollectorCase):
    def setUp(self):
        super().setUp()
        self.servers = []

    def environment(self, name, rate):
        return {
            **CLEAN_ENVIRONMENT,
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_TRACING_SAMPLING_RATE": str(rate),
            "WEFT_COLLECTOR": self.grpc_address,
            "OTEL_SERVICE_NAME": name,
        }

    def serve(self, name, *arguments, rate=0):
        server = subprocess.Popen(
            [SERVICE, "serve", *arguments],
            env=self.environment(name, rate),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(lambda: (server.kill(), server.wait(), server.stdin.close(), server.stdout.close()))
        self.servers.append(server)
        return server.stdout.readline().strip()

    def ask(self, side, middle):
        """The ids of the good traces, and of the one with the error; all runs have arrived."""
        done = subprocess.run(
            [SERVICE, "ask", str(GOOD_TRACES), side, middle],
            env=self.environment("ask", 0),
            stdout=subprocess.PIPE,
            timeout=DEADLINE_S,
            check=True,
            text=True,
        )
        for server in self.servers:
            server.stdin.close()
            self.assertEqual(server.wait(timeout=DEADLINE_S), 0)
        *good, bad = done.stdout.split()
        return good, bad

    def tree(self, trace):
        """The services, runs and parents of a trace: `back search < work`."""
        runs = self.wait_for_trace(trace, {"answer"})
        names = {run["id"]: run["name"].rpartition("/")[2] for run in runs}
        return sorted(
            f"{run['extra']['metadata']['service.name']} {names[run['id']]}"
            f" < {names.get(run.get('parent_run_id'), '')}"
            for run in runs
        ), runs

    def test_the_failing_branch_and_its_ancestors_arrive_and_the_rest_does_not(self):
        side = self.serve("side")
        back = self.serve("back", "fragile")
        middle = self.serve("middle", back)
        good, bad = self.ask(side, middle)
        tree, runs = self.tree(bad)
        self.assertEqual(
            tree,
            sorted(
                [
                    "ask answer < ",
                    "ask Unary < answer",
                    "ask Unary < answer",
                    "middle Unary < Unary",
                    "middle work < Unary",
                    "middle Unary < work",
                    "back Unary < Unary",
                    "back work < Unary",
                    "back search < work",
                ]
            ),
        )
        for run in runs:
            self.assertIs(run["extra"]["metadata"]["weft_promoted"], True)
            self.assertNotIn("ls_tracing_sample_rate", run["extra"]["metadata"])
        failed = [run for run in runs if run["status"] == "error"]
        self.assertEqual([run["name"] for run in failed], ["search"])
        listed = [json.loads(line) for line in self.weft("ls", "--json", "--limit", "100").splitlines()]
        self.assertEqual([run["trace_id"] for run in listed], [bad])
        for trace in good:
            self.assertEqual(self.exported(trace), [])

    def test_a_process_that_samples_everything_passes_the_word_on(self):
        side = self.serve("side")
        back = self.serve("back", "fragile")
        middle = self.serve("middle", back, rate=1)
        good, bad = self.ask(side, middle)
        tree, runs = self.tree(bad)
        self.assertEqual(len(tree), 9)
        promoted = {run["extra"]["metadata"]["service.name"]: run["extra"]["metadata"].get("weft_promoted") for run in runs}
        self.assertEqual(promoted, {"ask": True, "middle": None, "back": True})
        for trace in good:
            services = {run["extra"]["metadata"]["service.name"] for run in self.exported(trace)}
            self.assertEqual(services, {"middle"})


if __name__ == "__main__":
    unittest.main()
