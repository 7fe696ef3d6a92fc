# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's load generator against the collector: every span it had acknowledged is a run."""

import collections
import json
import subprocess
import unittest

from support import CLEAN_ENVIRONMENT, DEADLINE_S, PEERS, CollectorCase

TELEMETRYGEN = PEERS / "bin" / "telemetrygen"
WORKERS = 3
TRACES = 40  # Of each worker.
CHILDREN = 4


@unittest.skipUnless(TELEMETRYGEN.exists(), "telemetrygen is not installed: it needs a newer Go")
class TelemetrygenTest(CollectorCase):
    def generate(self, address, *options):
        done = subprocess.run(
            [str(TELEMETRYGEN), "traces", "--otlp-insecure", "--otlp-endpoint", address]
            + ["--rate", "0", "--service", "generator"]
            + [f"--workers={WORKERS}", f"--traces={TRACES}", f"--child-spans={CHILDREN}", *options],
            env=CLEAN_ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout)

    def check(self, status, links=0):
        roots = [json.loads(line) for line in self.weft("ls", "--limit", "1000", "--json").splitlines()]
        self.assertEqual(len(roots), WORKERS * TRACES)
        self.assertEqual(len({root["id"] for root in roots}), len(roots))
        for root in roots[:5]:
            runs = [json.loads(line) for line in self.weft("show", root["id"], "--json").splitlines()]
            names = collections.Counter(run["name"] for run in runs)
            self.assertEqual(names["lets-go"], 1)
            self.assertEqual(sum(names.values()), 1 + CHILDREN)
            self.assertEqual({run["status"] for run in runs}, {status})
            self.assertEqual({run["extra"]["metadata"]["service.name"] for run in runs}, {"generator"})
            for run in runs:
                self.assertEqual(len(run["extra"]["metadata"].get("weft_links", [])), links)
            for run in runs[1:]:
                self.assertEqual(run["parent_run_id"], root["id"])
                self.assertTrue(run["dotted_order"].startswith(root["dotted_order"] + "."))

    def test_over_grpc(self):
        self.generate(self.grpc_address)
        self.check("success")

    def test_over_http(self):
        self.generate(self.otlp_http_address, "--otlp-http")
        self.check("success")

    def test_one_span_a_request(self):
        self.generate(self.grpc_address, "--batch=false")
        self.check("success")

    def test_errors_and_links(self):
        self.generate(self.grpc_address, "--status-code", "Error", "--span-links", "2")
        self.check("error", links=2)


if __name__ == "__main__":
    unittest.main()
