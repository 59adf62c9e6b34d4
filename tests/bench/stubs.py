# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for PyTorch, TensorRT and tiny-cuda-nn, as far as bench/peers calls them: in numpy, on host memory. Work is done when it is enqueued; a
graph keeps what was enqueued while it was captured. What the real packages refuse is refused."""
import contextlib
import ctypes
import types

import numpy as np

FUNCTIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


class Tensor:
    def __init__(self, array, on_device=False):
        self.array, self.on_device = array, on_device

    def cuda(self):
        return Tensor(self.array.copy(), True)

    def cpu(self):
        return Tensor(self.array, False)

    def to(self, dtype):
        return Tensor(self.array.astype(dtype), self.on_device)

    def float(self):
        return self.to("float32")

    def numpy(self):
        assert not self.on_device, "numpy() of memory on the device"
        return self.array

    def data_ptr(self):
        return self.array.ctypes.data


class Parameter(Tensor):
    def requires_grad_(self, value):
        assert value is False
        return self

    def numel(self):
        return self.array.size

    data = property(lambda self: self, lambda self, other: self.__init__(other.array, other.on_device))


class Stream:
    numbers = iter(range(1, 1 << 30))

    def __init__(self, number=None):
        self.cuda_stream, self.waited = next(self.numbers) if number is None else number, []

    def wait_stream(self, other):
        self.waited.append(other.cuda_stream)

    def synchronize(self):
        pass


def torch():
    """PyTorch, as far as torch_call() needs it."""
    default = Stream(0)
    streams, capturing = [default], []

    @contextlib.contextmanager
    def current(stream):
        streams.append(stream)
        yield
        streams.pop()

    class Graph:
        def __init__(self):
            self.work = []

        def replay(self):
            for work in self.work:
                work()

    @contextlib.contextmanager
    def captured(graph, stream):
        capturing.append(graph)
        with current(stream):
            yield
        capturing.pop()

    def enqueue(work):
        """Runs it, or leaves it to the graph that is being captured."""
        assert streams[-1] is not default and 0 in streams[-1].waited, "on a stream that did not wait for the inputs"
        capturing[-1].work.append(work) if capturing else work()

    event = types.SimpleNamespace(record=lambda: None, synchronize=lambda: None, elapsed_time=lambda end: 1.0)
    cuda = types.SimpleNamespace(is_available=lambda: True, Stream=Stream, stream=current, current_stream=lambda: streams[-1], CUDAGraph=Graph,
                                 graph=captured, synchronize=lambda: None, Event=lambda enable_timing: event)
    made = types.SimpleNamespace(cuda=cuda, from_numpy=Tensor, empty_like=lambda t: Tensor(np.full_like(t.array, np.nan), True), float32="float32",
                                 float16="float16", inference_mode=contextlib.nullcontext, enqueue=enqueue)
    return made


class Value:
    """A tensor of a network of TensorRT, and how it follows from the input."""

    def __init__(self, make, dtype, shape):
        self.make, self.dtype, self.shape, self.name = make, dtype, tuple(shape), ""

    def get_output(self, index):
        assert index == 0
        return self


class Network:
    def __init__(self, flags):
        assert flags == 1 << 1, "every network is strongly typed"

    def add_input(self, name, dtype, shape):
        self.input = Value(lambda x: x, dtype, shape)
        self.input.name = name
        return self.input

    def add_constant(self, shape, weights):
        assert weights.dtype == "float32" and weights.flags.c_contiguous and shape == weights.shape
        return Value(lambda x: weights, "float32", shape)

    def add_cast(self, value, dtype):
        return Value(lambda x: value.make(x).astype(dtype), dtype, value.shape)

    def add_matrix_multiply(self, a, form_a, b, form_b):
        assert a.dtype == b.dtype and a.shape[1] == b.shape[0] and form_a == form_b == "none"
        return Value(lambda x: a.make(x) @ b.make(x), a.dtype, (a.shape[0], b.shape[1]))

    def add_elementwise(self, a, b, operation):
        assert a.dtype == b.dtype and len(a.shape) == len(b.shape) and operation == "sum"
        return Value(lambda x: a.make(x) + b.make(x), a.dtype, a.shape)

    def add_activation(self, value, kind):
        return Value(lambda x: FUNCTIONS[kind](value.make(x)), value.dtype, value.shape)

    def mark_output(self, value):
        self.output = value


class Context:
    def __init__(self, network, torch):
        self.network, self.torch, self.at = network, torch, {}

    def set_tensor_address(self, name, address):
        self.at[name] = address

    def memory(self, value):
        count = int(np.prod(value.shape))
        size = count * np.dtype(value.dtype).itemsize
        return np.frombuffer((ctypes.c_char * size).from_address(self.at[value.name]), value.dtype).reshape(value.shape)

    def execute_async_v3(self, stream):
        if stream == 0:
            return False  # would wait on the default stream
        x, y = self.network.input, self.network.output
        self.torch.enqueue(lambda: self.memory(y).__setitem__(..., y.make(self.memory(x))))
        return True


class Builder:
    create_network = staticmethod(Network)
    cleared = []

    def __init__(self, logger):
        pass

    def create_builder_config(self):
        return types.SimpleNamespace(clear_flag=self.cleared.append)

    def build_serialized_network(self, network, config):
        return network


def tensorrt(torch):
    """TensorRT 10 and later: strongly typed networks, tensors by name."""
    named = types.SimpleNamespace
    runtime = named(deserialize_cuda_engine=lambda plan: named(create_execution_context=lambda: Context(plan, torch)))
    logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    return named(Logger=logger, Builder=Builder, Runtime=lambda logger: runtime, Weights=lambda values: values, float32="float32", float16="float16",
                 NetworkDefinitionCreationFlag=named(STRONGLY_TYPED=1), BuilderFlag=named(TF32="tf32"), MatrixOperation=named(NONE="none"),
                 ElementWiseOperation=named(SUM="sum"), ActivationType=named(TANH="tanh", RELU="relu"))


def tinycudann(torch):
    """Networks without biases, in float16, whose parameters are the transposed kernels one after another."""
    class Network:
        dtype = "float16"

        def __init__(self, inputs, outputs, config):
            assert config["otype"] == "FullyFusedMLP" and inputs == outputs == config["n_neurons"] and config["n_hidden_layers"] > 0
            assert config["activation"] == config["output_activation"]
            self.width, self.layers, self.function = inputs, config["n_hidden_layers"] + 1, FUNCTIONS[config["activation"].lower()]
            self.params = Parameter(np.zeros(self.layers * inputs * inputs, "float32"), True)

        def __call__(self, x):
            assert x.on_device and x.array.dtype == "float32" and self.params.on_device and self.params.array.dtype == "float16"
            y = Tensor(np.empty(x.array.shape, "float16"), True)
            torch.enqueue(lambda: y.array.__setitem__(..., self.computed(x.array)))
            return y

        def computed(self, y):
            for kernel in self.params.array.reshape(self.layers, self.width, self.width):
                y = self.function(y.astype("float32") @ kernel.T.astype("float32"))
            return y

    return types.SimpleNamespace(Network=Network)
