# SPDX-License-Identifier: Apache-2.0
"""Converts what users pass as inputs to one NumPy array per input, in the model's order."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._errors import ArgumentError

Info = tuple[str, list[int], str]
"""Name, shape of a sample with -1 for None, and dtype of an input or output."""


def quoted(names: Sequence[Any]) -> str:
    return ", ".join(repr(name) for name in names)


def is_frame(x: Any) -> bool:
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def is_array(x: Any) -> bool:
    return hasattr(x, "__array__") or hasattr(x, "__dlpack__") or hasattr(x, "__array_interface__")


def host_array(x: Any, name: str, kind: str = "input") -> np.ndarray[Any, Any]:
    """x as a C-contiguous array of native byte order and a dtype that lamella has; copied only if it is not one already."""
    if type(x) is not np.ndarray:
        if isinstance(x, np.ma.MaskedArray):
            raise ArgumentError(f"{kind} {name!r}: a masked array has missing elements; fill them first [E_DTYPE]", "E_DTYPE")
        if hasattr(x, "detach"):  # torch: predicting needs no gradient
            x = x.detach()
            if str(x.dtype) == "torch.bfloat16":
                x = x.float()
        try:
            x = np.from_dlpack(x) if hasattr(x, "__dlpack__") and not hasattr(x, "__array__") else np.asarray(x)
        except (BufferError, RuntimeError) as error:
            raise ArgumentError(f"{kind} {name!r}: NumPy cannot read its memory: {error} [E_ARGUMENT]") from None
    if x.dtype.num >= 256 and x.dtype.name.startswith(("bfloat16", "float8")):  # of ml_dtypes; every one of them is a float32
        x = x.astype(np.float32)
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
        raise ArgumentError(f"{kind} {name!r}: got dtype {x.dtype}, allowed are floats, integers and bool of at most 64 bits [E_DTYPE]", "E_DTYPE")
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    return x if x.flags.c_contiguous and x.flags.aligned else np.require(x, requirements=["C", "A"])


def of_columns(frame: Any, inputs: Sequence[Info]) -> dict[str, Any] | list[Any]:
    """The columns of a pandas DataFrame: all of them for a single input, else for each input the column of its name."""
    if len(inputs) == 1:
        name, sample, _ = inputs[0]
        if len(sample) == 1 and sample[0] not in (-1, len(frame.columns)):
            raise ArgumentError(f"input {name!r}: got a DataFrame of {len(frame.columns)} columns, expected {sample[0]} [E_SHAPE]", "E_SHAPE")
        return [frame.to_numpy()]
    missing = [name for name, _, _ in inputs if name not in frame.columns]
    if missing:
        raise ArgumentError(f"the DataFrame has no column for input {missing[0]!r}; its columns: {quoted(list(frame.columns))} [E_MISSING]",
                            "E_MISSING")
    return {name: frame[name].to_numpy() for name, _, _ in inputs}


def in_order(x: Any, inputs: Sequence[Info]) -> list[Any]:
    """One object per input: from a dict by name, a DataFrame, a list, or the single one."""
    if is_frame(x):
        x = of_columns(x, inputs)
    if isinstance(x, Mapping):
        names = [name for name, _, _ in inputs]
        for name in x:
            if name not in names:
                raise ArgumentError(f"no input is named {name!r}; known: {quoted(names)} [E_VALUE]", "E_VALUE")
        for name in names:
            if name not in x:
                raise ArgumentError(f"input {name!r} is not given [E_MISSING]", "E_MISSING")
        return [x[name] for name in names]
    if len(inputs) == 1:
        # As in Keras, a list of one array is that array; a list of numbers, or of several rows, is the array itself.
        return list(x) if isinstance(x, (list, tuple)) and len(x) == 1 and is_array(x[0]) else [x]
    if not isinstance(x, (list, tuple)):
        raise ArgumentError(f"the model takes {len(inputs)} inputs ({quoted([i[0] for i in inputs])}); got one {type(x).__name__}, expected a "
                            "list of arrays, a dict of them or a DataFrame [E_ARGUMENT]")
    if len(x) != len(inputs):
        raise ArgumentError(f"the model takes {len(inputs)} inputs ({quoted([i[0] for i in inputs])}), got {len(x)} [E_ARGUMENT]")
    return list(x)


def host_arrays(x: Any, inputs: Sequence[Info]) -> list[np.ndarray[Any, Any]]:
    return [host_array(each, info[0]) for each, info in zip(in_order(x, inputs), inputs)]
