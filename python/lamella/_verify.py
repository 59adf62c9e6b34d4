# SPDX-License-Identifier: Apache-2.0
"""Comparing with a live Keras model."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _keras

if TYPE_CHECKING:
    from ._model import Model


@dataclass(frozen=True)
class Difference:
    """How one output differs from what Keras answers."""

    output: str
    agrees: bool
    largest: float
    """The largest finite difference of two elements."""
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Verification:
    """What verify() found: true when every output agrees."""

    outputs: list[Difference]

    def __bool__(self) -> bool:
        return all(output.agrees for output in self.outputs)

    def __str__(self) -> str:
        return "\n".join(map(str, self.outputs))


def compared(name: str, got: Any, want: Any, rtol: float, atol: float) -> Difference:
    if got.shape != want.shape:
        return Difference(name, False, float("nan"), f"{name}: got shape {got.shape}, expected {want.shape}")
    exact = got.dtype.kind in "iub" and want.dtype.kind in "iub"
    if exact:
        error = (got != want).astype(np.float64)
        over = np.where(got == want, 0.0, np.inf)
        finite, w = np.zeros(got.shape, bool), want  # there is no tolerance to name
    else:
        g, w = got.astype(np.float64), want.astype(np.float64)
        same = (g == w) | (np.isnan(g) & np.isnan(w))
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.where(same, 0.0, np.abs(g - w))
            finite = np.isfinite(error) & np.isfinite(w)
            over = np.where(same, 0.0, np.where(finite, error / (atol + rtol * np.abs(w)), np.inf))
    largest = float(np.max(error, initial=0.0, where=np.isfinite(error)))
    if not np.any(over > 1):
        return Difference(name, True, largest, f"{name}: {got.size} values agree, largest difference {largest:.3g}")
    worst = np.unravel_index(int(np.argmax(over)), got.shape)
    text = f"{name}: worst at {[int(i) for i in worst]}: got {got[worst]:.9g}, expected {want[worst]:.9g}"
    if finite[worst]:
        text += f", difference {error[worst]:.3g}, allowed {atol + rtol * np.abs(w[worst]):.3g}"
    return Difference(name, False, largest, text)


def verify(model: Model, keras_model: Any, x: Any, rtol: float, atol: float) -> Verification:
    arrays = _arrays.host_arrays(x, model._inputs)
    found = model.predict(arrays)
    names = model.output_names
    expected = _keras.answers(keras_model, arrays, names, model.input_names)
    got = found if isinstance(found, list) else [found]
    return Verification([compared(name, g, w, rtol, atol) for name, g, w in zip(names, got, expected, strict=True)])
