# SPDX-License-Identifier: Apache-2.0
"""Weights by name, in memory."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _foreign, _torch
from ._errors import ArgumentError

if TYPE_CHECKING:
    from ._model import Model


def named(weights: Any, model: Model) -> dict[str, Any]:
    """A dict's arrays, C-contiguous, by the names in `model`: NumPy's, or as they are where they are on a GPU."""
    if not isinstance(weights, Mapping):
        raise ArgumentError(f"weights: got {type(weights).__name__}, allowed a dict of arrays or the path of a file [E_VALUE]", "E_VALUE")
    for name in weights:
        if not isinstance(name, str):
            raise TypeError(f"weights: a name is a str, got {name!r}")
    found = {name: value if _foreign.is_on_gpu(value) else _arrays.host_array(value, name, "weight") for name, value in weights.items()}
    if _torch.are_torch(found):
        found = _torch.for_dense(found, model.layers)
    return {name: value if isinstance(value, np.ndarray) and value.flags.c_contiguous else _foreign.contiguous(value) for name, value in found.items()}
