# SPDX-License-Identifier: Apache-2.0
"""The Python of docs/tracing.md. Each function does one thing that users of LangSmith's SDK do;
run as a program, it does them all below the run that the headers on its command line name."""

import json
import sys

# snippet: imports
from langsmith import RunTree, get_current_run_tree, traceable, tracing_context
from langsmith.middleware import TracingMiddleware
# end snippet
from langsmith.run_trees import get_cached_client


# snippet: traceable
@traceable(run_type="llm", name="plan", tags=["demo"])
def plan(question: str) -> str:
    return f"think about {question}"
# end snippet


# snippet: to_headers
@traceable
def ask(send, question: str) -> str:
    headers = get_current_run_tree().to_headers()
    return send(question, headers=headers)
# end snippet


def serve(app):
    # snippet: middleware
    app.add_middleware(TracingMiddleware)  # FastAPI, Starlette: any ASGI application
    # end snippet


def answer_below(headers, question):
    # snippet: tracing_context
    with tracing_context(parent=headers, tags=["canary"]):
        answer = plan(question)
    # end snippet
    return answer


def answer_once_below(headers, question):
    # snippet: langsmith_extra
    answer = plan(question, langsmith_extra={"parent": headers, "tags": ["retry"]})
    # end snippet
    return answer


def answer_below_run(run, question):
    # snippet: with_run_tree
    with tracing_context(parent=run):
        answer = plan(question)
    # end snippet
    return answer


def continue_run(headers):
    # snippet: from_headers
    caller = RunTree.from_headers(headers)
    run = caller.create_child(name="rerank", run_type="tool", inputs={"k": 8})
    run.post()
    run.end(outputs={"ids": [3, 1]})
    run.patch()
    # end snippet
    return run


def main(headers):
    answer_below(headers, "one")
    answer_once_below(headers, "two")
    run = continue_run(headers)
    answer_below_run(run, "three")
    with tracing_context(parent=headers):
        ask(lambda question, headers: plan(question, langsmith_extra={"parent": headers}), "four")
    get_cached_client().flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
