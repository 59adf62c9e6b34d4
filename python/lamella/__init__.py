# SPDX-License-Identifier: Apache-2.0
"""Runs Keras models made of Dense and Activation layers, straight from the .keras or .h5 file, without Keras.

>>> import lamella
>>> lamella.load("mlp.keras", device="cpu").output_shapes
[(None, 10)]
"""
from __future__ import annotations

from . import _core, _log as _log
from ._activation import ActivationSpec, activation_of
from ._build import Functional, Input, Sequential
from ._core import (ELU, Activation, Add, Average, BatchNormalization, Concatenate, Dense, Dropout, Embedding, Flatten, Identity, LayerNormalization,
                    LeakyReLU, Maximum, Minimum, Multiply, PReLU, ReLU, Rescaling, Reshape, Softmax, Subtract)
from ._errors import ArgumentError, DeviceError, Error, FileError, LoadError, OutOfMemoryError
from ._model import Layer, Model, from_keras, load
from ._verify import Difference, Verification

__version__: str = _core.version
__all__ = ["ELU", "Activation", "ActivationSpec", "Add", "ArgumentError", "Average", "BatchNormalization", "Concatenate", "Dense", "DeviceError",
           "Difference", "Dropout", "Embedding", "Error", "FileError", "Flatten", "Functional", "Identity", "Input", "Layer", "LayerNormalization",
           "LeakyReLU", "LoadError", "Maximum", "Minimum", "Model", "Multiply", "OutOfMemoryError", "PReLU", "ReLU", "Rescaling", "Reshape",
           "Sequential", "Softmax", "Subtract", "Verification", "activation_of", "describe", "devices", "from_keras", "load", "why_no_cuda"]


def devices() -> list[str]:
    """The devices that this process can use, best first; the CPU is always included.

    >>> "cpu" in lamella.devices()
    True
    """
    return _core.available_devices()


def why_no_cuda() -> str:
    """Why no CUDA device can be used, as one sentence; empty if one can."""
    return _core.why_no_cuda()


def describe(device: str) -> str:
    """Description of a device, with versions of its driver and libraries. Raises DeviceError if it cannot be used."""
    return _core.describe(device)
