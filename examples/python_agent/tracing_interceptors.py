# SPDX-License-Identifier: Apache-2.0
"""Carries LangSmith runs over gRPC's unary calls in Python, the way weft does in C++.

The SDK knows the two headers (`langsmith-trace`, `baggage`) and reads them from any mapping; all
that is missing is to put them into gRPC's metadata and take them out again.
"""

import collections
import os

import grpc
from langsmith import trace, tracing_context

TRACE_HEADERS = ("langsmith-trace", "baggage")


class _CallDetails(
    collections.namedtuple(
        "_CallDetails",
        "method timeout metadata credentials wait_for_ready compression",
    ),
    grpc.ClientCallDetails,
):
    """What a client interceptor passes on: gRPC's own class cannot be changed or made."""


def process_metadata():
    """Says which program a run comes from."""
    return {"service.name": os.environ.get("OTEL_SERVICE_NAME", "python-agent"), "process.pid": os.getpid()}


def _rpc_metadata(path, kind):
    service, method = path.lstrip("/").split("/", 1)
    return {
        **process_metadata(),
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "rpc.grpc.kind": "unary",
        "otel_kind": kind,
    }


class TracingClientInterceptor(grpc.UnaryUnaryClientInterceptor):
    """Makes a run of every call, and the calling run's headers part of it."""

    def intercept_unary_unary(self, continuation, details, request):
        path = details.method if isinstance(details.method, str) else details.method.decode()
        with trace(path.lstrip("/"), run_type="tool") as run:
            # Before the metadata of this side, which is not for the other one.
            headers = run.to_headers()
            run.add_metadata(_rpc_metadata(path, "CLIENT"))
            metadata = [*(details.metadata or ()), *headers.items()]
            call = continuation(
                _CallDetails(
                    details.method,
                    details.timeout,
                    metadata,
                    details.credentials,
                    details.wait_for_ready,
                    details.compression,
                ),
                request,
            )
            if call.code() is not grpc.StatusCode.OK:
                run.end(error=f"{call.code().name}: {call.details()}")
            return call


class TracingServerInterceptor(grpc.ServerInterceptor):
    """Makes a run of every call, below the caller's run, and the parent of the handler's runs."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        headers = {key: value for key, value in details.invocation_metadata if key in TRACE_HEADERS}

        def traced(request, context):
            with tracing_context(parent=headers or None):
                with trace(details.method.lstrip("/"), run_type="chain") as run:
                    run.add_metadata(_rpc_metadata(details.method, "SERVER"))
                    return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            traced, handler.request_deserializer, handler.response_serializer
        )
