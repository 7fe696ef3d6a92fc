#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the claims of an answer with the passages they come from: an agent in Python, called by
the C++ gateway (`--fact-checker ADDRESS`). Its runs go to LANGSMITH_ENDPOINT."""

import argparse
import json
import os
import re
import signal
from concurrent import futures

import grpc
from langsmith import traceable
from langsmith.run_trees import get_cached_client

from protocol import messages, services
from tracing_interceptors import TracingServerInterceptor, process_metadata

SUPPORTED = 0.6  # Share of a claim's words that one passage must hold.


def words(text):
    return set(re.findall(r"\w{3,}", text.lower()))


@traceable(run_type="tool", metadata=process_metadata())
def check_claim(claim, passages):
    """How much of the claim the best passage holds."""
    wanted = words(claim)
    found = max((len(wanted & words(passage)) for passage in passages), default=0)
    support = found / len(wanted) if wanted else 0.0
    return {"accepted": support >= SUPPORTED, "support": round(support, 3)}


class FactChecker(services.FactCheckerServicer):
    def Check(self, request, context):
        if not request.claims:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "claims are missing")
        passages = [passage.text for passage in request.passages]
        reply = messages.CheckReply()
        for number, claim in enumerate(request.claims):
            result = check_claim(claim.text, passages)
            reply.verdicts.add(
                claim=number, accepted=result["accepted"], reason=f"support {result['support']}"
            )
        return reply


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS")
    parser.add_argument("--ready-file", metavar="PATH")
    options = parser.parse_args()

    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=8), interceptors=[TracingServerInterceptor()]
    )
    services.add_FactCheckerServicer_to_server(FactChecker(), server)
    port = server.add_insecure_port(options.listen)
    server.start()
    address = f"{options.listen.rsplit(':', 1)[0]}:{port}"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop(grace=2))
    if options.ready_file:
        draft = options.ready_file + ".draft"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "grpc": address}, file)
        os.replace(draft, options.ready_file)
    server.wait_for_termination()
    get_cached_client().flush()


if __name__ == "__main__":
    main()
