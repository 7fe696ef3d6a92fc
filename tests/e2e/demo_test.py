# SPDX-License-Identifier: Apache-2.0
"""`weft demo` from outside: what it prints, what it leaves behind, and the trace it makes."""

import collections
import http.server
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from support import CLEAN_ENVIRONMENT, DEADLINE_S, WEFT, start_until_ready  # noqa: E402

LISTEN = [f"--listen-{kind}=127.0.0.1:0" for kind in ("grpc", "http", "otlp-http")]
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


def address_of(text):
    """Host and port of the first address in a text."""
    return "127.0.0.1", int(ADDRESS.search(text).group(1))


class DemoCase(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.scratch = self.folder / "tmp"
        self.scratch.mkdir()
        self.environment = {
            **CLEAN_ENVIRONMENT,
            "TMPDIR": str(self.scratch),
            # A user's own settings have no say in where the demo's runs go.
            "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
            "LANGSMITH_TRACING": "false",
            "LANGSMITH_TRACING_SAMPLING_RATE": "0",
        }

    def demo(self, *arguments):
        return subprocess.run(
            [str(WEFT), "demo", *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
        )

    def start_demo(self):
        """Starts a demo that stays; returns it and what it printed up to the last line."""
        demo = subprocess.Popen(
            [str(WEFT), "demo"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(lambda: (demo.kill(), demo.wait(), demo.stdout.close()))
        printed = ""
        for line in demo.stdout:
            printed += line
            if "Ctrl-C" in line:
                return demo, printed
        raise AssertionError("the demo ended by itself:\n" + printed)

    def assert_nobody_listens(self, address):
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(address, timeout=DEADLINE_S).close()


class DemoTest(DemoCase):
    def test_once_prints_answer_tree_and_address_and_leaves_nothing_behind(self):
        done = self.demo("--once")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("from ", done.stdout)
        for text in ("research_team.v1.Gateway/Ask", "server callback", "server cq", "extract_claims"):
            self.assertIn(text, done.stdout)
        self.assertNotIn("\x1b", done.stdout)
        self.assertIn("starting the collector", done.stderr)
        self.assert_nobody_listens(address_of(done.stdout))
        self.assertEqual(list(self.scratch.iterdir()), [])

    def test_serves_the_trace_until_interrupted(self):
        demo, printed = self.start_demo()
        trace_id = re.search(r"weft show (\S+)", printed).group(1)
        shown = subprocess.run(
            [str(WEFT), "show", trace_id, "--endpoint", ADDRESS.search(printed).group(0)],
            stdout=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
        )
        self.assertEqual(shown.returncode, 0)
        self.assertIn("research_team.v1.Gateway/Ask", shown.stdout)
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(timeout=DEADLINE_S), 0)
        self.assert_nobody_listens(address_of(printed))
        self.assertEqual(list(self.scratch.iterdir()), [])

    def test_a_killed_demo_takes_its_collector_with_it(self):
        demo, printed = self.start_demo()
        ready = next(self.scratch.glob("*/collector.ready"))
        collector = os.pidfd_open(json.loads(ready.read_text())["pid"])
        self.addCleanup(os.close, collector)
        demo.kill()
        demo.wait()
        ended, _, _ = select.select([collector], [], [], DEADLINE_S)
        self.assertEqual(ended, [collector])
        self.assert_nobody_listens(address_of(printed))

    def test_says_why_the_collector_does_not_start(self):
        data = self.folder / "data"
        start_until_ready(self, [WEFT, "collect", "--data", data, *LISTEN])
        done = self.demo("--once", "--data", data)
        self.assertEqual(done.returncode, 1)
        self.assertIn("collector", done.stderr)
        self.assertIn(str(data), done.stderr)

    def test_says_why_an_agent_does_not_start(self):
        empty = self.folder / "empty"
        empty.mkdir()
        done = self.demo("--once", "--docs", empty)
        self.assertEqual(done.returncode, 1)
        self.assertIn("retriever", done.stderr)
        self.assertIn(str(empty), done.stderr)

    def test_names_an_agent_that_is_not_installed(self):
        alone = self.folder / "bin"
        alone.mkdir()
        shutil.copy(WEFT, alone / "weft")
        done = subprocess.run(
            [str(alone / "weft"), "demo", "--once", "--docs", str(self.folder)],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("research_team_retriever", done.stderr)


class FakeModel(http.server.BaseHTTPRequestHandler):
    """The chat endpoint of an OpenAI-compatible server; `replies` are what it answers, in turn."""

    replies = []
    requests = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, self.headers["Authorization"], json.loads(body)))
        status, reply = self.replies[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_):
        pass


class DemoModelTest(DemoCase):
    """The summariser with a model."""

    def setUp(self):
        super().setUp()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeModel)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        FakeModel.requests = []
        self.environment.update(
            OPENAI_BASE_URL=f"http://127.0.0.1:{server.server_port}/v1",
            OPENAI_API_KEY="secret-key",
            OPENAI_MODEL="test-model",
            no_proxy="127.0.0.1",
        )

    def test_asks_the_model_and_records_its_tokens(self):
        content = "The parent of a run is kept right across threads, streams and processes by weft."
        FakeModel.replies = [
            (
                200,
                {
                    "choices": [{"message": {"role": "assistant", "content": content}}],
                    "usage": {"prompt_tokens": 1234, "completion_tokens": 17},
                },
            )
        ]
        done = self.demo("--once")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("- " + content, done.stdout)
        self.assertIn("1,234 > 17", done.stdout)
        path, key, request = FakeModel.requests[0]
        self.assertEqual(path, "/v1/chat/completions")
        self.assertEqual(key, "Bearer secret-key")
        self.assertEqual(request["model"], "test-model")
        self.assertIn("Question: How does weft", request["messages"][1]["content"])

    def test_keeps_the_error_of_a_model_that_fails_and_answers_all_the_same(self):
        FakeModel.replies = [(500, {"error": "overloaded"})]
        done = self.demo("--once")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"run \S+ \(chat\) failed: .*500")
        self.assertIn("extract_claims", done.stdout)
        self.assertIn("from ", done.stdout)
        self.assertNotIn("secret-key", done.stdout + done.stderr)


