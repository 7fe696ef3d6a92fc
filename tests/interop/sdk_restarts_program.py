# SPDX-License-Identifier: Apache-2.0
"""Makes 50 traces for each line that it reads, and prints their ids as one line of JSON."""

import json
import sys

from langsmith import get_current_run_tree, traceable
from langsmith.run_trees import get_cached_client


@traceable
def step(number):
    return {"text": f"{number} " * 200}


@traceable
def agent(number):
    step(number)
    return {"id": str(get_current_run_tree().id), "number": number}


for round, _ in enumerate(sys.stdin):
    results = [agent(round * 50 + i) for i in range(50)]
    print(json.dumps([result["id"] for result in results]), flush=True)
get_cached_client().flush()
