# SPDX-License-Identifier: Apache-2.0
"""Carries LangSmith runs over gRPC calls in Python, the way weft does in C++: calls with one request,
and one reply or a stream of them.

The SDK knows the two headers (`langsmith-trace`, `baggage`) and reads them from any mapping; all
that is missing is to put them into gRPC's metadata and take them out again.
"""

import collections
import contextlib
import contextvars
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


def _with_headers(details, headers):
    return _CallDetails(
        details.method,
        details.timeout,
        [*(details.metadata or ()), *headers.items()],
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )


class _TracedReplies:
    """The replies to a call, whose run ends when there are no more. All else is as the call has it."""

    def __init__(self, call, end):
        self._call = call
        self._end = end

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self._call)
        except (StopIteration, grpc.RpcError):
            self._end(self._call)
            raise

    def __getattr__(self, name):
        return getattr(self._call, name)


class TracingClientInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Makes a run of every call, and the calling run's headers part of it."""

    def intercept_unary_unary(self, continuation, details, request):
        call, end = self._begin(continuation, details, request)
        call.code()  # Waits.
        end(call)
        return call

    def intercept_unary_stream(self, continuation, details, request):
        return _TracedReplies(*self._begin(continuation, details, request))

    def _begin(self, continuation, details, request):
        path = details.method if isinstance(details.method, str) else details.method.decode()
        # The run is current in a context of its own: what the caller does next is not below it.
        context = contextvars.copy_context()
        scope = trace(path.lstrip("/"), run_type="tool")
        run = context.run(scope.__enter__)
        # Before the metadata of this side, which is not for the other one.
        headers = run.to_headers()
        run.add_metadata(_rpc_metadata(path, "CLIENT"))

        def end(call):
            if call.code() is not grpc.StatusCode.OK:
                run.end(error=f"{call.code().name}: {call.details()}")
            context.run(scope.__exit__, None, None, None)

        return continuation(_with_headers(details, headers), request), end


class TracingServerInterceptor(grpc.ServerInterceptor):
    """Makes a run of every call, below the caller's run, and the parent of the handler's runs."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        headers = {key: value for key, value in details.invocation_metadata if key in TRACE_HEADERS}

        @contextlib.contextmanager
        def server_run():
            with tracing_context(parent=headers or None):
                with trace(details.method.lstrip("/"), run_type="chain") as run:
                    run.add_metadata(_rpc_metadata(details.method, "SERVER"))
                    yield

        def unary(request, context):
            with server_run():
                return handler.unary_unary(request, context)

        def stream(request, context):
            with server_run():
                yield from handler.unary_stream(request, context)

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            unary, handler.request_deserializer, handler.response_serializer
        )
