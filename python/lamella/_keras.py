# SPDX-License-Identifier: Apache-2.0
"""Converts a live Keras model to the bytes of its .keras file."""
from __future__ import annotations

import io
import os
import sys
import tempfile
from typing import Any


class _Memory(io.BytesIO):
    """A file name for Keras whose content stays in memory."""

    def __str__(self) -> str:
        return "model.keras"


def saved(model: Any) -> bytes:
    keras: Any = sys.modules.get("keras")
    if keras is None or not hasattr(model, "save"):
        raise TypeError(f"from_keras: got {type(model).__name__}, expected a model of Keras 3")
    memory = _Memory()
    try:
        keras.saving.save_model(model, memory)
    except (TypeError, AttributeError):  # a Keras that takes paths alone
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            keras.saving.save_model(model, path)
            with open(path, "rb") as file:
                return file.read()
    return memory.getvalue()


def answers(model: Any, arrays: list[Any], names: list[str], input_names: list[str]) -> list[Any]:
    """The outputs that Keras computes, as NumPy arrays in the order of `names`."""
    import numpy as np
    keras: Any = sys.modules["keras"]
    structure = getattr(model, "input", None)
    x: Any = dict(zip(input_names, arrays)) if isinstance(structure, dict) else arrays if isinstance(structure, (list, tuple)) else arrays[0]
    y = model(x, training=False)
    if isinstance(y, dict):
        y = [y[name] for name in names]
    elif not isinstance(y, (list, tuple)):
        y = [y]
    return [np.asarray(keras.ops.convert_to_numpy(each)) for each in y]
