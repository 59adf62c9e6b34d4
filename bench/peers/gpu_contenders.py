# SPDX-License-Identifier: Apache-2.0
"""The peers on a GPU. A peer that can replay a CUDA graph is listed twice. `slow`: preparing it takes long; `biases`: it has them."""
import json
import subprocess
import tempfile
import time

import numpy as np

from contenders import Absent, JaxJit, KerasCall, environment_of_programs, imported

SAMPLES, CALLS, WARM = 31, 20, 3


def torch_with_a_gpu():
    torch = imported("torch")
    if not torch.cuda.is_available():
        raise Absent("PyTorch sees no GPU")
    return torch


class TorchEager:
    """PyTorch's default: one operation after another."""

    name, device, graph = "torch eager", "cuda:0", False

    def __init__(self, model, options):
        self.torch = torch = torch_with_a_gpu()
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
        return network_call(self.torch, self.network, self.torch.from_numpy(x).cuda().to(self.dtype), self.graph)


class TorchEagerGraph(TorchEager):
    name, graph = "torch eager, CUDA graph", True


class TorchCompile(TorchEager):
    """torch.compile(mode="max-autotune-no-cudagraphs")."""

    name, mode, slow = "torch.compile max-autotune", "max-autotune-no-cudagraphs", True

    def made(self, network):
        return self.torch.compile(network, mode=self.mode)


class TorchCompileGraph(TorchCompile):
    """torch.compile(mode="max-autotune"), which captures CUDA graphs by itself."""

    name, mode = "torch.compile max-autotune, CUDA graph", "max-autotune"


class TinyCudaNn:
    """Its fully fused network, where the user has built its extension for PyTorch. It has no biases, which saves it work."""

    name, device, graph, biases = "tiny-cuda-nn", "cuda:0", False, False

    def __init__(self, model, options):
        if options.dtype != "float16":
            raise Absent("its fully fused network computes in float16")
        if model.width not in (16, 32, 64, 128) or len(model.layers) < 2:
            raise Absent("its fully fused network has two layers or more, of 16, 32, 64 or 128 units")
        if model.activation not in ("relu", "tanh"):
            raise Absent(f"it has no {model.activation} with Keras' formula")
        self.torch, tcnn = torch_with_a_gpu(), imported("tinycudann")
        activation = {"relu": "ReLU", "tanh": "Tanh"}[model.activation]
        self.network = tcnn.Network(model.width, model.width, {"otype": "FullyFusedMLP", "activation": activation, "output_activation": activation,
                                                               "n_neurons": model.width, "n_hidden_layers": len(model.layers) - 1})
        kernels = np.concatenate([kernel.T.ravel() for kernel, _ in model.layers])
        parameters = self.network.params.requires_grad_(False)
        if parameters.numel() != kernels.size:
            raise Absent(f"it has {parameters.numel()} parameters for {kernels.size} weights")
        parameters.data = self.torch.from_numpy(kernels).cuda().to(self.network.dtype)

    def prepare(self, x):
        return network_call(self.torch, self.network, self.torch.from_numpy(x).cuda(), self.graph)


class TinyCudaNnGraph(TinyCudaNn):
    name, graph = "tiny-cuda-nn, CUDA graph", True


class TensorRt:
    """An engine for each batch size, of a network with the model's types. PyTorch lends memory, streams and events."""

    name, device, graph, slow = "TensorRT", "cuda:0", False, True

    def __init__(self, model, options):
        self.trt, self.torch = imported("tensorrt"), torch_with_a_gpu()
        self.model, self.tf32, self.dtype = model, options.tf32, options.dtype

    def engine(self, shape):
        trt = self.trt
        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        config = builder.create_builder_config()
        if not self.tf32:
            config.clear_flag(trt.BuilderFlag.TF32)
        dtype, plain = getattr(trt, self.dtype), trt.MatrixOperation.NONE
        activation = {"tanh": "TANH", "relu": "RELU", "gelu": "GELU_ERF"}[self.model.activation]

        def constant(values):  # they stay in the model's memory
            tensor = network.add_constant(values.shape, trt.Weights(values)).get_output(0)
            return tensor if self.dtype == "float32" else network.add_cast(tensor, dtype).get_output(0)

        at = network.add_input("x", dtype, shape)
        for kernel, bias in self.model.layers:
            product = network.add_matrix_multiply(at, plain, constant(kernel), plain).get_output(0)
            total = network.add_elementwise(product, constant(bias[None]), trt.ElementWiseOperation.SUM).get_output(0)
            at = network.add_activation(total, getattr(trt.ActivationType, activation)).get_output(0)
        at.name = "y"
        network.mark_output(at)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeError("TensorRT builds no engine of this network")
        self.runtime = trt.Runtime(logger)  # engines need it
        return self.runtime.deserialize_cuda_engine(plan)

    def prepare(self, x):
        torch, engine = self.torch, self.engine(x.shape)
        context = engine.create_execution_context()
        placed = torch.from_numpy(x).cuda().to(getattr(torch, self.dtype))
        y = torch.empty_like(placed)
        context.set_tensor_address("x", placed.data_ptr())
        context.set_tensor_address("y", y.data_ptr())

        def enqueue():
            if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise RuntimeError("TensorRT enqueues nothing")

        call = torch_call(torch, enqueue, lambda: y.float().cpu().numpy(), self.graph)
        call.uses = engine, context, placed  # as long as the call
        return call


class TensorRtGraph(TensorRt):
    name, graph = "TensorRT, CUDA graph", True


def network_call(torch, network, x, graph):
    """Applies a module of PyTorch to `x`."""
    last = []

    def enqueue():
        with torch.inference_mode():
            last[:] = [network(x)]

    return torch_call(torch, enqueue, lambda: last[0].float().cpu().numpy(), graph)


def torch_call(torch, enqueue, answer, graph):
    """A call of what `enqueue` puts on PyTorch's current stream, which is never CUDA's default one; `graph`: captured once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # on which inputs were made
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            enqueue()
    stream.synchronize()
    if not graph:
        return TorchCall(torch, stream, enqueue, answer)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured, stream=stream):
        enqueue()
    return TorchCall(torch, stream, captured.replay, answer)


class TorchCall:
    """A call returns the answer; median_us() is the time between two CUDA events around many calls."""

    def __init__(self, torch, stream, enqueue, answer):
        self.torch, self.stream, self.enqueue, self.answer = torch, stream, enqueue, answer

    def __call__(self):
        with self.torch.cuda.stream(self.stream):
            self.enqueue()
        self.torch.cuda.synchronize()
        return self.answer()

    def median_us(self):
        torch, times = self.torch, []
        for _ in range(SAMPLES + WARM):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            with torch.cuda.stream(self.stream):
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
                                         "tf32" if options.tf32 else "exact", self.mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment_of_programs())
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


ON_A_GPU = [TorchEager, TorchEagerGraph, TorchCompile, TorchCompileGraph, JaxJitGpu, KerasCallGpu, TensorRt, TensorRtGraph, TinyCudaNn, TinyCudaNnGraph,
            CublasLt, CublasLtGraph]
