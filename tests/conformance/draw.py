# SPDX-License-Identifier: Apache-2.0
"""Draws a random model that a Keras user could have written."""
import keras
import numpy as np
from keras import layers as L

SMOOTH = ("celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu "
          "soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink exponential").split()
JUMPS = ["hard_shrink"]  # a 16-bit rounding before the jump moves the result by its whole height
UNITS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 31, 33, 40)
POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64", "per_layer")
MERGES = (L.Add, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Subtract)
INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


class Quantization:
    """What Model.quantize() does, or, where that wants a dataset, what it does to each Dense, with numbers drawn in its place."""

    def __init__(self, mode, file=None, **arguments):
        self.mode, self.arguments = mode, arguments
        self.file = file  # the one kind of file that holds it whole, if only one does

    def __str__(self):
        return f"{self.mode} {', '.join(f'{k}={v}' for k, v in self.arguments.items())}"

    def apply(self, model, rng):
        Q = keras.quantizers
        if self.mode == "int8":
            model.quantize(config=Q.Int8QuantizationConfig(activation_quantizer=None))
        elif self.mode == "int4":
            model.quantize(config=Q.Int4QuantizationConfig(**self.arguments))
        elif self.mode == "float8":
            model.quantize("float8")
            for layer in (d for d in self.dense(model) if d.quantization_mode == "float8"):
                layer.inputs_scale.assign(rng.uniform(0.005, 0.05))
                layer.kernel_scale.assign(rng.uniform(0.002, 0.01))
        else:
            for layer in self.dense(model):
                self.fill(layer, rng)

    @staticmethod
    def dense(model):
        for layer in model.layers:
            if hasattr(layer, "layers"):
                yield from Quantization.dense(layer)
            elif type(layer) is L.Dense:
                yield layer

    def fill(self, layer, rng):
        """The variables that Keras makes, as a calibration leaves them."""
        if layer.quantization_mode is not None:  # it is met a second time
            return
        given = self.arguments
        bits, group, inputs = given.get("weight_bits", 4), given["group_size"], layer.kernel.shape[0]
        make = keras.quantizers.GPTQConfig if self.mode == "gptq" else keras.quantizers.AWQConfig
        layer.quantize(self.mode, config=make(dataset=None, tokenizer=None, **given))
        groups = np.arange(inputs) // (inputs if group == -1 else group)
        layer.quantized_kernel.assign(rng.integers(0, 256 if bits == 4 else 2**bits, layer.quantized_kernel.shape).astype("uint8"))
        layer.kernel_scale.assign(rng.uniform(0.2, 1, layer.kernel_scale.shape).astype("float32") / (2**bits * np.sqrt(inputs)))
        zero = np.full(layer.kernel_zero.shape, 2 ** (bits - 1)) if given.get("symmetric") else rng.integers(0, 2**bits, layer.kernel_zero.shape)
        layer.kernel_zero.assign(zero.astype("uint8"))
        layer.g_idx.assign(rng.permutation(groups) if given.get("activation_order") else groups)
        if self.mode == "awq":
            layer.awq_scales.assign(rng.uniform(0.5, 2, inputs))
        del layer._kernel
        setattr(layer, f"is_{self.mode}_calibrated", True)


