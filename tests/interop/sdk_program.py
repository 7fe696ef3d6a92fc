# SPDX-License-Identifier: Apache-2.0
"""What a user's program looks like: nothing in it knows of weft."""

import json

from langsmith import get_current_run_tree, traceable
from langsmith.run_trees import get_cached_client
from langsmith.schemas import Attachment


@traceable(run_type="llm", metadata={"ls_provider": "test", "ls_model_name": "echo"})
def model(prompt):
    return {
        "content": prompt.upper(),
        "usage_metadata": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    }


@traceable(run_type="retriever")
def read_page(page: Attachment):
    return [{"page_content": "Grüße, 世界", "type": "Document", "metadata": {"size": len(page.data)}}]


@traceable(run_type="tool")
def broken(number):
    raise ValueError(f"cannot use {number}")


@traceable(tags=["interop"], metadata={"customer": "alpha"})
def agent(question):
    model(question)
    read_page(Attachment(mime_type="image/png", data=b"\x89PNG\x00\xff page"))
    try:
        broken(3.25)
    except ValueError:
        pass
    run = get_current_run_tree()
    return {"answer": 42, "trace_id": str(run.trace_id), "id": str(run.id)}


if __name__ == "__main__":
    result = agent("What is it?")
    get_cached_client().flush()
    print(json.dumps(result))
