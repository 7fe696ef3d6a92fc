#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the C++ gateway a question: a trace that begins in Python and goes on in C++. Its runs go to
LANGSMITH_ENDPOINT."""

import argparse
import json
import sys

import grpc
from langsmith import get_current_run_tree, traceable
from langsmith.run_trees import get_cached_client

from protocol import messages, services
from tracing_interceptors import TracingClientInterceptor, process_metadata


@traceable(name="research", metadata=process_metadata())
def research(question, gateway):
    with grpc.insecure_channel(gateway) as plain:
        channel = grpc.intercept_channel(plain, TracingClientInterceptor())
        answer = services.GatewayStub(channel).Ask(messages.Question(text=question), timeout=90)
    return {"answer": answer.text, "trace_id": str(get_current_run_tree().trace_id)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, metavar="ADDRESS")
    parser.add_argument("question")
    options = parser.parse_args()
    try:
        print(json.dumps(research(options.question, options.gateway)))
    except grpc.RpcError as error:
        sys.exit(f"ask: {options.gateway}: {error.details()}")
    finally:
        get_cached_client().flush()


if __name__ == "__main__":
    main()
