# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's SDKs and LangSmith's in OpenTelemetry mode, against the collector."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from support import CLEAN_ENVIRONMENT, HERE, PEERS, CollectorCase

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROGRAM = textwrap.dedent("""
    import langsmith
    client = langsmith.Client()
    @langsmith.traceable(run_type="llm")
    def answer(question):
        return {"text": question[::-1]}
    @langsmith.traceable(name="plan", tags=["a", "b"], metadata={"k": "v"})
    def plan(question):
        return answer(question)
    plan("why", langsmith_extra={"client": client})
    client.flush()
    from opentelemetry import trace
    trace.get_tracer_provider().force_flush()
""")


class GrpcExporter(SpanExporter):
    """OTLP over gRPC, as the package for it does, which is not installed."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.call = self.channel.unary_unary(
            EXPORT,
            request_serializer=trace_service_pb2.ExportTraceServiceRequest.SerializeToString,
            response_deserializer=trace_service_pb2.ExportTraceServiceResponse.FromString,
        )

    def export(self, spans):
        answer = self.call(encode_spans(spans), timeout=20)
        return SpanExportResult.FAILURE if answer.HasField("partial_success") else SpanExportResult.SUCCESS

    def shutdown(self):
        self.channel.close()


class OtlpCollectorTest(CollectorCase):
    def read(self, *arguments):
        return [json.loads(line) for line in self.weft(*arguments, "--json").splitlines()]

    def send(self, exporter):
        provider = TracerProvider(resource=Resource.create({"service.name": "asker"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test", "1.0")
        with tracer.start_as_current_span("root"):
            with tracer.start_as_current_span("chat") as chat:
                chat.set_attribute("gen_ai.operation.name", "chat")
                chat.set_attribute("gen_ai.usage.input_tokens", 7)
                try:
                    with tracer.start_as_current_span("tool"):
                        raise ValueError("boom")
                except ValueError:
                    pass
        provider.shutdown()

    def check(self, has_stack=True):
        roots = self.read("ls")
        self.assertEqual([root["name"] for root in roots], ["root"])
        runs = self.read("show", roots[0]["id"])
        self.assertEqual([run["name"] for run in runs], ["root", "chat", "tool"])
        root, chat, tool = runs
        self.assertEqual(root["id"], root["trace_id"])
        self.assertEqual(chat["parent_run_id"], root["id"])
        self.assertEqual(tool["parent_run_id"], chat["id"])
        self.assertTrue(tool["dotted_order"].startswith(chat["dotted_order"] + "."))
        self.assertEqual([run["status"] for run in runs], ["success", "success", "error"])
        self.assertEqual(tool["error"].split("\n")[0], "boom")
        if has_stack:
            self.assertTrue(tool["error"].startswith("boom\n\nStacktrace:\n"))
        self.assertEqual(chat["run_type"], "llm")
        metadata = chat["extra"]["metadata"]
        self.assertEqual(metadata["usage_metadata"]["input_tokens"], 7)
        self.assertEqual(metadata["service.name"], "asker")

    def test_spans_over_grpc(self):
        self.send(GrpcExporter(self.grpc_address))
        self.check()

    def test_spans_over_http(self):
        self.send(OTLPSpanExporter(f"http://{self.otlp_http_address}/v1/traces", compression=Compression.Gzip))
        self.check()

    def run_peer(self, *arguments, cwd=None, env=CLEAN_ENVIRONMENT):
        subprocess.run([str(argument) for argument in arguments], env=env, cwd=cwd, check=True, timeout=60)

    def javascript_folder(self, program):
        # Node looks for packages beside the program.
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "node_modules").symlink_to(PEERS / "js" / "node_modules")
        shutil.copy(HERE / program, folder)
        return folder

    def send_from_javascript(self, protocol, address):
        folder = self.javascript_folder("otel_program.mjs")
        self.run_peer("node", "otel_program.mjs", protocol, address, cwd=folder)

    def test_javascript_over_grpc(self):
        self.send_from_javascript("grpc", self.grpc_address)
        self.check()

    def test_javascript_over_http_as_json(self):
        self.send_from_javascript("json", self.otlp_http_address)
        self.check()

    def test_javascript_over_http_as_protobuf(self):
        self.send_from_javascript("protobuf", self.otlp_http_address)
        self.check()

    def test_go_over_grpc(self):
        self.run_peer(PEERS / "bin" / "otel_go", "grpc", self.grpc_address)
        self.check(has_stack=False)

    def test_go_over_http(self):
        self.run_peer(PEERS / "bin" / "otel_go", "http", self.otlp_http_address)
        self.check(has_stack=False)

    def opentelemetry_mode(self):
        """The environment of a program with LangSmith's SDK."""
        environment = {
            "LANGSMITH_ENDPOINT": self.endpoint,
            "LANGSMITH_API_KEY": "key",
            "LANGSMITH_PROJECT": "otel",
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_OTEL_ENABLED": "true",
            "LANGSMITH_OTEL_ONLY": "true",
        }
        return {**CLEAN_ENVIRONMENT, **environment}

    def check_langsmith_sdk(self):
        roots = self.read("ls")
        self.assertEqual([root["name"] for root in roots], ["plan"])
        plan, answer = self.read("show", roots[0]["id"])
        self.assertEqual(plan["session_name"], "otel")
        self.assertEqual(list(plan["inputs"].values()), ["why"])
        self.assertEqual(sorted(plan["tags"]), ["a", "b"])
        self.assertEqual(plan["extra"]["metadata"]["k"], "v")
        self.assertEqual((answer["name"], answer["run_type"]), ("answer", "llm"))
        self.assertEqual(answer["parent_run_id"], plan["id"])
        self.assertTrue(answer["dotted_order"].startswith(plan["dotted_order"] + "."))
        self.assertEqual(answer["outputs"]["text"], "yhw")

    def test_langsmith_python_in_opentelemetry_mode(self):
        subprocess.run([sys.executable, "-c", PROGRAM], env=self.opentelemetry_mode(), check=True, timeout=60)
        self.check_langsmith_sdk()

    def test_langsmith_javascript_in_opentelemetry_mode(self):
        folder = self.javascript_folder("sdk_otel_program.mjs")
        self.run_peer("node", "sdk_otel_program.mjs", cwd=folder, env=self.opentelemetry_mode())
        self.check_langsmith_sdk()


if __name__ == "__main__":
    unittest.main()
