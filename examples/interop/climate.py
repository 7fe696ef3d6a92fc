#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the weather of a city usually is: FastAPI with LangSmith's middleware, called by the C++
forecaster, and a client of the C++ stations."""

import argparse
import json
import os
import pathlib
import socket

import requests
import uvicorn
from fastapi import FastAPI
from langsmith import get_current_run_tree, traceable
from langsmith.middleware import TracingMiddleware
from langsmith.run_trees import get_cached_client
from pydantic import BaseModel

options = argparse.Namespace()
app = FastAPI()
app.add_middleware(TracingMiddleware)


class Place(BaseModel):
    city: str


@traceable(run_type="retriever")
def normals(city: str) -> dict:
    reply = requests.post(
        f"http://{options.stations}/stations",
        json={"city": city},
        headers=get_current_run_tree().to_headers(),
        timeout=30,
    )
    reply.raise_for_status()
    stations = " and ".join(reply.json()["stations"])
    return {"summary": f"mild and windy, as measured at {stations}"}


@app.post("/normals")
def answer(place: Place) -> dict:
    return normals(place.city)


class Server(uvicorn.Server):
    """Says where it listens as soon as it does, and delivers its runs before it ends."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        host, port = sockets[0].getsockname()
        draft = pathlib.Path(options.ready_file + ".draft")
        draft.write_text(json.dumps({"pid": os.getpid(), "http": f"{host}:{port}"}))
        draft.rename(options.ready_file)

    async def shutdown(self, sockets=None):
        await super().shutdown(sockets)
        get_cached_client().flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", required=True, metavar="ADDRESS")
    parser.add_argument("--ready-file", required=True, metavar="PATH")
    parser.parse_args(namespace=options)
    listening = socket.create_server(("127.0.0.1", 0))
    Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
