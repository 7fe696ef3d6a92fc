# SPDX-License-Identifier: Apache-2.0
"""A program with the TypeScript SDK, unchanged, is readable back by the SDK and by weft."""

import json
import pathlib
import shutil
import tempfile
import unittest
import urllib.request

from support import HERE, PEERS, CollectorCase

NAMES = {"agent", "model", "read_page", "broken"}
PROJECT = "interop-javascript"


class JavaScriptSdkTest(CollectorCase):
    def setUp(self):
        super().setUp()
        # Node looks for packages beside the program.
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "node_modules").symlink_to(PEERS / "js" / "node_modules")
        for name in ("sdk_program.mjs", "sdk_reader.mjs"):
            shutil.copy(HERE / name, self.folder)
        self.sdk_environment["LANGSMITH_PROJECT"] = PROJECT

    def trace_program(self, **environment):
        result = self.run_program(
            ["node", "sdk_program.mjs"], {**self.sdk_environment, **environment}, cwd=self.folder
        )
        return result, self.wait_for_trace(result["trace_id"], NAMES)

    def check_readable(self, result):
        read = self.run_program(
            ["node", "sdk_reader.mjs", result["id"], result["trace_id"], PROJECT],
            self.sdk_environment,
            cwd=self.folder,
        )
        self.assertEqual(set(read["listed"]), NAMES)
        self.assertEqual(read["roots"], [result["id"]])
        self.assertEqual(read["project"], PROJECT)
        root = read["run"]
        self.assertEqual(root["name"], "agent")
        self.assertEqual(root["inputs"], {"input": "What is it?"})
        self.assertEqual(root["outputs"]["answer"], 42)
        self.assertEqual(root["extra"]["metadata"]["customer"], "alpha")
        children = {child["name"]: child for child in root["child_runs"]}
        self.assertEqual(set(children), NAMES - {"agent"})
        self.assertIn("cannot use 3.25", children["broken"]["error"])
        self.assertEqual(children["read_page"]["outputs"], {"text": "one: Grüße, 世界"})
        for child in children.values():
            self.assertEqual(child["parent_run_id"], result["id"])

    def test_reads_back_what_a_program_sent_compressed(self):
        with urllib.request.urlopen(self.endpoint + "/info") as info:
            self.assertTrue(json.load(info)["instance_flags"]["gzip_body_enabled"])
        result, _ = self.trace_program()
        self.check_readable(result)

    def test_reads_back_what_a_program_sent_uncompressed(self):
        result, _ = self.trace_program(LANGSMITH_DISABLE_RUN_COMPRESSION="true")
        self.check_readable(result)

    def test_weft_shows_and_exports_it_with_its_attachment(self):
        result, runs = self.trace_program()
        tree = self.weft("show", result["trace_id"])
        for name in NAMES:
            self.assertIn(name, tree)
        self.assertIn("cannot use 3.25", tree)
        by_name = {run["name"]: run for run in runs}
        self.assertEqual(by_name["broken"]["status"], "error")
        attachment = by_name["read_page"]["s3_urls"]["attachment.page"]
        self.assertEqual(attachment["mime_type"], "image/png")
        with urllib.request.urlopen(self.endpoint + attachment["presigned_url"]) as reply:
            self.assertEqual(reply.read(), b"\x89\x50\x00\xff")
            self.assertEqual(reply.headers["Content-Type"], "image/png")


if __name__ == "__main__":
    unittest.main()
