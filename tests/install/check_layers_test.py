#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The include check finds an arrow that points back, and lets the right ones pass."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_layers  # noqa: E402


class CheckLayersTest(unittest.TestCase):
    def check(self, package, include):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / package / "src" / "a.cc"
            source.parent.mkdir(parents=True)
            source.write_text(f"#include <{include}>\n")
            return check_layers.check(pathlib.Path(folder))[1]

    def test_an_arrow_that_points_back_is_named_with_its_line(self):
        problems = self.check("context", "weft/tracing/run.h")
        self.assertEqual(problems, ["context/src/a.cc:1: context must not include tracing"])

    def test_the_collector_may_use_generated_code_but_not_the_interceptors(self):
        self.assertEqual(self.check("collector", "weft/collector/v1/collector.grpc.pb.h"), [])
        self.assertEqual(len(self.check("collector", "weft/interceptors/middleware.h")), 1)

    def test_everybody_may_include_the_version(self):
        self.assertEqual(self.check("context", "weft/version.h"), [])


if __name__ == "__main__":
    unittest.main()