class DemoTraceTest(DemoCase):
    """The trace as a later collector finds it in the data directory; read once for all tests."""

    runs = None

    def setUp(self):
        super().setUp()
        if DemoTraceTest.runs is None:
            DemoTraceTest.runs = self.read_runs()
        self.by_id = {run["id"]: run for run in self.runs}

    def read_runs(self):
        data = self.folder / "data"
        done = self.demo("--once", "--data", data)
        self.assertEqual(done.returncode, 0, done.stderr)
        _, addresses = start_until_ready(self, [WEFT, "collect", "--data", data, *LISTEN])

        def weft(*arguments):
            read = subprocess.run(
                [str(WEFT), *arguments, "--endpoint", f"http://{addresses['http']}"],
                stdout=subprocess.PIPE,
                text=True,
                timeout=DEADLINE_S,
            )
            self.assertEqual(read.returncode, 0)
            return [json.loads(line) for line in read.stdout.splitlines()]

        roots = weft("ls", "--json")
        self.assertEqual(len(roots), 1, "exactly one trace")
        return weft("export", roots[0]["trace_id"])

    def sides(self, kind):
        return [run for run in self.runs if self.metadata(run).get("otel_kind") == kind]

    @staticmethod
    def metadata(run):
        return run["extra"]["metadata"]

    def test_is_one_finished_tree_of_several_processes(self):
        self.assertEqual(len([run for run in self.runs if not run.get("parent_run_id")]), 1)
        self.assertEqual(len({run["trace_id"] for run in self.runs}), 1)
        self.assertEqual(len({run["dotted_order"] for run in self.runs}), len(self.runs))
        for run in self.runs:
            self.assertEqual(run["status"], "success", run)
            self.assertLessEqual(run["start_time"], run["end_time"])
            if run.get("parent_run_id"):
                parent = self.by_id[run["parent_run_id"]]
                self.assertTrue(run["dotted_order"].startswith(parent["dotted_order"] + "."), run)
        self.assertGreaterEqual(len({self.metadata(run)["process.pid"] for run in self.runs}), 4)
        self.assertGreaterEqual(len({self.metadata(run)["service.name"] for run in self.runs}), 3)

    def test_every_side_of_a_call_says_what_it_is(self):
        sides = self.sides("CLIENT") + self.sides("SERVER")
        kinds = {"unary", "client_stream", "server_stream", "bidi_stream"}
        for run in sides:
            metadata = self.metadata(run)
            self.assertEqual(metadata["rpc.system"], "grpc")
            self.assertTrue(metadata["rpc.service"].startswith("research_team.v1."), metadata)
            self.assertIn(metadata["rpc.grpc.kind"], kinds)
            self.assertEqual(run["name"].rpartition("/")[2], metadata["rpc.method"])
        for kind in ("CLIENT", "SERVER"):
            seen = {self.metadata(run)["rpc.grpc.kind"] for run in self.sides(kind)}
            self.assertEqual(seen, kinds, kind)
        apis = {self.metadata(run)["weft.server_api"] for run in self.sides("SERVER")}
        self.assertEqual(apis, {"sync", "callback", "cq", "fiber"})

    def test_every_server_run_hangs_on_the_client_run_of_its_call(self):
        clients = collections.Counter()
        for run in self.sides("SERVER"):
            client = self.by_id[run["parent_run_id"]]
            mine, other = self.metadata(run), self.metadata(client)
            self.assertEqual(other["otel_kind"], "CLIENT")
            for key in ("rpc.service", "rpc.method", "rpc.grpc.kind"):
                self.assertEqual(mine[key], other[key])
            self.assertNotEqual(mine["process.pid"], other["process.pid"])
            clients[client["id"]] += 1
        self.assertEqual(set(clients), {run["id"] for run in self.sides("CLIENT")})
        self.assertEqual(set(clients.values()), {1})

    def test_local_steps_hang_on_the_call_that_they_work_for(self):
        methods = collections.defaultdict(set)
        for run in self.runs:
            metadata = self.metadata(run)
            parent = self.by_id.get(run.get("parent_run_id"))
            if "otel_kind" in metadata or parent is None:
                continue
            self.assertNotIn("rpc.method", metadata, run["name"])
            self.assertEqual(metadata["process.pid"], self.metadata(parent)["process.pid"])
            methods[self.metadata(parent).get("rpc.method")].add(run["name"])
        self.assertLessEqual({"pick_terms", "make_queries"}, methods["Plan"])
        self.assertEqual(methods["Search"], {"bm25"})
        self.assertEqual(methods["Summarise"], {"extract_claims"})
        self.assertEqual(methods["Review"], {"judge_claim", "decide"})
        self.assertLessEqual({"merge_passages", "compose_answer"}, methods["Ask"])

    def test_steps_carry_inputs_outputs_and_counted_tokens(self):
        extract = next(run for run in self.runs if run["name"] == "extract_claims")
        self.assertGreater(len(extract["outputs"]["claims"]), 0)
        self.assertIn("question", extract["inputs"])
        usage = self.metadata(extract)["usage_metadata"]
        self.assertGreater(usage["input_tokens"], usage["output_tokens"])
        self.assertEqual(self.metadata(extract)["tokenizer"], "words and punctuation marks")
        search = next(run for run in self.runs if run["name"] == "bm25")
        self.assertEqual(search["run_type"], "retriever")
        self.assertTrue(search["outputs"]["documents"][0]["metadata"]["source"].endswith(".md"))


if __name__ == "__main__":
    unittest.main()
