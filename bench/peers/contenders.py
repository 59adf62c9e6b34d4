# SPDX-License-Identifier: Apache-2.0
"""The peers. Each is made from a model and a number of threads, or raises Absent with the reason; prepare(x) gives a call without
arguments that returns the answer as something numpy reads, with as little around it as the peer's interface allows."""
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")
import numpy as np


class Absent(Exception):
    """This peer cannot run here, and why."""


def imported(name):
    try:
        return __import__(name, fromlist=["_"])
    except ImportError as error:
        raise Absent(f"the Python package {name} is not installed ({error})") from error


def platform_device(jax, platform):
    """The first device of a platform. Keras takes JAX's default, which peers.py sets to the device that is compared on."""
    try:
        return jax.devices(platform)[0]
    except RuntimeError as error:
        raise Absent(f"JAX sees no {platform} ({error})") from error


class Onnxruntime:
    """Through an I/O binding: inputs and outputs stay where they are."""

    name, device = "onnxruntime", "cpu"

    def __init__(self, model, threads):
        self.runtime = imported("onnxruntime")
        onnx = imported("onnx")
        helper, numpy_helper = onnx.helper, imported("onnx.numpy_helper")
        nodes, tensors, at = [], [], "x"
        for i, (kernel, bias) in enumerate(model.layers):
            tensors += [numpy_helper.from_array(kernel, f"k{i}"), numpy_helper.from_array(bias, f"b{i}")]
            nodes += [helper.make_node("Gemm", [at, f"k{i}", f"b{i}"], [f"z{i}"]), helper.make_node(model.activation.capitalize(), [f"z{i}"], [f"y{i}"])]
            at = f"y{i}"
        value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", model.width]) for n in ("x", at)]
        made = helper.make_model(helper.make_graph(nodes, "mlp", value[:1], value[1:], tensors), opset_imports=[helper.make_opsetid("", 17)])
        made.ir_version = 8
        settings = self.runtime.SessionOptions()
        settings.intra_op_num_threads = threads
        self.session = self.runtime.InferenceSession(made.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        self.output = at

    def prepare(self, x):
        y = np.full((len(x), x.shape[1]), np.nan, "float32")
        binding = self.session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output(self.output, "cpu", 0, np.float32, y.shape, y.ctypes.data)

        def call():
            self.session.run_with_iobinding(binding)
            return y

        return call


class JaxJit:
    """The model as one jitted function, highest precision."""

    name, device, platform = "jax jit", "cpu", "cpu"

    def __init__(self, model, threads):
        del threads  # XLA on the CPU takes what the machine has
        jax = imported("jax")
        self.device_used = platform_device(jax, self.platform)
        weights = jax.device_put(model.layers, self.device_used)
        self.jax = jax

        def forward(layers, x):
            for kernel, bias in layers:
                x = jax.numpy.dot(x, kernel, precision="highest") + bias
                x = jax.numpy.tanh(x) if model.activation == "tanh" else jax.numpy.maximum(x, 0)
            return x

        self.forward = jax.jit(forward)
        self.weights = weights

    def prepare(self, x):
        placed = self.jax.device_put(x, self.device_used)
        return lambda: self.forward(self.weights, placed).block_until_ready()


class KerasPredict:
    """What a user of Keras writes: model.predict(x), on JAX."""

    name, device, platform = "keras predict", "cpu", "cpu"

    def __init__(self, model, threads):
        del threads
        keras = imported("keras")
        platform_device(imported("jax"), self.platform)
        layers = [keras.layers.Dense(model.width, activation=model.activation) for _ in range(model.depth)]
        self.network = keras.Sequential([keras.Input((model.width,))] + layers)
        self.network.set_weights([w for layer in model.layers for w in layer])

    def prepare(self, x):
        return lambda: self.network.predict(x, verbose=0, batch_size=max(32, len(x)))


class KerasCall(KerasPredict):
    """model(x), without predict's loop around it, on JAX."""

    name = "keras call"

    def prepare(self, x):
        return lambda: np.asarray(self.network(x, training=False))


class TorchEager:
    """As PyTorch runs it by default, captured as a CUDA graph; TF32 off, as lamella's default is."""

    name, device = "torch eager", "cuda:0"

    def __init__(self, model, threads):
        del threads
        self.torch = torch = imported("torch")
        if not torch.cuda.is_available():
            raise Absent("PyTorch sees no GPU")
        torch.backends.cuda.matmul.allow_tf32 = False
        layers = []
        for kernel, bias in model.layers:
            linear = torch.nn.Linear(model.width, model.width)
            linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
            layers += [linear, torch.nn.Tanh() if model.activation == "tanh" else torch.nn.ReLU()]
        self.network = self.made(torch.nn.Sequential(*layers).eval().cuda())

    def made(self, network):
        return network

    def prepare(self, x):
        torch = self.torch
        placed = torch.from_numpy(x).cuda()
        with torch.inference_mode():
            side = torch.cuda.Stream()
            with torch.cuda.stream(side):
                for _ in range(3):
                    self.network(placed)
            side.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                y = self.network(placed)
        return GpuCall(torch, graph.replay, lambda: y.cpu().numpy())


class TorchCompile(TorchEager):
    """torch.compile(mode="max-autotune"), which captures CUDA graphs by itself."""

    name = "torch.compile max-autotune"

    def made(self, network):
        return self.torch.compile(network, mode="max-autotune")

    def prepare(self, x):
        torch = self.torch
        placed = torch.from_numpy(x).cuda()
        last = []

        def enqueue():
            with torch.inference_mode():
                last[:] = [self.network(placed)]

        return GpuCall(torch, enqueue, lambda: last[0].cpu().numpy())


class GpuCall:
    """Called, it gives the answer; median_us() is the time between two CUDA events around many."""

    def __init__(self, torch, enqueue, answer):
        self.torch, self.enqueue, self.answer = torch, enqueue, answer

    def __call__(self):
        self.enqueue()
        self.torch.cuda.synchronize()
        return self.answer()

    def median_us(self, samples=31, calls=20):
        torch, times = self.torch, []
        for _ in range(samples + 3):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(calls):
                self.enqueue()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e3 / calls)
        return sorted(times[3:])[samples // 2]


class JaxJitGpu(JaxJit):
    name, device, platform = "jax jit (GPU)", "cuda:0", "gpu"


class KerasCallGpu(KerasCall):
    name, device, platform = "keras call (GPU)", "cuda:0", "gpu"


class FrugallyDeep:
    name, device = "frugally-deep", "cpu"

    def __init__(self, model, threads):
        del model, threads
        raise Absent("it is a C++ library without a package; its sources and its converter are not part of this comparison")


CONTENDERS = [Onnxruntime, JaxJit, KerasPredict, KerasCall, FrugallyDeep, TorchEager, TorchCompile, JaxJitGpu, KerasCallGpu]
