# SPDX-License-Identifier: Apache-2.0
"""onnxruntime with the model of examples/models/mlp.keras: its file, and it in the server's Python backend."""
import io
import pathlib
import shutil
import sys
import zipfile

import h5py
import numpy as np
import onnx
import onnx.helper

import models
from server import TRITON, add_model

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
SITE = next(path for path in sys.path if path.endswith("site-packages"))
ENVIRONMENT = {"LD_LIBRARY_PATH": f"{SITE}/nvidia_pytriton.libs"}  # of the server


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


def add_contenders(lamellas, backends, repository):
    """The models "lamella" and "onnxruntime" in a repository, and their backends; `lamellas` is the folder that has the backend lamella."""
    shutil.copytree(lamellas, backends)
    shutil.copytree(TRITON / "backends/python", backends / "python")
    stub = TRITON / f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
    shutil.copy(stub, backends / "python")
    file = pathlib.Path(repository).parent / "mlp.onnx"
    write_onnx(file)
    add_model(repository, "lamella", models.mlp().file, f'backend: "lamella"\nmax_batch_size: 64\ndynamic_batching {{ }}\n{PORTS}')
    add_model(repository, "onnxruntime", None, f'backend: "python"\nmax_batch_size: 64\ndynamic_batching {{ }}\n{PORTS}')
    (repository / "onnxruntime/1/model.py").write_text(PYTHON_MODEL.format(file=file, site=SITE), encoding="utf-8")
