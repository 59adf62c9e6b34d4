# SPDX-License-Identifier: Apache-2.0
"""Draws single layers, and small models in their place."""
import keras
from keras import layers as L

SMOOTH = ("celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu "
          "soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink exponential").split()
JUMPS = ["hard_shrink"]  # rounding to 16 bits near the jump changes the result by the whole jump
UNITS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 31, 33, 40)


class LayerDraw:
    """Needs `rng`, `policy`, and `jumps`: whether functions that jump may be drawn."""

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
        """A random selection of the axes 1..rank."""
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
        if len(shape) > 1 and self.policy != "per_layer" and self.chance(0.5):  # TimeDistributed has the dtype of the layer that it wraps
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
        """Layers that move or repeat elements, and a mask without effect."""
        rank = len(shape)
        if rank == 1:
            return L.RepeatVector(int(self.pick((1, 2, 3))))
        if rank == 2 and shape[-1] and self.chance(0.3):
            return keras.Sequential([L.Masking(), self.dense(shape[-1]), L.Reshape((-1, shape[-1]))])
        return L.Permute([int(a) for a in self.rng.permutation(rank) + 1])

    def rescaling(self, shape):
        if None not in shape and self.chance(0.4):
            return L.Rescaling(self.broadcast(shape), offset=self.broadcast(shape) if self.chance(0.6) else 0.0)
        if self.policy == "float32" and self.chance(0.2):  # scaled up and down again: folding only one of the two would overflow
            units = self.pick(UNITS)
            up, down = self.pick(((1e25, 1e-25), (1e-25, 1e25), (1e15, 1e-15), (1e-18, 1e18)))
            # No huge results: in a later normalization Keras' float32 would overflow, and lamella's float64 would not.
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
