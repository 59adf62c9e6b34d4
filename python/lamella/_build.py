# SPDX-License-Identifier: Apache-2.0
"""Models built of layers, with Keras' names and arguments."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core
from ._core import KerasTensor, NewLayer
from ._model import Model

Values = KerasTensor | Sequence[KerasTensor]


# Capitals, as in Keras.
def Input(shape: Sequence[int | None], name: str | None = None, dtype: str | None = None) -> KerasTensor:
    """Where a model begins: samples of this shape, without the batch, None where the extent is open. dtype: None is "float32"."""
    return _core.Input(shape, name, dtype)


def Sequential(layers: Sequence[NewLayer | KerasTensor], name: str | None = None, seed: int = 0, **options: Any) -> Model:
    """A model that is a stack of layers, of which the first is Input(shape).

    seed: for the initial weights, which have Keras' distributions but other numbers than in Keras; with_weights() and update_weights()
    give others.
    options: as in load(). Layers compute in their own dtype, "float32" where none is given, unless the option `dtype` names another.

    Raises ArgumentError for what Keras refuses, such as two layers of one name, and as load() does for options; TypeError.

    >>> built = lamella.Sequential([lamella.Input((4,)), lamella.Dense(8, "relu"), lamella.Dense(3, "softmax")], device="cpu")
    >>> built.predict(np.ones((2, 4), "float32")).shape
    (2, 3)
    """
    return Model._of(_core.sequential(list(layers), name, seed, options), options)


def Functional(inputs: Values, outputs: Values, name: str | None = None, seed: int = 0, **options: Any) -> Model:
    """A model of the layers that compute `outputs` from `inputs`, which are values of Input(); else as Sequential().

    >>> a, b = lamella.Input((4,)), lamella.Input((2,))
    >>> both = lamella.Concatenate()([lamella.Dense(3)(a), b])
    >>> lamella.Functional([a, b], lamella.Dense(1)(both), device="cpu").output_shapes
    [(None, 1)]
    """
    return Model._of(_core.functional(inputs, outputs, name, seed, options), options)
