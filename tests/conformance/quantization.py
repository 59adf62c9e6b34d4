# SPDX-License-Identifier: Apache-2.0
"""Quantizes a drawn model in one of the modes that Keras has."""
import keras
import numpy as np
from keras import layers as L


class Quantization:
    """Does what Model.quantize() does. For modes that need a dataset, quantizes each Dense with random numbers in place of a calibration."""

    def __init__(self, mode, file=None, **arguments):
        self.mode, self.arguments = mode, arguments
        self.file = file  # the only kind of file that stores it completely, if there is just one

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
        """Sets the variables that Keras makes to values as after a calibration."""
        if layer.quantization_mode is not None:  # already quantized: the layer is used twice
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
