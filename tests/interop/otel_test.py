# SPDX-License-Identifier: Apache-2.0
"""A caller in Python that knows only OpenTelemetry, agents in C++, and OpenTelemetry's messages."""

import sys
import unittest

import grpc
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_receiver import Receiver, attributes, has_unknown_fields
from support import ROOT, WEFT, start_until_ready, wait_for

sys.path.append(str(ROOT / "examples" / "python_agent"))
import protocol  # noqa: E402

PLAN = "research_team.v1.Planner/Plan"
COUNT = "research_team.v1.Retriever/CountTerms"
KIND = trace_pb2.Span.SpanKind


class OpenTelemetryTest(unittest.TestCase):
    def setUp(self):
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)
        self.provider = TracerProvider(resource=Resource.create({"service.name": "asker"}))
        self.provider.add_span_processor(
            SimpleSpanProcessor(OTLPSpanExporter(f"{self.receiver.http_endpoint}/v1/traces"))
        )
        self.addCleanup(self.provider.shutdown)

    def start_agent(self, name, environment, *arguments):
        self.process, ready = start_until_ready(
            self,
            [WEFT.parent / f"research_team_{name}", *arguments],
            {
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_OTEL_ONLY": "true",
                "OTEL_SERVICE_NAME": name,
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
                "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k%201",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                **environment,
            },
        )
        return ready["grpc"]

    def ask(self, environment):
        """Asks the planner, and returns what the receiver has in the end: name and kind -> span."""
        retriever = self.start_agent("retriever", environment, "--docs", ROOT / "docs")
        planner = self.start_agent("planner", environment, "--retriever", retriever)
        with grpc.insecure_channel(planner) as channel:
            stub = protocol.services.PlannerStub(channel)
            with self.provider.get_tracer("test").start_as_current_span("ask"):
                headers = {}
                propagate.inject(headers)
                self.assertEqual(list(headers), ["traceparent"])
                request = protocol.messages.PlanRequest(question="How do runs find their parents?")
                stub.Plan(request, metadata=[*headers.items(), ("tracestate", "vendor=x")], timeout=20)
        wanted = {("asker", "ask", KIND.SPAN_KIND_INTERNAL)} | {
            ("planner", PLAN, KIND.SPAN_KIND_SERVER),
            ("planner", COUNT, KIND.SPAN_KIND_CLIENT),
            ("retriever", COUNT, KIND.SPAN_KIND_SERVER),
        }

        def spans():
            found = {(name, span.name, span.kind): span for name, span in self.receiver.spans()}
            return found if wanted <= found.keys() else None

        return wait_for(self.process, spans, "all spans")

    def check_trace(self, spans):
        ask = spans["asker", "ask", KIND.SPAN_KIND_INTERNAL]
        plan = spans["planner", PLAN, KIND.SPAN_KIND_SERVER]
        call = spans["planner", COUNT, KIND.SPAN_KIND_CLIENT]
        count = spans["retriever", COUNT, KIND.SPAN_KIND_SERVER]
        self.assertEqual({span.trace_id for span in spans.values()}, {ask.trace_id})
        self.assertEqual(plan.parent_span_id, ask.span_id)
        self.assertEqual(count.parent_span_id, call.span_id)
        ids = {span.span_id for span in spans.values()}
        self.assertEqual(len(ids), len(spans))
        for (name, *_), span in spans.items():
            if name == "asker":
                continue
            self.assertIn(span.parent_span_id, ids)
            self.assertLessEqual(span.start_time_unix_nano, span.end_time_unix_nano)
            self.assertEqual(span.trace_state, "vendor=x")
            self.assertEqual(span.status.code, trace_pb2.Status.STATUS_CODE_OK)
            told = attributes(span)
            self.assertEqual(told["langsmith.trace.id"].replace("-", ""), ask.trace_id.hex())
            self.assertEqual(told["langsmith.span.id"].replace("-", "")[16:], span.span_id.hex())
        self.assertEqual(attributes(count)["rpc.method"], "CountTerms")
        self.assertEqual(attributes(count)["rpc.grpc.status_code"], 0)

    def check_requests(self, how):
        ours = [entry for entry in self.receiver.received if "api-key" in entry[1]]
        self.assertEqual({entry[0] for entry in ours}, {how})
        for _, headers, request in ours:
            self.assertEqual(headers["api-key"], "k 1")
            self.assertFalse(has_unknown_fields(request))
            for resource in request.resource_spans:
                told = attributes(resource.resource)
                self.assertEqual(told["deployment.environment.name"], "test")
                self.assertEqual(told["telemetry.sdk.name"], "weft")

    def test_one_trace_over_grpc(self):
        self.check_trace(
            self.ask(
                {
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.grpc_endpoint,
                }
            )
        )
        self.check_requests("grpc")

    def test_one_trace_over_http(self):
        self.check_trace(self.ask({"OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.http_endpoint}))
        self.check_requests("http /v1/traces")


if __name__ == "__main__":
    unittest.main()
