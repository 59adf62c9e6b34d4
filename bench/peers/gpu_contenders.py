# SPDX-License-Identifier: Apache-2.0
"""The peers on a GPU. A peer that can replay a CUDA graph is listed twice."""
import json
import subprocess
import tempfile
import time

import numpy as np

from contenders import Absent, JaxJit, KerasCall, imported

SAMPLES, CALLS, WARM = 31, 20, 3


class TorchEager:
    """PyTorch's default: one operation after another."""

    name, device, graph = "torch eager", "cuda:0", False

    def __init__(self, model, options):
        self.torch = torch = imported("torch")
        if not torch.cuda.is_available():
            raise Absent("PyTorch sees no GPU")
        torch.backends.cuda.matmul.allow_tf32 = options.tf32
        self.dtype = getattr(torch, options.dtype)
        activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "gelu": torch.nn.GELU}[model.activation]
        layers = []
        for kernel, bias in model.layers:
            linear = torch.nn.Linear(model.width, model.width)
            linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
            layers += [linear, activation()]
        self.network = self.made(torch.nn.Sequential(*layers).eval().cuda().to(self.dtype))

    def made(self, network):
        return network

    def prepare(self, x):
        torch = self.torch
        placed = torch.from_numpy(x).cuda().to(self.dtype)
        last = []

        def enqueue():
            with torch.inference_mode():
                last[:] = [self.network(placed)]

        if not self.graph:
            return TorchCall(torch, enqueue, lambda: last[0].float().cpu().numpy())
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(WARM):
                enqueue()
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            enqueue()
        return TorchCall(torch, graph.replay, lambda: last[0].float().cpu().numpy())


class TorchEagerGraph(TorchEager):
    name, graph = "torch eager, CUDA graph", True


class TorchCompile(TorchEager):
    """torch.compile(mode="max-autotune-no-cudagraphs")."""

    name, mode = "torch.compile max-autotune", "max-autotune-no-cudagraphs"

    def made(self, network):
        return self.torch.compile(network, mode=self.mode)


class TorchCompileGraph(TorchCompile):
    """torch.compile(mode="max-autotune"), which captures CUDA graphs by itself."""

    name, mode = "torch.compile max-autotune, CUDA graph", "max-autotune"


class TorchCall:
    """A call returns the answer; median_us() is the time between two CUDA events around many calls."""

    def __init__(self, torch, enqueue, answer):
        self.torch, self.enqueue, self.answer = torch, enqueue, answer

    def __call__(self):
        self.enqueue()
        self.torch.cuda.synchronize()
        return self.answer()

    def median_us(self):
        torch, times = self.torch, []
        for _ in range(SAMPLES + WARM):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(CALLS):
                self.enqueue()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e3 / CALLS)
        return sorted(times[WARM:])[SAMPLES // 2]


class JaxJitGpu(JaxJit):
    """XLA itself decides whether to replay CUDA graphs. Calls are enqueued one after another, as for all peers."""

    name, device, platform = "jax jit (GPU)", "cuda:0", "gpu"

    def prepare(self, x):
        return JaxCall(self.forward, self.weights, self.placed(x))


class JaxCall:
    def __init__(self, forward, weights, x):
        self.forward, self.weights, self.x = forward, weights, x

    def __call__(self):
        return np.asarray(self.forward(self.weights, self.x).astype("float32"))

    def median_us(self):
        times = []
        for _ in range(SAMPLES + WARM):
            begin = time.perf_counter()
            for _ in range(CALLS):
                y = self.forward(self.weights, self.x)
            y.block_until_ready()
            times.append((time.perf_counter() - begin) * 1e6 / CALLS)
        return sorted(times[WARM:])[SAMPLES // 2]


class KerasCallGpu(KerasCall):
    name, device, platform = "keras call (GPU)", "cuda:0", "gpu"


class CublasLt:
    """Written by hand (bench/peers/cublaslt): the library's epilogue if it has one, else a plain kernel after the product."""

    name, device, mode, program = "cuBLASLt by hand", "cuda:0", "stream", "peer_cublaslt"

    def __init__(self, model, options):
        program = options.bin / self.program
        if not program.exists():
            raise Absent("this build has no CUDA device, so the program is not built")
        self.folder = tempfile.TemporaryDirectory()
        weights = f"{self.folder.name}/weights"
        model.save(weights)
        self.process = subprocess.Popen([program, weights, str(model.width), str(model.depth), model.activation, options.dtype,
                                         "tf32" if options.tf32 else "exact", self.mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun = self.read()
        if "absent" in begun:
            raise Absent(begun["absent"])

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"peers: {self.program} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.read()

    def prepare(self, x):
        return CublasLtCall(self, x)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class CublasLtGraph(CublasLt):
    name, mode = "cuBLASLt by hand, CUDA graph", "graph"


class CublasLtCall:
    def __init__(self, peer, x):
        self.peer, self.x = peer, x

    def __call__(self):
        folder = self.peer.folder.name
        self.x.tofile(f"{folder}/x")
        self.peer.ask(f"prepare {folder}/x {folder}/y")
        return np.fromfile(f"{folder}/y", "float32").reshape(self.x.shape)

    def median_us(self):
        return self.peer.ask("time")["median_us"]


ON_A_GPU = [TorchEager, TorchEagerGraph, TorchCompile, TorchCompileGraph, JaxJitGpu, KerasCallGpu, CublasLt, CublasLtGraph]
