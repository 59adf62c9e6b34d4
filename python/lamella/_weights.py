# SPDX-License-Identifier: Apache-2.0
"""Weights by name: from a dict, an .npz or a .safetensors file."""
from __future__ import annotations

import os
from collections.abc import Mapping
from json import loads
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _foreign, _torch
from ._errors import ArgumentError, FileError, LoadError

if TYPE_CHECKING:
    from ._model import Model

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2",
           "U8": "|u1", "BOOL": "|b1"}
_MOST_HEADER = 100_000_000


def of_safetensors(path: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file: eight bytes with the length of a JSON text, the text, then the elements; bfloat16 as float32."""

    def refuse(what: str) -> LoadError:
        return LoadError(f"{path}: {what} [E_ARCHIVE]", "E_ARCHIVE")

    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _MOST_HEADER):
        raise refuse("not a safetensors file: its header is longer than the file")
    try:
        head = loads(content[8:8 + length])
        entries = [(str(name), entry["dtype"], [int(n) for n in entry["shape"]], *map(int, entry["data_offsets"]))
                   for name, entry in head.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refuse("not a safetensors file: its header is malformed") from None
    data = memoryview(content)[8 + length:]
    arrays = {}
    for name, dtype, shape, begin, end in entries:
        if dtype != "BF16" and dtype not in _DTYPES:
            raise refuse(f"{name!r}: got dtype {dtype!r}, allowed {', '.join(['BF16', *_DTYPES])}")
        stored = np.dtype("<u2" if dtype == "BF16" else _DTYPES[dtype])
        count = 1
        for extent in shape:
            count *= extent
        if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(data) or end - begin != count * stored.itemsize:
            raise refuse(f"{name!r}: its elements are not where the header says")
        array = np.frombuffer(data[begin:end], stored).reshape(shape)
        arrays[name] = (array.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else array
    return arrays


def of_npz(path: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a NumPy archive; nothing in it is executed."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError:
        raise
    except Exception as error:
        raise LoadError(f"{path}: not an .npz file that NumPy can read: {error} [E_ARCHIVE]", "E_ARCHIVE") from None


def named(weights: Any, model: Model) -> dict[str, Any]:
    """A dict of arrays, or what a file holds, as C-contiguous arrays by the names in `model`: NumPy's, or as they are where they are on a GPU."""
    if isinstance(weights, Mapping):
        arrays: Mapping[str, Any] = weights
    else:
        path = os.fsdecode(weights)
        readers = {".npz": of_npz, ".safetensors": of_safetensors}
        reader = readers.get(os.path.splitext(path)[1])
        if reader is None:
            raise ArgumentError(f"weights: got {path!r}, allowed a dict of arrays, NAME.npz, NAME.safetensors [E_VALUE]", "E_VALUE")
        try:
            arrays = reader(path)
        except OSError as error:
            raise FileError(f"{path}: {error.strerror or error} [E_IO]", "E_IO") from None
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"weights: a name is a str, got {name!r}")
    found = {name: value if _foreign.is_on_gpu(value) else _arrays.host_array(value, name, "weight") for name, value in arrays.items()}
    if _torch.are_torch(found):
        found = _torch.for_dense(found, model.layers, isinstance(weights, Mapping))
    return {name: value if isinstance(value, np.ndarray) and value.flags.c_contiguous else _foreign.contiguous(value) for name, value in found.items()}
