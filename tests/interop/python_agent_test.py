# SPDX-License-Identifier: Apache-2.0
"""examples/python_agent: Python as child and as parent of the C++ agents, in one trace."""

import unittest

from support import PYTHON, ROOT, WEFT, CollectorCase, start_until_ready

AGENT = ROOT / "examples" / "python_agent"
QUESTION = "How are the parents of runs carried from process to process?"
ASK = "research_team.v1.Gateway/Ask"
CHECK = "research_team.v1.FactChecker/Check"


class PythonAgentTest(CollectorCase):
    def start_agent(self, name, *arguments):
        _, ready = start_until_ready(
            self,
            [WEFT.parent / f"research_team_{name}", *arguments],
            {
                "WEFT_COLLECTOR": self.grpc_address,
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_PROJECT": "agents",
                "OTEL_SERVICE_NAME": name,
            },
        )
        return ready["grpc"]

    def start_team(self):
        _, ready = start_until_ready(
            self,
            [PYTHON, AGENT / "fact_checker.py"],
            {**self.sdk_environment, "OTEL_SERVICE_NAME": "fact-checker"},
        )
        retriever = self.start_agent("retriever", "--docs", ROOT / "docs")
        planner = self.start_agent("planner", "--retriever", retriever)
        return self.start_agent(
            "gateway",
            *("--retriever", retriever, "--planner", planner),
            *("--summariser", self.start_agent("summariser")),
            *("--critic", self.start_agent("critic")),
            *("--fact-checker", ready["grpc"]),
        )

    def side(self, runs, method, kind):
        """The run of one side of a method."""
        found = [
            run
            for run in runs
            if run["name"] == method and run["extra"]["metadata"].get("otel_kind") == kind
        ]
        self.assertEqual(len(found), 1, f"{kind} runs of {method}")
        return found[0]

    def test_one_trace_from_python_through_the_team_to_python(self):
        gateway = self.start_team()
        answer = self.run_program(
            [PYTHON, AGENT / "ask.py", "--gateway", gateway, QUESTION],
            {**self.sdk_environment, "LANGSMITH_PROJECT": "agents", "OTEL_SERVICE_NAME": "asker"},
        )
        self.assertIn("from ", answer["answer"])
        runs = self.wait_for_trace(
            answer["trace_id"], {"research", ASK, CHECK, "check_claim", "compose_answer"}
        )

        ids = {run["id"] for run in runs}
        roots = [run for run in runs if not run.get("parent_run_id")]
        self.assertEqual([run["name"] for run in roots], ["research"])
        for run in runs:
            self.assertEqual(run["trace_id"], answer["trace_id"])
            self.assertEqual(run["session_name"], "agents", run["name"])
            self.assertEqual(run["status"], "success", run.get("error"))
            if run.get("parent_run_id"):
                self.assertIn(run["parent_run_id"], ids, run["name"])

        # Python calls C++: the same method on both sides, in two processes.
        client, server = self.side(runs, ASK, "CLIENT"), self.side(runs, ASK, "SERVER")
        self.assertEqual(client["parent_run_id"], roots[0]["id"])
        self.assertEqual(server["parent_run_id"], client["id"])
        self.assertEqual(client["extra"]["metadata"]["service.name"], "asker")
        self.assertEqual(server["extra"]["metadata"]["service.name"], "gateway")
        self.assertNotEqual(
            client["extra"]["metadata"]["process.pid"], server["extra"]["metadata"]["process.pid"]
        )
        # C++ calls Python.
        client, server = self.side(runs, CHECK, "CLIENT"), self.side(runs, CHECK, "SERVER")
        self.assertEqual(server["parent_run_id"], client["id"])
        self.assertEqual(client["extra"]["metadata"]["service.name"], "gateway")
        self.assertEqual(server["extra"]["metadata"]["service.name"], "fact-checker")
        claims = [run for run in runs if run["name"] == "check_claim"]
        self.assertEqual({run["parent_run_id"] for run in claims}, {server["id"]})
        # What a side of a call says of itself stays there.
        compose = next(run for run in runs if run["name"] == "compose_answer")
        self.assertEqual(compose["extra"]["metadata"]["service.name"], "gateway")
        self.assertNotIn("rpc.method", compose["extra"]["metadata"])


if __name__ == "__main__":
    unittest.main()
