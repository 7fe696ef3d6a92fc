# SPDX-License-Identifier: Apache-2.0
"""The program of sdk_program.py with a client whose switches are set: one argument, its way to send."""

import json
import sys

from langsmith import Client, tracing_context
from langsmith.schemas import LangSmithInfo

import sdk_program

WAYS = {
    "default": lambda: Client(),
    # What a server says that has no multipart.
    "batch": lambda: Client(
        info=LangSmithInfo(
            version="0.16.0",
            batch_ingest_config={
                "use_multipart_endpoint": False,
                "size_limit": 100,
                "size_limit_bytes": 20971520,
                "scale_up_nthreads_limit": 16,
                "scale_up_qsize_trigger": 1000,
                "scale_down_nempty_trigger": 4,
            },
        )
    ),
    "one by one": lambda: Client(auto_batch_tracing=False),
}

if __name__ == "__main__":
    client = WAYS[sys.argv[1]]()
    with tracing_context(client=client, enabled=True):
        result = sdk_program.agent("What is it?")
    client.flush()
    if client.otel_exporter is not None:
        from opentelemetry import trace

        trace.get_tracer_provider().force_flush()
    print(json.dumps(result))
