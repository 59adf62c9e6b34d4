# SPDX-License-Identifier: Apache-2.0
"""Tests of bench/peers that judge no time. Usage: peers_test.py FOLDER_OF_PROGRAMS. Needs numpy; with Keras, also runs a small comparison."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.argv[1])
PEERS = ROOT / "bench/peers"
PYTHONS = [os.environ.get("LAMELLA_PEERS_PYTHON"), BIN.parent / "peers-venv/bin/python", ROOT / "build/venv-conformance/bin/python"]


def has(python, *packages):
    command = [str(python), "-c", "import " + ", ".join(packages)]
    return pathlib.Path(python).exists() and subprocess.run(command, capture_output=True, env=dict(os.environ, KERAS_BACKEND="jax")).returncode == 0


def expect(condition, *what):
    if not condition:
        raise SystemExit("FAILED: " + " ".join(map(str, what)))


if not has(sys.executable, "numpy"):
    for python in filter(None, PYTHONS):
        if has(python, "numpy"):
            os.execv(str(python), [str(python)] + sys.argv)
    print("skipped: no Python here has numpy")
    sys.exit(77)

import numpy as np

sys.path.insert(0, str(PEERS))
import contenders
import gpu_contenders
import peers
import stubs

OPTIONS = {"bin": BIN, "dtype": "float32", "tf32": False, "threads": 1, "device": "cuda:0", "in_python": False}


def fails(call):
    try:
        call()
    except SystemExit as error:
        return str(error)
    return ""


def sums():
    expect(peers.spread_of([5.0]) == 0 and abs(peers.spread_of([1.0, 2.0, 3.0, 4.0, 5.0]) - 2 / 3) < 1e-9, "quartiles over the median")
    rows = [{"peer": "a", "ratio": 2.0}, {"peer": "a", "ratio": 8.0}, {"peer": "a", "ratio": 99.0, "error_occurred": True},
            {"peer": "b", "ratio": None}]
    means = peers.means_of(rows)
    expect(abs(means["a"]["ratio"] - 4) < 1e-9 and means["a"]["cells"] == 2 and means["a"]["lowest"] == 2 and "b" not in means, means)


def wrong_answers_stop():
    options = argparse.Namespace(**OPTIONS)
    right = np.ones((3, 4))
    peers.expect_right("it", right, right, options)
    wrong = right.copy()
    wrong[2, 3] += 1e-3
    expect("differs from the float64 reference" in fails(lambda: peers.expect_right("it", wrong, right, options)), "a wrong element")
    wrong[2, 3] = np.nan
    expect("differs" in fails(lambda: peers.expect_right("it", wrong, right, options)), "a NaN")


def what_is_not_there_says_so():
    for contender in contenders.ON_THE_CPU + gpu_contenders.ON_A_GPU:
        expect(contender.name and contender.device in ("cpu", "cuda:0"), contender)
    try:
        gpu_contenders.CublasLt(peers.Model(8, 1, "relu"), argparse.Namespace(**dict(OPTIONS, bin=pathlib.Path("nowhere"))))
        expect(False, "a program that does not exist")
    except contenders.Absent as why:
        expect("not built" in str(why), why)


def without_a_gpu_every_peer_has_rows_that_say_so():
    options = argparse.Namespace(**dict(OPTIONS, batch=[1, 3], only=None, depth=2, seconds=60.0))
    rows = list(peers.compare(peers.Model(8, 2, "relu"), options, "no GPU here"))
    names = [c.name for c in contenders.ON_THE_CPU + gpu_contenders.ON_A_GPU]
    expect(sorted((r["peer"], r["batch"]) for r in rows) == sorted((n, b) for n in names for b in (1, 3)), "a row for each peer and cell")
    for row in rows:
        wanted = "no GPU here" if row["device"] == "cuda:0" else "this run compares on cuda:0"
        expect(row["error_message"] == f"not measured: {wanted}" and row["ratio"] is None, row)
    parts = [list(peers.compare(peers.Model(8, 2, "relu"), options, "no GPU here", slow)) for slow in (False, True)]
    expect(sorted(map(str, parts[0] + parts[1])) == sorted(map(str, rows)), "two parts make the whole")
    expect({r["peer"] for r in parts[1]} == {c.name for c in gpu_contenders.ON_A_GPU if "TensorRT" in c.name or "compile" in c.name}, "the slow ones")
    rows = peers.compare(peers.Model(8, 2, "relu"), argparse.Namespace(**dict(vars(options), in_python=True)), "")
    expect({r["peer"] for r in rows} == {c.name for c in contenders.IN_PYTHON}, "calls from Python")


class Broken:
    name, device = "broken", "cpu"

    def __init__(self, model, options):
        pass

    def prepare(self, x):
        raise RuntimeError("no compiler was found")


class NotMade(Broken):
    name = "not made"

    def __init__(self, model, options):
        raise OSError("no driver was found")


class Right(Broken):
    name, biases = "right", True

    def prepare(self, x):
        return lambda: peers.Model(8, 2, "tanh").truth(x, self.biases)


class RightWithoutBiases(Right):
    name, biases = "right without biases", False


class Wrong(Right):
    name = "wrong"

    def prepare(self, x):
        return lambda: peers.Model(8, 2, "tanh").truth(x, biases=False)


def a_peer_that_breaks_is_a_row_and_the_others_are_compared():
    """lamella gets raw weights, so that machines without Keras can compare too."""
    options = argparse.Namespace(**dict(OPTIONS, batch=[1, 3], only=None, device="cpu", rounds=2, spread=100.0, others=100.0, seconds=60.0))
    there, peers.ON_THE_CPU, peers.ON_A_GPU = (peers.ON_THE_CPU, peers.ON_A_GPU), [Broken, NotMade, Wrong, Right, RightWithoutBiases], []
    rows = list(peers.compare(peers.Model(8, 2, "tanh"), options, "no GPU here"))
    peers.ON_THE_CPU, peers.ON_A_GPU = there
    expect([r["peer"] for r in rows if r["ratio"]] == 2 * ["right", "right without biases"], rows)
    why = {r["peer"]: r["error_message"] for r in rows if not r["ratio"]}
    expect(why["broken"] == "not measured: RuntimeError: no compiler was found", why)
    expect(why["not made"] == "not measured: OSError: no driver was found", why)
    expect(why["wrong"].startswith("not measured: SystemExit: peers: wrong differs from the float64 reference by"), why)
    rows = list(peers.compare(peers.Model(8, 2, "tanh"), argparse.Namespace(**dict(vars(options), seconds=0.0, device="cuda:0")), ""))
    expect(all(r["error_message"] == "not measured: no time was left of 0 s" for r in rows), rows)


def results_are_whole_at_any_time():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "out.json")
        for text in ("one", "two"):
            peers.write(path, text)
            expect(path.read_text() == text and [p.name for p in path.parent.iterdir()] == ["out.json"], "one file")


def our_programs_find_their_own_libraries():
    expect(contenders.environment_of_programs() is None, "as they are")
    os.environ["LAMELLA_PEERS_LIBRARIES"] = "/there"
    expect(contenders.environment_of_programs() == {**os.environ, "LD_LIBRARY_PATH": "/there"}, "in another folder")
    del os.environ["LAMELLA_PEERS_LIBRARIES"]


def peers_of_packages():
    """TensorRT and tiny-cuda-nn, with stand-ins for them and for PyTorch."""
    torch = stubs.torch()
    modules = {"torch": torch, "tensorrt": stubs.tensorrt(torch), "tinycudann": stubs.tinycudann(torch)}
    there, gpu_contenders.imported = gpu_contenders.imported, modules.__getitem__
    for peer in (gpu_contenders.TensorRt, gpu_contenders.TensorRtGraph, gpu_contenders.TinyCudaNn, gpu_contenders.TinyCudaNnGraph):
        for activation, dtype in (("tanh", "float16"), ("relu", "float16"), ("tanh", "float32")):
            options = argparse.Namespace(**dict(OPTIONS, dtype=dtype))
            model = peers.Model(16, 3, activation)
            if dtype == "float32" and not peer.name.startswith("TensorRT"):
                expect("computes in float16" in absence(peer, model, options), peer.name)
                continue
            made = peer(model, options)
            for batch in (1, 5):
                x = model.inputs(batch)
                call = made.prepare(x)
                peers.expect_right(peer.name, call(), model.truth(x, getattr(peer, "biases", True)), options)
                expect(call.median_us() == 1e3 / gpu_contenders.CALLS, "time between events")
    cleared = modules["tensorrt"].Builder.cleared
    expect(set(cleared) == {"tf32"}, "exact float32")
    expect("no gelu" in absence(gpu_contenders.TinyCudaNn, peers.Model(16, 3, "gelu"), options=argparse.Namespace(**dict(OPTIONS, dtype="float16"))), "gelu")
    expect("16, 32, 64 or 128" in absence(gpu_contenders.TinyCudaNn, peers.Model(24, 3, "relu"), argparse.Namespace(**dict(OPTIONS, dtype="float16"))), "width")
    cleared.clear()
    gpu_contenders.TensorRt(peers.Model(16, 2, "relu"), argparse.Namespace(**dict(OPTIONS, tf32=True))).engine((1, 16))
    expect(cleared == [], "TF32 where it was asked for")
    torch.cuda.is_available = lambda: False
    expect("PyTorch sees no GPU" in absence(gpu_contenders.TensorRt, peers.Model(16, 2, "relu"), argparse.Namespace(**OPTIONS)), "no GPU")
    gpu_contenders.imported = there
    sys.modules["tensorrt"] = None  # an import fails
    expect("tensorrt is not installed" in absence(gpu_contenders.TensorRt, peers.Model(16, 2, "relu"), argparse.Namespace(**OPTIONS)), "not there")


def absence(peer, model, options):
    """Why a peer is absent."""
    try:
        peer(model, options)
    except contenders.Absent as why:
        return str(why)
    return ""


def the_hand_written_peer():
    """The cuBLASLt peer's program, linked with the test double of CUDA: its protocol and its answers."""
    for base in (gpu_contenders.CublasLt, gpu_contenders.CublasLtGraph):
        fake = type("Fake", (base,), {"program": "peer_cublaslt_fake"})
        for activation in ("relu", "tanh", "gelu"):
            for dtype in ("float32", "bfloat16", "float16"):
                options = argparse.Namespace(**dict(OPTIONS, dtype=dtype))
                model = peers.Model(16, 3, activation)
                peer = fake(model, options)
                for batch in (1, 5):
                    call = peer.prepare(model.inputs(batch))
                    peers.expect_right(peer.name, call(), model.truth(model.inputs(batch)), options)
                    expect(call.median_us() >= 0, "a time")
                peer.close()