class Draw:
    """One model's worth of luck."""

    def __init__(self, rng):
        self.rng = rng
        self.policy = str(rng.choice(POLICIES)) if rng.random() < 0.3 else "float32"
        self.jumps = self.policy in ("float32", "float64")
        self.quantization = self.quantize()

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def name(self):
        return self.pick([*SMOOTH, *(JUMPS if self.jumps else [])])

    def dtype(self):
        if self.policy == "per_layer" and self.chance(0.5):
            return {"dtype": self.pick(("float16", "mixed_float16", "mixed_bfloat16", "bfloat16", "float32"))}
        return {}

    def model(self):
        keras.config.set_dtype_policy("float32" if self.policy == "per_layer" else self.policy)
        try:
            kind = self.rng.random()
            if kind < 0.12:
                return self.integers()
            if kind < 0.2 and self.quantization is None:
                return self.lookup()
            if kind < 0.28 and self.quantization is None:
                return self.categories()
            return self.pick((self.sequential, self.functional, self.functional))()
        finally:
            keras.config.set_dtype_policy("float32")

    def freeze(self, model):
        """Layers and models at every level, before and behind those in them: the order of weights in .h5 depends on it."""
        for layer in model.layers:
            if self.chance(0.3):
                layer.trainable = self.chance(0.4)
            if hasattr(layer, "layers"):
                self.freeze(layer)
            elif hasattr(getattr(layer, "activation", None), "weights") and self.chance(0.5):
                layer.activation.trainable = self.chance(0.5)

    def quantize(self):
        """One model of eight is quantized. Rounding to integers makes jumps of what comes before them: weights alone. A .keras of gptq and awq has
        lost the zero points, but of those that are symmetric; Keras reads the .h5 of float8 in another order than it writes it."""
        if not self.chance(0.125) or self.policy != "float32":
            return None
        group = int(self.pick((1, 3, 8, 128)))
        return self.pick((Quantization("int8"), Quantization("int4", block_size=-1), Quantization("int4", block_size=group),
                          Quantization("gptq", "h5", weight_bits=self.pick((2, 3, 4, 8)), group_size=self.pick((-1, group)), activation_order=self.chance(0.3)),
                          Quantization("gptq", weight_bits=self.pick((2, 4, 8)), group_size=group, symmetric=True),
                          Quantization("awq", "h5", group_size=self.pick((-1, group))), Quantization("float8", "keras")))

    # --- single layers -----------------------------------------------------------------------------------------------------------------

    def activation(self):
        kind = self.rng.integers(10)
        if kind == 0:
            return self.activation_layer(())
        return self.name()

    def dense(self, units=None):
        return L.Dense(int(units or self.pick(UNITS)), activation=self.activation() if self.chance(0.6) else None, use_bias=self.chance(0.8),
                       **self.dtype())

    def activation_layer(self, shape):
        kinds = [lambda: L.Activation(self.name(), **self.dtype()), lambda: L.LeakyReLU(negative_slope=float(self.rng.uniform(0, 0.5))),
                 lambda: L.ELU(alpha=float(self.rng.uniform(0.2, 2))), self.relu]
        if shape and None not in shape:
            kinds += [lambda: L.PReLU(shared_axes=self.axes(len(shape)) if self.chance(0.5) else None),
                      lambda: L.Softmax(axis=self.axes(len(shape)) if self.chance(0.4) else int(self.rng.integers(1, len(shape) + 1)))]
        return self.pick(kinds)()

    def relu(self):
        arguments = {}
        if self.chance(0.5):
            arguments["negative_slope"] = float(self.rng.uniform(0, 0.5))
        if self.chance(0.5):
            arguments["max_value"] = self.pick((6.0, 1.5, 3.0))
        if self.jumps and self.chance(0.4):
            arguments["threshold"] = float(self.rng.uniform(0, 1))
        return L.ReLU(**arguments, **self.dtype())

    def axes(self, rank):
        """Some of the axes 1..rank."""
        return sorted(int(a) for a in self.rng.choice(range(1, rank + 1), size=self.rng.integers(1, rank + 1), replace=False))

    def norm(self, shape):
        fixed = None not in shape
        kind = self.rng.integers(7)
        if kind == 4:
            return L.UnitNormalization(axis=self.axes(len(shape)) if fixed and self.chance(0.4) else -1, **self.dtype())
        if kind == 5:
            return L.RMSNormalization(axis=self.axes(len(shape)) if fixed and self.chance(0.3) else -1, epsilon=self.pick((1e-3, 1e-2)), **self.dtype())
        if kind == 6 and fixed:
            return self.group_normalization(shape)
        if kind == 0:
            axis = int(self.rng.integers(1, len(shape) + 1)) if fixed and self.chance(0.3) else -1
            return L.BatchNormalization(axis=axis, center=self.chance(0.8), scale=self.chance(0.8), epsilon=self.pick((1e-3, 1e-2)))
        if kind == 1:
            axes = self.axes(len(shape)) if fixed and self.chance(0.4) else -1
            return L.LayerNormalization(axis=axes, center=self.chance(0.8), scale=self.chance(0.8), epsilon=self.pick((1e-3, 1e-2)), **self.dtype())
        if kind == 2 or not shape[-1]:
            return self.rescaling(shape)
        if fixed and self.chance(0.4):
            return self.spread_normalization(shape)
        d = shape[-1]
        return L.Normalization(mean=self.rng.normal(0, 1, d).tolist(), variance=self.rng.uniform(0.3, 3, d).tolist(), invert=self.chance(0.3))

    def group_normalization(self, shape):
        axis = int(self.rng.integers(1, len(shape) + 1))
        groups = [g for g in range(1, shape[axis - 1] + 1) if shape[axis - 1] % g == 0]
        return L.GroupNormalization(groups=self.pick((*groups, -1)), axis=axis if self.chance(0.5) else axis - len(shape) - 1,
                                    center=self.chance(0.8), scale=self.chance(0.8), epsilon=self.pick((1e-3, 1e-2)))

    def product(self, shape):
        """EinsumDense or TimeDistributed."""
        units = self.pick(UNITS)
        activation = self.name() if self.chance(0.5) else None
        if len(shape) > 1 and self.policy != "per_layer" and self.chance(0.5):  # TimeDistributed has one dtype with what it wraps
            # Keras calls the layer inside by its call(), which for a quantized Dense leaves out the scales; a model inside is called as any other.
            alone = self.quantization is None and self.chance(0.6)
            if alone or None not in shape:
                return L.TimeDistributed(self.dense(units) if alone else self.sequential(shape[1:]))
        if self.quantization is not None:
            return self.dense(units)
        kinds = [("...x,xy->...y", (*shape[:-1], units), "y")]
        if len(shape) == 1:
            kinds += [("ab,bc->ac", (units,), "c"), ("ab,bcd->acd", (2, units), "d")]
        if len(shape) == 2:
            kinds += [("abc,cd->abd", (shape[0], units), "d"), ("abc,cde->abde", (shape[0], 3, units), "de")]
            if None not in shape:
                kinds.append(("abc,bd->adc", (units, shape[1]), "d"))
        equation, output, bias = self.pick(kinds)
        return L.EinsumDense(equation, output, activation=activation, bias_axes=bias if self.chance(0.7) else None, **self.dtype())

    def move(self, shape):
        """Layers that move or repeat, and a mask that changes nothing."""
        rank = len(shape)
        if rank == 1:
            return L.RepeatVector(int(self.pick((1, 2, 3))))
        if rank == 2 and shape[-1] and self.chance(0.3):
            return keras.Sequential([L.Masking(), self.dense(shape[-1]), L.Reshape((-1, shape[-1]))])
        return L.Permute([int(a) for a in self.rng.permutation(rank) + 1])

    def rescaling(self, shape):
        if None not in shape and self.chance(0.4):
            return L.Rescaling(self.broadcast(shape), offset=self.broadcast(shape) if self.chance(0.6) else 0.0)
        if self.policy == "float32" and self.chance(0.2):  # there and back: a fold that looks at one of them alone overflows
            units = self.pick(UNITS)
            up, down = self.pick(((1e25, 1e-25), (1e-25, 1e25), (1e15, 1e-15), (1e-18, 1e18)))
            # No bias that comes out huge: in a normalization behind it Keras' float32 would overflow, and lamella's float64 would not.
            return keras.Sequential([L.Rescaling(up), L.Dense(units, use_bias=down < 1), L.Rescaling(down)])
        return L.Rescaling(self.pick((0.5, 2.0, -1.0, 1 / 3)), offset=self.pick((0.0, 0.25, -1.0)))

    def broadcast(self, shape):
        """Numbers of a shape that broadcasts over a sample."""
        extents = [d if self.chance(0.5) else 1 for d in shape][self.rng.integers(0, len(shape)):]
        return self.rng.uniform(-2, 2, extents).tolist()

    def spread_normalization(self, shape):
        axes = self.axes(len(shape))
        extents = [shape[a - 1] if self.chance(0.7) else 1 for a in axes][self.rng.integers(0, len(axes) + 1):]
        mean, variance = self.rng.normal(0, 1, extents), self.rng.uniform(0.3, 3, extents)
        return L.Normalization(axis=axes, mean=mean.tolist(), variance=variance.tolist(), invert=self.chance(0.3))

    def identity(self, shape):
        kinds = [lambda: L.Dropout(0.3), lambda: L.GaussianNoise(0.2), lambda: L.GaussianDropout(0.2), lambda: L.AlphaDropout(0.2),
                 lambda: L.ActivityRegularization(l2=0.01), L.Identity]
        if len(shape) == 2:
            kinds.append(lambda: L.SpatialDropout1D(0.2))
        if len(shape) == 3:
            kinds.append(lambda: L.SpatialDropout2D(0.2))
        if len(shape) == 4:
            kinds.append(lambda: L.SpatialDropout3D(0.2))
        return self.pick(kinds)()

    def reshape(self, shape):
        if None in shape:
            return L.Identity()
        if len(shape) > 1 and self.chance(0.6):
            return L.Flatten(data_format=self.pick(("channels_first", "channels_last")))
        total = 1
        for d in shape:
            total *= d
        divisors = [d for d in range(1, min(total, 12) + 1) if total % d == 0]
        first = self.pick(divisors)
        return L.Reshape(self.pick(((first, -1), (first, total // first), (-1,), (total // first, first))))

    def layer(self, shape):
        """Any layer of one input that fits a sample of this shape."""
        kind = self.rng.random()
        if kind < 0.38:
            return self.dense()
        if kind < 0.45:
            return self.move(shape) if self.chance(0.4) and (len(shape) == 1 or None not in shape) else self.product(shape)
        if kind < 0.65:
            return self.activation_layer(shape)
        if kind < 0.8:
            return self.norm(shape)
        if kind < 0.9:
            return self.identity(shape)
        if len(shape) == 2 and None not in shape and self.chance(0.5):
            return self.steps(shape)
        return self.reshape(shape)

    def steps(self, shape):
        order = self.pick(("channels_first", "channels_last"))
        kinds = [lambda: L.GlobalAveragePooling1D(order, keepdims=self.chance(0.5), **self.dtype()), lambda: L.GlobalMaxPooling1D(order, keepdims=self.chance(0.5)),
                 lambda: L.ZeroPadding1D((int(self.rng.integers(0, 3)), int(self.rng.integers(0, 3))), data_format=order)]
        if shape[0] > 1:
            before = int(self.rng.integers(0, shape[0]))
            kinds.append(lambda: L.Cropping1D((before, int(self.rng.integers(0, shape[0] - before)))))
        return self.pick(kinds)()

    # --- models ------------------------------------------------------------------------------------------------------------------------

    def shape(self):
        rank = self.pick((1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4))
        shape = [int(self.rng.integers(1, 6)) for _ in range(rank - 1)] + [self.pick((*UNITS, 127))]
        if rank == 2 and self.chance(0.2):
            shape[0] = None
        return tuple(shape)

    def sequential(self, shape=None, **kwargs):
        outermost = shape is None
        shape = shape or self.shape()
        if outermost and self.chance(0.15):
            model = keras.Sequential([self.dense(), L.Activation(self.name()), self.dense()])
            model.build((None, *shape))
            return model
        model = keras.Sequential([L.Input(shape)], **kwargs)
        for _ in range(self.rng.integers(1, 7 if outermost else 4)):
            model.add(self.layer(tuple(model.output_shape[1:]) if model.layers else shape))
        if outermost and self.chance(0.2):
            model.add(self.nested(tuple(model.output_shape[1:])))
            model.add(self.dense())
        if outermost and self.chance(0.3):
            last = model.output_shape[-1]
            model.add(L.Activation("glu") if last and last % 2 == 0 and self.chance(0.3) else L.Dense(3, activation="softmax"))
        return model

    def integers(self):
        """Integers (and perhaps floats) that meet and move, as they are and on their way into a Dense."""
        shape = (self.pick((1, 3, 4)), self.pick((2, 5, 12)))
        dtypes = [self.pick(INTEGERS) for _ in range(self.pick((1, 2, 3)))]
        inputs = [L.Input(shape, dtype=dtype, name=f"in_{k}") for k, dtype in enumerate(dtypes)]
        values = list(inputs)
        if self.chance(0.3):
            inputs.append(L.Input(shape, name="in_floats"))
            values.append(inputs[-1])
        moves = [lambda v: L.Dropout(0.2)(v), lambda v: L.Identity()(v),
                 lambda v: L.Reshape(shape)(L.Flatten()(v)), lambda v: L.Activation("linear")(v)]
        if "bool" not in dtypes:
            moves += [lambda v: L.ReLU(max_value=self.pick((None, 3.7, 50.0)))(v), lambda v: L.Activation("relu")(v)]
        values = [self.pick(moves)(v) if self.chance(0.6) else v for v in values]
        merges = [m for m in MERGES if not (m is L.Subtract and "bool" in dtypes)]
        pair = self.rng.permutation(len(values))[:2].tolist() if len(values) > 1 else [0, 0]
        if self.chance(0.3):
            operators = [lambda a, b: a + b, lambda a, b: a * b, keras.ops.maximum, keras.ops.minimum, *([] if "bool" in dtypes else [lambda a, b: a - b])]
            met = self.pick(operators)(*[values[k] for k in pair])
        else:
            met = self.pick([*merges, L.Concatenate])()([values[k] for k in pair])
        met = self.pick(moves[:4])(met) if met.shape[1:] == shape else met
        scaled = L.Rescaling(self.pick((0.001, 0.01)), offset=self.pick((0.0, 0.5)), **self.dtype())(met)
        return keras.Model(inputs, [*values[:1], met, L.Dense(3, activation="tanh", **self.dtype())(scaled)])

    def lookup(self):
        """Rows of a table; numbers of all signs, none outside of it."""
        dtype = self.pick(("int8", "int16", "int32", "int64", "uint8", "float32"))
        numbers = L.Input((self.pick((1, 2, 5)),), dtype=dtype, name="in_numbers")
        x = L.Embedding(256, self.pick(UNITS), **self.dtype())(numbers)
        x = self.step(x, 0)
        return keras.Model(numbers, [self.dense()(x), self.layer(tuple(x.shape[1:]))(x)])

    def pair(self, x):
        """A model of two inputs, called with a dict by the names of its inputs or by its own keys."""
        shape = tuple(x.shape[1:])
        z, a = L.Input(shape, name="z"), L.Input(shape, name="a")
        body = self.pick(MERGES)()([self.dense(4)(z), self.dense(4)(a)])
        given = {"z": x, "a": self.dense(shape[-1])(x)}
        return keras.Model([z, a] if self.chance(0.5) else {"z": z, "a": a}, body)(given)

    def categories(self):
        """Categories, bins and masked steps on their way into a Dense."""
        ids, words = L.Input((self.pick((1, 3)),), dtype=self.pick(("uint8", "int32", "int64")), name="in_ids"), L.Input((6,), dtype="int32", name="in_words")
        floats, more = L.Input((4,), name="in_floats"), L.Input((2,), dtype="uint8", name="in_more")
        edges = sorted(float(v) for v in self.rng.normal(0, 1, self.pick((1, 3, 20))))
        mode = lambda: self.pick(("multi_hot", "count"))
        known = L.Concatenate()([L.ReLU(max_value=9)(words), L.ReLU(max_value=9)(more)])  # 0 .. 9, hardly ever 0 alone
        # A Functional of Keras 3 has the mask among its operations; a Sequential has it not.
        table = L.Embedding(10, 3, mask_zero=self.chance(0.7), **self.dtype())
        mean = L.GlobalAveragePooling1D()
        steps = keras.Sequential([table, *([L.Dropout(0.2)] if self.chance(0.5) else []), mean]) if self.chance(0.5) else lambda x: mean(self.masked(table(x)))
        parts = [L.CategoryEncoding(self.pick((1, 7, 100)), output_mode=mode())(ids), L.Discretization(edges, output_mode=mode())(floats),
                 steps(known), floats]
        if self.chance(0.5):
            padded = L.ZeroPadding1D((self.pick((0, 1)), 2))(L.Reshape((2, 2))(floats))
            parts.append(L.GlobalAveragePooling1D()(self.masked(L.Masking()(padded))))
        if self.chance(0.4):
            compare = self.pick((keras.ops.not_equal, keras.ops.equal, keras.ops.greater, keras.ops.less_equal))
            parts.append(L.Softmax()(L.Dense(known.shape[-1])(floats), mask=compare(known, self.pick((0, 1, 5)))))
        joined = L.Concatenate()([L.Dense(3, **self.dtype())(part) for part in parts])
        return keras.Model([ids, words, floats, more], [L.Dense(2, activation="tanh")(joined), L.Discretization(edges)(floats)])

    def masked(self, x):
        """x behind layers that compute with its mask, hand it on, or lose it."""
        if self.chance(0.3):
            x = self.pick((L.Multiply, L.Maximum, L.Minimum))()([x, L.Dense(x.shape[-1], activation="relu")(x)])
        kinds = [L.Dropout(0.2), L.Dense(3, activation="tanh"), L.LayerNormalization(), L.Identity(), L.TimeDistributed(L.Dense(2)), L.RMSNormalization(epsilon=1e-2),
                 L.BatchNormalization(), L.EinsumDense("abc,cd->abd", (None, 2)), lambda y: L.Add()([y, L.Dense(y.shape[-1])(y)]), lambda y: L.Concatenate()([y, L.Dense(2)(y)])]
        for _ in range(self.pick((0, 1, 2))):
            x = self.pick(kinds)(x)
        return x

    def nested(self, shape):
        if self.chance(0.5):
            return self.sequential(shape)
        x = L.Input(shape)
        return keras.Model(x, self.step(self.step(x, 1), 1))

    def operation(self, x):
        """x behind one of keras.ops, of keras.activations, or an operator. Numbers stay near 1."""
        ops, last = keras.ops, x.shape[-1]
        number = self.pick((0.5, 2.0, -1.5, 1 / 3, 4))
        kinds = [lambda: x * number, lambda: number - x, lambda: x + number, lambda: x / number, lambda: -x, lambda: ops.clip(x, -1.5, 2),
                 lambda: ops.maximum(x, 0.1), lambda: keras.activations.relu(x, negative_slope=0.1), lambda: ops.sigmoid(x), lambda: ops.tanh(x),
                 lambda: ops.softmax(x), lambda: ops.exp(ops.minimum(x, 2.0)), lambda: ops.log(ops.abs(x) + 1.0), lambda: ops.sqrt(ops.abs(x) + 1.0),
                 lambda: ops.stop_gradient(x), lambda: ops.mean(x, axis=-1, keepdims=True), lambda: ops.max(x, axis=-1, keepdims=True),
                 lambda: ops.expand_dims(x, self.pick((1, -1))), lambda: ops.sum(x, axis=-1, keepdims=True), lambda: ops.min(x, axis=-1, keepdims=True),
                 lambda: ops.power(ops.abs(x) + 0.5, self.pick((2, 0.5, -1.0))), lambda: ops.squeeze(ops.expand_dims(x, 1), 1),
                 lambda: ops.stack([x, x * number], axis=-1), lambda: ops.square(x), lambda: ops.minimum(x, 0.7)]
        if len(x.shape) == 3:
            kinds += [lambda: ops.transpose(x, (0, 2, 1)), lambda: x[:, -1:], lambda: ops.mean(x, axis=1, keepdims=True)]
        if last:
            array = self.rng.uniform(0.5, 2, last).astype("float32")
            cut = int(self.rng.integers(0, last))
            kinds += [lambda: x * array, lambda: x - array, lambda: x / array, lambda: x[..., cut:], lambda: x[..., ::-1], lambda: x + self.dense(last)(x),
                      lambda: x * ops.sigmoid(self.dense(last)(x)), lambda: ops.concatenate([x, x * number], axis=-1)]
        return self.pick(kinds)()

    def step(self, x, depth):
        """x, one piece of graph further."""
        shape = tuple(x.shape[1:])
        kind = self.rng.random()
        if kind < 0.55:
            return self.layer(shape)(x)
        if kind < 0.7:  # two ways that meet
            units = self.pick(UNITS)
            return self.pick(MERGES)()([self.dense(units)(x), self.dense(units)(x)])
        if kind < 0.72 and None not in shape and len(shape) < 3 and self.jumps:  # products of 16-bit values cancel to all of their rounding
            units = self.pick(UNITS)
            return L.Dot(axes=-1, normalize=self.chance(0.4))([self.dense(units)(x), self.dense(units)(x)])
        if kind < 0.74 and shape[-1]:
            return self.pair(x)
        if kind < 0.78 and shape[-1]:  # a residual
            return L.Add()([x, self.dense(shape[-1])(x)])
        if kind < 0.86:
            return L.Concatenate()([self.dense()(x), x, self.dense()(x)])
        if kind < 0.93 and shape[-1]:  # one layer twice
            shared = self.dense(shape[-1])
            return shared(L.Activation(self.name())(shared(x)))
        if self.chance(0.5):
            return self.operation(x)
        if depth == 0:
            inner = self.nested(shape)
            once = inner(x)
            return inner(once) if tuple(once.shape) == tuple(x.shape) and self.chance(0.5) else once
        return self.dense()(x)

    def functional(self):
        first = L.Input(self.shape(), name="in_z")
        inputs, x = [first], first
        if self.chance(0.3):
            second = L.Input(tuple(first.shape[1:-1]) + (self.pick(UNITS),), name="in_a")
            inputs.append(second)
            units = self.pick(UNITS)
            x = L.Concatenate()([x, second]) if self.chance(0.5) else self.pick(MERGES)()([self.dense(units)(x), self.dense(units)(second)])
        for _ in range(self.rng.integers(1, 5)):
            x = self.step(x, 0)
        outputs = [self.dense()(x)]
        if self.chance(0.3):
            outputs.append(self.layer(tuple(x.shape[1:]))(x))
        if self.chance(0.1):
            outputs.append(L.Activation("glu")(L.Dense(6)(x)))
        if self.chance(0.3):
            inputs = dict(zip(("in_a", "key"), inputs))  # a key is the name of the other input
        elif len(inputs) == 1:
            inputs = first
        return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])
