#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/snippets copies regions of code into Markdown, and notices what differs."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = """int main() {
  // snippet: body
  if (true) {
    return 0;
  }
  // end snippet
}
"""
BODY = "if (true) {\n  return 0;\n}\n"


class SnippetsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "docs").mkdir()
        (self.root / "a.cc").write_text(SOURCE)
        self.page = self.root / "docs" / "page.md"

    def run_tool(self, *options, root=None):
        return subprocess.run(
            [sys.executable, str(ROOT / "tools" / "snippets"), "--root", str(root or self.root), *options],
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, marker, code, language="cpp"):
        self.page.write_text(f"Before.\n\n<!-- snippet: {marker} -->\n```{language}\n{code}```\n\nAfter.\n")

    def test_a_region_is_copied_without_its_indentation(self):
        self.write("a.cc#body", "old\n")
        self.assertEqual(self.run_tool().returncode, 0)
        self.assertEqual(
            self.page.read_text(), f"Before.\n\n<!-- snippet: a.cc#body -->\n```cpp\n{BODY}```\n\nAfter.\n"
        )
        self.assertEqual(self.run_tool("--check").returncode, 0)

    def test_a_file_is_copied_whole(self):
        self.write("a.cc", "")
        self.assertEqual(self.run_tool().returncode, 0)
        self.assertIn(f"```cpp\n{SOURCE}```\n", self.page.read_text())

    def test_check_names_the_page_that_differs_and_leaves_it(self):
        self.write("a.cc#body", "old\n")
        before = self.page.read_text()
        done = self.run_tool("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("docs/page.md", done.stderr)
        self.assertEqual(self.page.read_text(), before)

    def test_a_region_that_is_not_there_is_an_error(self):
        for marker in ("a.cc#other", "b.cc#body"):
            self.write(marker, "old\n")
            done = self.run_tool()
            self.assertEqual(done.returncode, 1)
            self.assertIn("docs/page.md:3: ", done.stderr)

    def test_some_pages_have_no_other_code(self):
        page = self.root / "README.md"
        page.write_text("```sh\nmake\n```\n")
        self.assertEqual(self.run_tool("--check").returncode, 0)
        page.write_text("```cpp\nint x;\n```\n")
        done = self.run_tool("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("README.md:1: ", done.stderr)

    def test_a_region_that_does_not_end_is_an_error(self):
        (self.root / "a.cc").write_text("// snippet: body\nint x;\n")
        self.write("a.cc#body", "")
        self.assertEqual(self.run_tool().returncode, 1)

    def test_the_pages_of_the_project_are_as_their_sources(self):
        done = self.run_tool("--check", root=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