def comparison(python):
    """All peers on the smallest cells; noise is accepted, because no time is judged."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out.json")
        done = subprocess.run([python, PEERS / "peers.py", "--bin", BIN, "--out", out, "--batch", "1,3", "--width", "8", "--depth", "2",
                               "--rounds", "2", "--spread", "100", "--others", "100", "--threads", "1"],
                              capture_output=True, text=True, env=dict(os.environ, KERAS_BACKEND="jax"))
        expect(done.returncode == 0, done.stdout, done.stderr)
        data = json.loads(out.read_text())
    rows = data["benchmarks"]
    names = {c.name for c in contenders.ON_THE_CPU + gpu_contenders.ON_A_GPU}
    expect({(r["peer"], r["batch"]) for r in rows} == {(name, batch) for name in names for batch in (1, 3)}, "a row for each peer and cell")
    for row in rows:
        expect(row["ratio"] if not row.get("error_occurred") else row["error_message"].startswith("not measured: "), row)
    expect(any(r["peer"] == "keras predict" and r["ratio"] for r in rows), "Keras was not measured")


sums()
wrong_answers_stop()
what_is_not_there_says_so()
without_a_gpu_every_peer_has_rows_that_say_so()
results_are_whole_at_any_time()
our_programs_find_their_own_libraries()
peers_of_packages()
if (BIN / "latency").exists():
    a_peer_that_breaks_is_a_row_and_the_others_are_compared()
if (BIN / "peer_cublaslt_fake").exists():
    the_hand_written_peer()
with_keras = next((p for p in filter(None, PYTHONS + [sys.executable]) if has(p, "keras", "jax", "numpy")), None)
if with_keras and (BIN / "latency").exists():
    comparison(with_keras)
print("with" if with_keras else "without", "Keras")
