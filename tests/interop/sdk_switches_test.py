# SPDX-License-Identifier: Apache-2.0
"""Every way in which LangSmith's and OpenTelemetry's Python SDKs send gives the same runs."""

import json
import unittest
import uuid

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from support import HERE, PYTHON, CollectorCase, wait_for

NAMES = {"agent", "model", "read_page", "broken"}
PROJECT = "interop-switches"


class LangSmithSwitchesTest(CollectorCase):
    def run_sdk(self, way, **environment):
        return self.run_program(
            [PYTHON, HERE / "sdk_switches_program.py", way],
            {**self.sdk_environment, "LANGSMITH_PROJECT": PROJECT, **environment},
        )

    def trace_program(self, way, **environment):
        result = self.run_sdk(way, **environment)
        self.check(self.wait_for_trace(result["trace_id"], NAMES))

    def check(self, listed):
        runs = {run["name"]: run for run in listed}
        self.assertEqual(len(listed), len(NAMES))
        root = runs["agent"]
        for run in runs.values():
            self.assertEqual(run["trace_id"], root["id"])
            self.assertEqual(run["session_name"], PROJECT)
            if run is not root:
                self.assertEqual(run["parent_run_id"], root["id"])
                self.assertTrue(run["dotted_order"].startswith(root["dotted_order"] + "."))
            self.assertLessEqual(run["start_time"], run["end_time"])
        self.assertEqual(root["inputs"], {"question": "What is it?"})
        self.assertEqual(root["outputs"]["answer"], 42)
        self.assertEqual(root["tags"], ["interop"])
        self.assertEqual(root["extra"]["metadata"]["customer"], "alpha")
        self.assertEqual(root["status"], "success")
        model = runs["model"]
        self.assertEqual(model["run_type"], "llm")
        self.assertEqual(model["inputs"], {"prompt": "What is it?"})
        self.assertEqual(model["outputs"]["content"], "WHAT IS IT?")
        self.assertEqual(model["extra"]["metadata"]["ls_model_name"], "echo")
        self.assertEqual(runs["read_page"]["run_type"], "retriever")
        page = json.dumps(runs["read_page"]["outputs"], ensure_ascii=False)
        self.assertIn("Grüße, 世界", page)
        broken = runs["broken"]
        self.assertEqual(broken["run_type"], "tool")
        self.assertEqual(broken["status"], "error")
        self.assertEqual(broken["inputs"], {"number": 3.25})
        self.assertIn("cannot use 3.25", broken["error"])

    def test_multipart_with_and_without_compression(self):
        self.trace_program("default")
        self.trace_program("default", LANGSMITH_DISABLE_RUN_COMPRESSION="true")

    def test_batches_of_whole_runs(self):
        self.trace_program("batch")

    def test_one_request_for_each_operation(self):
        self.trace_program("one by one")

    def test_spans(self):
        # The trace's id is OpenTelemetry's then.
        result = self.run_sdk("default", LANGSMITH_TRACING_MODE="otel")

        def root():
            runs = [json.loads(line) for line in self.weft("ls", "--json", "--project", PROJECT).splitlines()]
            return [run for run in runs if run.get("outputs", {}).get("trace_id") == result["trace_id"]]

        (found,) = wait_for(self.collector, root, "the trace of spans")
        self.check(self.wait_for_trace(found["id"], NAMES))


class GrpcSpanExporter(SpanExporter):
    """OpenTelemetry's encoding over gRPC."""

    def __init__(self, address, metadata):
        self._channel = grpc.insecure_channel(address)
        self._stub = trace_service_pb2_grpc.TraceServiceStub(self._channel)
        self._metadata = metadata

    def export(self, spans):
        self._stub.Export(encode_spans(spans), metadata=self._metadata, timeout=20)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        self._channel.close()


class OpenTelemetryTest(CollectorCase):
    def send(self, exporter):
        """A trace of a chat and a tool that fails; its id."""
        provider = TracerProvider(resource=Resource.create({"service.name": "asker"}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("interop")
        with tracer.start_as_current_span("ask", attributes={"answer": 42}) as root:
            chat = {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "echo",
                "gen_ai.usage.input_tokens": 7,
                "gen_ai.usage.output_tokens": 3,
                "gen_ai.prompt": json.dumps({"prompt": "Grüße, 世界"}),
                "gen_ai.completion": json.dumps({"content": "WHAT"}),
            }
            with tracer.start_as_current_span("model", kind=trace.SpanKind.CLIENT, attributes=chat):
                pass
            try:
                with tracer.start_as_current_span("broken", attributes={"gen_ai.tool.name": "broken"}):
                    raise ValueError("cannot use 3.25")
            except ValueError:
                pass
            trace_id = root.get_span_context().trace_id
        provider.shutdown()
        return str(uuid.UUID(int=trace_id))

    def check(self, trace_id):
        runs = {run["name"]: run for run in self.wait_for_trace(trace_id, {"ask", "model", "broken"})}
        self.assertEqual(set(runs), {"ask", "model", "broken"})
        root, model, broken = runs["ask"], runs["model"], runs["broken"]
        self.assertEqual(root["id"], trace_id)
        self.assertEqual({run["session_name"] for run in runs.values()}, {PROJECT})
        for run in (model, broken):
            self.assertEqual(run["parent_run_id"], root["id"])
            self.assertTrue(run["dotted_order"].startswith(root["dotted_order"] + "."))
        self.assertEqual(model["run_type"], "llm")
        self.assertEqual(model["inputs"], {"prompt": "Grüße, 世界"})
        self.assertEqual(model["outputs"]["content"], "WHAT")
        self.assertEqual(broken["run_type"], "tool")
        self.assertEqual(broken["status"], "error")
        self.assertIn("cannot use 3.25", broken["error"])

    def test_over_http(self):
        for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
            for path in ("/otel/v1/traces", "/api/v1/otel/v1/traces"):
                with self.subTest(compression=compression, path=path):
                    exporter = OTLPSpanExporter(
                        self.endpoint + path, headers={"Langsmith-Project": PROJECT}, compression=compression
                    )
                    self.check(self.send(exporter))

    def test_over_grpc(self):
        exporter = GrpcSpanExporter(self.grpc_address, [("langsmith-project", PROJECT)])
        self.check(self.send(exporter))


if __name__ == "__main__":
    unittest.main()
