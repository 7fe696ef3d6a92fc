# SPDX-License-Identifier: Apache-2.0
"""The messages and services of the team, made from its .proto file when the program starts."""

import pathlib
import sys

import grpc

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "research_team"))
messages, services = grpc.protos_and_services("research_team.proto")
