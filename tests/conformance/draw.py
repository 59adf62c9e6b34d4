# SPDX-License-Identifier: Apache-2.0
"""Draws a random model that a Keras user could have written."""
import keras
from keras import layers as L

from draw_layers import UNITS, LayerDraw
from quantization import Quantization

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64", "per_layer")
MERGES = (L.Add, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Subtract)
INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


class Draw(LayerDraw):
    """The random choices of one model."""

    def __init__(self, rng):
        self.rng = rng
        self.policy = str(rng.choice(POLICIES)) if rng.random() < 0.3 else "float32"
        self.jumps = self.policy in ("float32", "float64")
        self.quantization = self.quantize()

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
        """Freezes layers and models at every level, before and after the layers inside them: the order of weights in .h5 depends on it."""
        for layer in model.layers:
            if self.chance(0.3):
                layer.trainable = self.chance(0.4)
            if hasattr(layer, "layers"):
                self.freeze(layer)
            elif hasattr(getattr(layer, "activation", None), "weights") and self.chance(0.5):
                layer.activation.trainable = self.chance(0.5)

    def quantize(self):
        """Quantizes one model in eight. Only weights, because rounding activations to integers would make jumps of small differences. A .keras file
        loses the zero points of gptq and awq unless they are symmetric; Keras reads the .h5 of float8 in another order than it writes it."""
        if not self.chance(0.125) or self.policy != "float32":
            return None
        group = int(self.pick((1, 3, 8, 128)))
        return self.pick((Quantization("int8"), Quantization("int4", block_size=-1), Quantization("int4", block_size=group),
                          Quantization("gptq", "h5", weight_bits=self.pick((2, 3, 4, 8)), group_size=self.pick((-1, group)), activation_order=self.chance(0.3)),
                          Quantization("gptq", weight_bits=self.pick((2, 4, 8)), group_size=group, symmetric=True),
                          Quantization("awq", "h5", group_size=self.pick((-1, group))), Quantization("float8", "keras")))

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
        """Integers (and perhaps floats) that are merged and moved, as outputs and on their way into a Dense."""
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
        """Rows of a table, by positive and negative indices, all inside it."""
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
        known = L.Concatenate()([L.ReLU(max_value=9)(words), L.ReLU(max_value=9)(more)])  # 0 .. 9, so that a row is rarely all 0
        # In Keras 3 a Functional has the mask among its operations; a Sequential does not.
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
        """x, passed through layers that use its mask, pass it on, or lose it."""
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
        """x, passed through a function of keras.ops or keras.activations, or an operator. Numbers stay near 1."""
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
        """x, extended by one piece of graph."""
        shape = tuple(x.shape[1:])
        kind = self.rng.random()
        if kind < 0.55:
            return self.layer(shape)(x)
        if kind < 0.7:  # two branches that join
            units = self.pick(UNITS)
            return self.pick(MERGES)()([self.dense(units)(x), self.dense(units)(x)])
        if kind < 0.72 and None not in shape and len(shape) < 3 and self.jumps:  # sums of 16-bit products may cancel down to rounding errors
            units = self.pick(UNITS)
            return L.Dot(axes=-1, normalize=self.chance(0.4))([self.dense(units)(x), self.dense(units)(x)])
        if kind < 0.74 and shape[-1]:
            return self.pair(x)
        if kind < 0.78 and shape[-1]:  # a residual
            return L.Add()([x, self.dense(shape[-1])(x)])
        if kind < 0.86:
            return L.Concatenate()([self.dense()(x), x, self.dense()(x)])
        if kind < 0.93 and shape[-1]:  # the same layer twice
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
            inputs = dict(zip(("in_a", "key"), inputs))  # the key of one input is the name of the other
        elif len(inputs) == 1:
            inputs = first
        return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])
