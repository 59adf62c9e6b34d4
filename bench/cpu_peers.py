# SPDX-License-Identifier: Apache-2.0
"""lamella beside onnxruntime (and Keras itself at batch 1) on the CPU: the same weights, inputs and number of threads, in one run.

Four Dense layers with tanh. Answers are compared before times. Programs alternate cell by cell, so that a drift of the machine's
speed meets both. onnxruntime is called from Python through an I/O binding; lamella through its C++ interface.

Usage: cpu_peers.py [--latency build/release/bin/latency] [--lamella build/release/bin/lamella] [--threads 2] [--json FILE]
"""
import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BATCHES = [1, 64, 4096]
WIDTHS = [64, 256, 1024]
DEPTH = 4


def make_model(width, seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((width,))] + [keras.layers.Dense(width, activation="tanh") for _ in range(DEPTH)]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1 / math.sqrt(width), w.shape).astype("float32") for w in model.get_weights()])
    return model


def to_onnx(model, width):
    nodes, tensors, name = [], [], "x"
    for i, layer in enumerate(model.layers):
        kernel, bias = layer.get_weights()
        tensors += [numpy_helper.from_array(kernel, f"k{i}"), numpy_helper.from_array(bias, f"b{i}")]
        nodes += [helper.make_node("Gemm", [name, f"k{i}", f"b{i}"], [f"z{i}"]), helper.make_node("Tanh", [f"z{i}"], [f"y{i}"])]
        name = f"y{i}"
    graph = helper.make_graph(nodes, "mlp", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made.SerializeToString(), name


def median_us(call):
    call()
    begin = time.perf_counter()
    call()
    once = time.perf_counter() - begin
    calls = max(1, int(2e-3 / max(once, 1e-7)))
    samples = []
    for _ in range(51):
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        samples.append((time.perf_counter() - begin) / calls * 1e6)
    return statistics.median(samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", default="build/release/bin/latency")
    parser.add_argument("--lamella", default="build/release/bin/lamella")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for width in WIDTHS:
            model = make_model(width, width)
            path = folder / f"{width}.keras"
            model.save(path)
            data, output = to_onnx(model, width)
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = options.threads
            session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
            for batch in BATCHES:
                x = np.random.default_rng(batch).normal(size=(batch, width)).astype("float32")
                np.save(folder / "x.npy", x)
                subprocess.run([options.lamella, "predict", path, "--input", folder / "x.npy", "--output", folder / "y.npy", "--device", "cpu"], check=True)
                wanted = model.predict(x, verbose=0)
                for who, found in (("lamella", np.load(folder / "y.npy")), ("onnxruntime", session.run(None, {"x": x})[0])):
                    worst = float(np.abs(found - wanted).max())
                    if not worst < 1e-4:
                        raise SystemExit(f"{who} differs from Keras by {worst} at width {width}, batch {batch}")
                y = np.empty((batch, width), "float32")
                binding = session.io_binding()
                binding.bind_cpu_input("x", x)
                binding.bind_output(output, "cpu", 0, np.float32, y.shape, y.ctypes.data)
                ours, theirs = [], []
                for _ in range(3):
                    theirs.append(median_us(lambda: session.run_with_iobinding(binding)))
                    line = subprocess.run([options.latency, path, str(options.threads), str(batch)], check=True, capture_output=True, text=True).stdout
                    ours.append(float(line.split()[1]))
                row = {"width": width, "batch": batch, "lamella_us": statistics.median(ours), "onnxruntime_us": statistics.median(theirs)}
                row["ratio"] = row["onnxruntime_us"] / row["lamella_us"]
                if batch == 1:
                    row["keras_predict_us"] = median_us(lambda: model.predict(x, verbose=0))
                rows.append(row)
    print(f"4 x Dense(tanh), float32, {options.threads} threads; microseconds a call; ratio = onnxruntime / lamella")
    print("| width | batch | lamella | onnxruntime | ratio | Keras predict |\n|---|---|---|---|---|---|")
    for row in rows:
        predict = f"{row['keras_predict_us']:.0f}" if "keras_predict_us" in row else ""
        print(f"| {row['width']} | {row['batch']} | {row['lamella_us']:.2f} | {row['onnxruntime_us']:.2f} | {row['ratio']:.2f} | {predict} |")
    mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in rows))
    print(f"geometric mean of the ratios {mean:.2f}, lowest {min(row['ratio'] for row in rows):.2f}")
    if options.json:
        context = {"machine": platform.processor() or platform.machine(), "threads": options.threads, "load": os.getloadavg(), "keras": keras.__version__,
                   "onnxruntime": onnxruntime.__version__, "date": time.strftime("%Y-%m-%d")}
        pathlib.Path(options.json).write_text(json.dumps({"context": context, "rows": rows, "geometric_mean": mean}, indent=1) + "\n")


if __name__ == "__main__":
    main()
