# SPDX-License-Identifier: Apache-2.0
"""The ends of a chain in Python: grpcio and the LangSmith SDK.

    peer.py ask ADDRESS                 asks both ways; prints the trace's id and the answers as JSON
    peer.py answer --ready-file PATH    serves until SIGTERM
"""

import json
import os
import pathlib
import signal
import sys
from concurrent import futures

import grpc
from langsmith import get_current_run_tree, traceable
from langsmith.run_trees import get_cached_client

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parents[2] / "examples" / "python_agent")]

from tracing_interceptors import TracingClientInterceptor, TracingServerInterceptor

messages, services = grpc.protos_and_services("relay.proto")


@traceable
def answer(text):
    return text.upper()


class Answerer(services.RelayServicer):
    def Ask(self, request, context):
        return messages.Answer(text=answer(request.text))

    def Follow(self, request, context):
        for word in request.text.split():
            yield messages.Answer(text=answer(word))


@traceable
def asker(address):
    with grpc.insecure_channel(address) as plain:
        stub = services.RelayStub(grpc.intercept_channel(plain, TracingClientInterceptor()))
        question = messages.Question(text="one tree")
        answers = [stub.Ask(question, timeout=30).text]
        answers += [reply.text for reply in stub.Follow(question, timeout=30)]
    return {"answers": answers, "trace_id": str(get_current_run_tree().trace_id)}


def serve(ready_file):
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4), interceptors=[TracingServerInterceptor()]
    )
    services.add_RelayServicer_to_server(Answerer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=2))
    draft = ready_file + ".draft"
    pathlib.Path(draft).write_text(json.dumps({"grpc": f"127.0.0.1:{port}"}))
    os.replace(draft, ready_file)
    server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        print(json.dumps(asker(sys.argv[2])))
    else:
        serve(sys.argv[3])
    get_cached_client().flush()
