#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests per second of a Dense model in one server: lamella's backend and onnxruntime in the server's Python backend, taking turns.

Usage: measure.py WORK      the folder that has page/backends, as scripts/test-serving leaves it
"""
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np
import tritonclient.grpc

import models
import onnx_peer
from server import Server, infer, request

BACKENDS = pathlib.Path(sys.argv[1]).resolve() / "page/backends"
SECONDS, TURNS = 2, 3


def rate(server, name, rows, clients):
    """Complete answers per second."""
    x = models.mlp().inputs["pixels"][:rows]
    counts, stop = [0] * clients, time.monotonic() + SECONDS

    def work(number):
        own = server.grpc_client()
        inputs, _ = request(tritonclient.grpc, {"pixels": x})
        while time.monotonic() < stop:
            assert own.infer(name, inputs).as_numpy("digit").shape == (rows, 10)
            counts[number] += 1
        own.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def compute_us(server, name):
    """The server's own count of computing time per request, so far, in microseconds."""
    stats = server.grpc.get_inference_statistics(name, as_json=True)["model_stats"][0]["inference_stats"]
    return sum(int(stats[part]["ns"]) for part in ("compute_input", "compute_infer", "compute_output")) / int(stats["success"]["count"]) / 1000


def main():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        repository, backends = scratch / "models", scratch / "backends"
        onnx_peer.add_contenders(BACKENDS, backends, repository)
        with Server(backends, repository, scratch / "log", environment=onnx_peer.ENVIRONMENT) as server:
            for name in ("lamella", "onnxruntime"):
                server.load(name)
                assert np.allclose(infer(server.grpc, name, models.mlp().inputs)["digit"], models.mlp().outputs[0], rtol=1e-5, atol=4e-6), name
            print("rows clients  lamella requests/s  onnxruntime in Python requests/s (each turn)")
            for rows, clients in ((1, 1), (1, 8), (16, 8), (64, 8)):
                rates = {name: [] for name in ("lamella", "onnxruntime")}
                for _ in range(TURNS):
                    for name, list_of in rates.items():
                        list_of.append(rate(server, name, rows, clients))
                print(rows, clients, *([round(value) for value in rates[name]] for name in rates), sep="  ", flush=True)
            print("microseconds of computation per request, as counted by the server:", {name: round(compute_us(server, name), 1) for name in ("lamella", "onnxruntime")})


if __name__ == "__main__":
    main()
