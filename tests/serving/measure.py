#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests per second of a Dense model in one server: lamella's backend and onnxruntime in the server's Python backend, taking turns.

Usage: measure.py WORK      the folder that has page/backends, as scripts/test-serving leaves it
"""
import io
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import zipfile

import h5py
import numpy as np
import onnx
import onnx.helper
import tritonclient.grpc

import models
from server import TRITON, Server, add_model, infer, request

BACKENDS = pathlib.Path(sys.argv[1]).resolve() / "page/backends"
SECONDS, TURNS = 2, 3
PYTHON_MODEL = '''
import sys
sys.path.insert(0, "{site}")
import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        self.session = onnxruntime.InferenceSession("{file}", options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        arrays = [triton.get_input_tensor_by_name(request, "pixels").as_numpy() for request in requests]
        result, = self.session.run(["digit"], {{"pixels": np.concatenate(arrays)}})
        ends = np.cumsum([len(array) for array in arrays])[:-1]
        return [triton.InferenceResponse([triton.Tensor("digit", part)]) for part in np.split(result, ends)]
'''
PORTS = 'input { name: "pixels" data_type: TYPE_FP32 dims: [784] } output { name: "digit" data_type: TYPE_FP32 dims: [10] }'


def weights():
    """The weights of examples/models/mlp.keras: a list of (kernel, bias)."""
    with zipfile.ZipFile(models.mlp().file) as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    found = []
    file.visititems(lambda name, item: found.append((name, np.asarray(item))) if isinstance(item, h5py.Dataset) else None)
    arrays = dict(found)
    layers = sorted({name.rsplit("/", 1)[0] for name in arrays})
    made = [(arrays[layer + "/0"], arrays[layer + "/1"]) for layer in layers]
    return sorted(made, key=lambda pair: -pair[0].shape[0])


def write_onnx(file):
    (k0, b0), (k1, b1) = weights()
    make = onnx.helper.make_node
    nodes = [make("Gemm", ["pixels", "k0", "b0"], ["h"]), make("Tanh", ["h"], ["t"]), make("Gemm", ["t", "k1", "b1"], ["z"]), make("Softmax", ["z"], ["digit"])]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "mlp", [value("pixels", 1, ["n", 784])], [value("digit", 1, ["n", 10])],
                                   [onnx.numpy_helper.from_array(array, name) for name, array in (("k0", k0), ("b0", b0), ("k1", k1), ("b1", b1))])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), file)


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
        shutil.copytree(BACKENDS, backends)
        shutil.copytree(TRITON / "backends/python", backends / "python")
        stub = TRITON / f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
        shutil.copy(stub, backends / "python")
        write_onnx(scratch / "mlp.onnx")
        add_model(repository, "lamella", models.mlp().file, f'backend: "lamella"\nmax_batch_size: 64\ndynamic_batching {{ }}\n{PORTS}')
        add_model(repository, "onnxruntime", None, f'backend: "python"\nmax_batch_size: 64\ndynamic_batching {{ }}\n{PORTS}')
        site = next(path for path in sys.path if path.endswith("site-packages"))
        (repository / "onnxruntime/1/model.py").write_text(PYTHON_MODEL.format(file=scratch / "mlp.onnx", site=site), encoding="utf-8")
        with Server(backends, repository, scratch / "log", environment={"LD_LIBRARY_PATH": f"{site}/nvidia_pytriton.libs"}) as server:
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
