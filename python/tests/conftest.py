# SPDX-License-Identifier: Apache-2.0
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras
import numpy as np
import pytest

import lamella

ROOT = pathlib.Path(__file__).resolve().parents[2]
MLP = ROOT / "examples/models/mlp.keras"


def cupy_array(array):
    """Memory of an emulated GPU as an object that looks like CuPy's, as far as calls ask."""
    memory = lamella._core.to_device(array, "cuda:0")

    class ndarray:
        device, shape = 0, array.shape

        @property
        def T(self):
            return cupy_array(np.ascontiguousarray(array.T))

        def __dlpack__(self, **keywords):
            return memory.__dlpack__(**{k: v for k, v in keywords.items() if k == "max_version"})

        def __dlpack_device__(self):
            return memory.__dlpack_device__()

        def astype(self, dtype, copy):
            return self

    ndarray.__module__, ndarray.memory = "cupy", memory
    return ndarray()


@pytest.fixture
def gpu():
    """Skips where there is no CUDA device, real or emulated."""
    if "cuda:0" not in lamella.devices():
        pytest.skip(lamella.why_no_cuda())


@pytest.fixture
def mlp():
    return lamella.load(MLP, device="cpu")


@pytest.fixture
def x():
    return np.random.default_rng(3).standard_normal((20, 784)).astype(np.float32)


@pytest.fixture(scope="session")
def two_in_two_out():
    """A Keras model of inputs "wide" (3,) and "deep" (1,), and outputs of 2 and 5 units."""
    keras.utils.set_random_seed(1)
    wide, deep = keras.Input((3,), name="wide"), keras.Input((1,), name="deep")
    both = keras.layers.Concatenate()([wide, deep])
    return keras.Model([wide, deep], [keras.layers.Dense(2, activation="tanh")(both), keras.layers.Dense(5, activation="gelu")(both)])


@pytest.fixture(scope="session")
def large_file():
    """The bytes of a model whose 40000 rows take seconds."""
    keras.utils.set_random_seed(2)
    net = keras.Sequential([keras.Input((256,)), *[keras.layers.Dense(1024, activation="tanh") for _ in range(6)], keras.layers.Dense(1)])
    from lamella._keras import saved
    return saved(net)
