# SPDX-License-Identifier: Apache-2.0
"""The peers on the CPU, and what all peers share. Each is made from a model and the options of peers.py, or raises Absent with the reason;
prepare(x) gives a call without arguments that returns the answer as something numpy reads, with as little around it as the peer's interface
allows. A call that has median_us() measures itself."""
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
import numpy as np


class Absent(Exception):
    """Says why a peer cannot run here."""


def environment_of_programs():
    """For lamella's own programs: LAMELLA_PEERS_LIBRARIES, if set, are the folders of their libraries, where the peers' packages have their own."""
    libraries = os.environ.get("LAMELLA_PEERS_LIBRARIES")
    return {**os.environ, "LD_LIBRARY_PATH": libraries} if libraries else None


def imported(name):
    try:
        return __import__(name, fromlist=["_"])
    except ImportError as error:
        raise Absent(f"the Python package {name} is not installed ({error})") from error


def jax_on(platform, options):
    """JAX, set to the precision that is compared, and its first device of a platform."""
    jax = imported("jax")
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if options.tf32 else "highest")
    try:
        return jax, jax.devices(platform)[0]
    except RuntimeError as error:
        raise Absent(f"JAX sees no {platform} ({error})") from error


class Onnxruntime:
    """Uses an I/O binding, so that inputs and outputs are not copied."""

    name, device = "onnxruntime", "cpu"

    def __init__(self, model, options):
        if options.dtype != "float32":
            raise Absent("its CPU provider has no Gemm of this dtype")
        self.runtime = imported("onnxruntime")
        onnx = imported("onnx")
        helper, numpy_helper = onnx.helper, imported("onnx.numpy_helper")
        nodes, tensors, at = [], [], "x"
        for i, (kernel, bias) in enumerate(model.layers):
            tensors += [numpy_helper.from_array(kernel, f"k{i}"), numpy_helper.from_array(bias, f"b{i}")]
            nodes += [helper.make_node("Gemm", [at, f"k{i}", f"b{i}"], [f"z{i}"]),
                      helper.make_node(model.activation.capitalize(), [f"z{i}"], [f"y{i}"])]
            at = f"y{i}"
        value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", model.width]) for n in ("x", at)]
        made = helper.make_model(helper.make_graph(nodes, "mlp", value[:1], value[1:], tensors), opset_imports=[helper.make_opsetid("", 20)])
        made.ir_version = 9
        settings = self.runtime.SessionOptions()
        settings.intra_op_num_threads = options.threads
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


class OnnxruntimeRun(Onnxruntime):
    """session.run(), as its documentation shows it."""

    name = "onnxruntime run"

    def prepare(self, x):
        return lambda: self.session.run(None, {"x": x})[0]


class FromPython:
    """lamella's Python package: m(x)."""

    name, device = "lamella m(x)", "cpu"

    def __init__(self, model, options):
        package, keras = imported("lamella"), imported("keras")
        layers = [keras.layers.Dense(model.width, activation=model.activation, dtype=options.dtype) for _ in range(model.depth)]
        network = keras.Sequential([keras.Input((model.width,))] + layers)
        network.set_weights([w for layer in model.layers for w in layer])
        self.model = package.from_keras(network, device="cpu", threads=options.threads)

    def prepare(self, x):
        return lambda: self.model(x)


class PredictFromPython(FromPython):
    """The same with predict(), into an array of the caller's."""

    name = "lamella predict"

    def prepare(self, x):
        y = np.empty_like(x)
        return lambda: self.model.predict(x, out=y)


class JaxJit:
    """The model as one jitted function. XLA uses the processors that peers.py allows."""

    name, device, platform = "jax jit", "cpu", "cpu"

    def __init__(self, model, options):
        self.jax, self.device_used = jax_on(self.platform, options)
        self.dtype = options.dtype
        jax, activation = self.jax, model.activation
        applied = {"tanh": jax.numpy.tanh, "relu": jax.nn.relu, "gelu": lambda x: jax.nn.gelu(x, approximate=False)}[activation]

        def forward(layers, x):
            for kernel, bias in layers:
                x = applied(jax.numpy.dot(x, kernel) + bias)
            return x

        self.forward = jax.jit(forward)
        self.weights = [tuple(map(self.placed, layer)) for layer in model.layers]

    def placed(self, array):
        return self.jax.device_put(self.jax.numpy.asarray(array, self.dtype), self.device_used)

    def prepare(self, x):
        at = self.placed(x)
        return lambda: self.forward(self.weights, at).block_until_ready()


class KerasPredict:
    """model.predict(x) on JAX, as a user of Keras writes it."""

    name, device, platform = "keras predict", "cpu", "cpu"

    def __init__(self, model, options):
        keras = imported("keras")
        jax_on(self.platform, options)  # Keras uses JAX's default device, which peers.py sets to the compared one
        layers = [keras.layers.Dense(model.width, activation=model.activation, dtype=options.dtype) for _ in range(model.depth)]
        self.network = keras.Sequential([keras.Input((model.width,))] + layers)
        self.network.set_weights([w for layer in model.layers for w in layer])

    def prepare(self, x):
        return lambda: self.network.predict(x, verbose=0, batch_size=max(32, len(x)))


class KerasCall(KerasPredict):
    """model(x) on JAX, without the loop of predict()."""

    name = "keras call"

    def prepare(self, x):
        return lambda: np.asarray(self.network(x, training=False))


class FrugallyDeep:
    name, device = "frugally-deep", "cpu"

    def __init__(self, model, options):
        del model, options
        raise Absent("it is a C++ library without a package; its sources and its converter are not part of this comparison")


ON_THE_CPU = [Onnxruntime, JaxJit, KerasPredict, KerasCall, FrugallyDeep]
IN_PYTHON = [FromPython, PredictFromPython, OnnxruntimeRun, KerasPredict]
