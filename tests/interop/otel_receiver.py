# SPDX-License-Identifier: Apache-2.0
"""A receiver of OTLP that reads with OpenTelemetry's own messages."""

import concurrent.futures
import gzip
import http.server
import threading

import grpc
from google.protobuf import unknown_fields
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service


def has_unknown_fields(message):
    """Whether something was sent that OpenTelemetry does not know."""
    if len(unknown_fields.UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if any(map(has_unknown_fields, value if field.is_repeated else [value])):
            return True
    return False


def plain(value):
    """An attribute's value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(element) for element in value.array_value.values]
    return getattr(value, kind)


def attributes(message):
    return {attribute.key: plain(attribute.value) for attribute in message.attributes}


class Receiver:
    """Listens for both protocols; what it has got is in `received`: (how, headers, request)."""

    def __init__(self):
        self.received = []
        self._lock = threading.Lock()
        self._grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        service.add_TraceServiceServicer_to_server(self, self._grpc)
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self.grpc_endpoint = f"http://127.0.0.1:{port}"
        self._grpc.start()
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http_endpoint = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def stop(self):
        self._grpc.stop(None)
        self._http.shutdown()
        self._http.server_close()

    def add(self, how, headers, request):
        with self._lock:
            self.received.append((how, headers, request))

    def spans(self):
        """(service, span) of all that has come."""
        with self._lock:
            return [
                (attributes(resource.resource)["service.name"], span)
                for _, _, request in self.received
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]

    def Export(self, request, context):
        self.add("grpc", dict(context.invocation_metadata()), request)
        return messages.ExportTraceServiceResponse()

    def _handler(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = messages.ExportTraceServiceRequest.FromString(body)
                receiver.add(f"http {self.path}", headers, request)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler
