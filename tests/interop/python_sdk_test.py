# SPDX-License-Identifier: Apache-2.0
"""A program with the Python SDK, unchanged, is readable back by the SDK and by weft."""

import json
import unittest

import langsmith

from support import HERE, PYTHON, CollectorCase

NAMES = {"agent", "model", "read_page", "broken"}
PROJECT = "interop-python"


class PythonSdkTest(CollectorCase):
    def trace_program(self, **environment):
        result = self.run_program(
            [PYTHON, HERE / "sdk_program.py"],
            {**self.sdk_environment, "LANGSMITH_PROJECT": PROJECT, **environment},
        )
        return result, self.wait_for_trace(result["trace_id"], NAMES)

    def client(self):
        return langsmith.Client(api_url=self.endpoint, api_key="any key will do")

    def check_readable(self, result):
        client = self.client()
        root = client.read_run(result["id"], load_child_runs=True)
        self.assertEqual(root.name, "agent")
        self.assertEqual(root.inputs, {"question": "What is it?"})
        self.assertEqual(root.outputs["answer"], 42)
        self.assertIsNone(root.error)
        self.assertIn("interop", root.tags)
        self.assertEqual(root.extra["metadata"]["customer"], "alpha")
        children = {child.name: child for child in root.child_runs}
        self.assertEqual(set(children), NAMES - {"agent"})
        for child in children.values():
            self.assertEqual(str(child.parent_run_id), result["id"])
            self.assertTrue(child.dotted_order.startswith(root.dotted_order + "."))
        self.assertIn("cannot use 3.25", children["broken"].error)
        self.assertEqual(children["broken"].inputs, {"number": 3.25})
        self.assertEqual(children["model"].outputs["content"], "WHAT IS IT?")
        page = client.read_run(children["read_page"].id)
        self.assertEqual(page.outputs["output"][0]["page_content"], "Grüße, 世界")
        self.assertEqual(page.attachments["page"]["mime_type"], "image/png")
        self.assertEqual(page.attachments["page"]["reader"].read(), b"\x89PNG\x00\xff page")

    def test_reads_back_what_a_program_sent_compressed(self):
        self.assertTrue(self.client().info.instance_flags["zstd_compression_enabled"])
        result, _ = self.trace_program()
        self.check_readable(result)

    def test_reads_back_what_a_program_sent_uncompressed(self):
        result, _ = self.trace_program(LANGSMITH_DISABLE_RUN_COMPRESSION="true")
        self.check_readable(result)

    def test_lists_runs_and_reads_the_project(self):
        result, _ = self.trace_program()
        client = self.client()
        project = client.read_project(project_name=PROJECT)
        self.assertEqual(project.name, PROJECT)
        self.assertEqual(client.read_project(project_id=project.id).name, PROJECT)
        by_trace = client.list_runs(project_name=PROJECT, trace_id=result["trace_id"])
        self.assertEqual({run.name for run in by_trace}, NAMES)
        roots = list(client.list_runs(project_name=PROJECT, is_root=True))
        self.assertEqual([str(run.id) for run in roots], [result["id"]])
        with self.assertRaises(langsmith.utils.LangSmithNotFoundError):
            client.read_run("01a0b35e-7a00-7a11-9a22-0123456789ab")

    def test_weft_shows_and_exports_it(self):
        result, runs = self.trace_program()
        tree = self.weft("show", result["trace_id"])
        for name in NAMES:
            self.assertIn(name, tree)
        self.assertIn("cannot use 3.25", tree)
        self.assertIn("7 > 3", tree)
        self.assertEqual({run["name"] for run in runs}, NAMES)
        by_name = {run["name"]: run for run in runs}
        self.assertEqual(by_name["broken"]["status"], "error")
        self.assertEqual(by_name["model"]["status"], "success")
        self.assertEqual({run["session_name"] for run in runs}, {PROJECT})
        listed = [json.loads(line) for line in self.weft("ls", "--json", "--project", PROJECT).splitlines()]
        self.assertEqual([run["id"] for run in listed], [result["id"]])
        used = [json.loads(line) for line in self.weft("usage", "--json", "--project", PROJECT).splitlines()]
        self.assertEqual(used, [{"trace": result["trace_id"], "runs": 1, "input_tokens": 7, "output_tokens": 3}])


if __name__ == "__main__":
    unittest.main()
