# SPDX-License-Identifier: Apache-2.0
"""Calls with arrays of other libraries, through DLPack."""
from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import in_order
from ._errors import ArgumentError

if TYPE_CHECKING:
    from ._model import Model

CUDA = 2  # DLPack's number


def library_of(x: Any) -> str:
    """The top-level package of an array (or of the first one) that is exchanged through DLPack; "" for what becomes a NumPy array."""
    if isinstance(x, Mapping):
        x = next(iter(x.values()), None)
    elif isinstance(x, (list, tuple)) and x:
        x = x[0]
    if isinstance(x, (np.ndarray, np.generic)) or not hasattr(x, "__dlpack__"):
        return ""
    top = type(x).__module__.partition(".")[0]
    return "jax" if top == "jaxlib" else top


def contiguous(x: Any) -> Any:
    if hasattr(x, "detach"):  # torch: predicting needs no gradient
        x = x.detach()
    if hasattr(x, "contiguous"):
        return x.contiguous()
    library: Any = sys.modules.get(type(x).__module__.partition(".")[0])
    if hasattr(library, "ascontiguousarray"):
        return library.ascontiguousarray(x)
    if is_on_gpu(x) or hasattr(x, "block_until_ready"):  # JAX: contiguous
        return x
    try:
        return np.require(np.from_dlpack(x), requirements="C")
    except (BufferError, RuntimeError, TypeError):  # NumPy lacks the dtype; contiguous arrays are read where they are all the same
        return x


def from_dlpack(library: str, array: Any) -> Any:
    """An array of `library` that shares the memory of `array`; a NumPy array if the library has no from_dlpack."""
    module: Any = sys.modules.get("jax.numpy" if library == "jax" else library)
    return (module if hasattr(module, "from_dlpack") else np).from_dlpack(array)


def is_on_gpu(x: Any) -> bool:
    return hasattr(x, "__dlpack_device__") and bool(x.__dlpack_device__()[0] == CUDA)


def current_stream(array: Any) -> int | None:
    """The current CUDA stream of the library of a GPU array; None, after waiting for the array, if the library has none."""
    library = library_of(array)
    if library == "torch":
        stream: int = sys.modules[library].cuda.current_stream(array.device).cuda_stream
        return stream
    if library == "cupy":
        pointer: int = sys.modules[library].cuda.get_current_stream().ptr
        return pointer
    if not hasattr(array, "block_until_ready"):
        raise ArgumentError(f"arrays of {library} on a GPU: it is unknown on which stream they are made; use torch, CuPy or JAX "
                            "[E_UNSUPPORTED]", "E_UNSUPPORTED")
    array.block_until_ready()
    return None


def common_stream(arrays: Sequence[Any], stream: int | None) -> int | None:
    """The stream on which to read these GPU arrays: their library's current one. `stream`, if given, must be the same."""
    for array in arrays:
        current = current_stream(array)
        if current is None:
            continue
        if stream is not None and current != stream:
            raise ArgumentError(f"the current CUDA stream of {library_of(array)} is {current:#x}, another is {stream:#x}; allowed is one for "
                                "all arrays and for the call [E_ARGUMENT]")
        stream = current
    return stream


def call(model: Model, x: Any, library: str) -> list[Any]:
    arrays = in_order(x, model._inputs)
    for array in arrays:
        if library_of(array) != library:
            raise ArgumentError(f"all inputs of one call must be arrays of one library: got {type(array).__name__} beside {library} [E_ARGUMENT]")
    arrays = [contiguous(array) for array in arrays]
    if all(array.__dlpack_device__()[0] != CUDA for array in arrays):
        return [from_dlpack(library, y) for y in model._run_dlpack(arrays, [], None)]
    if library in ("torch", "cupy"):
        return on_stream(model, arrays, sys.modules[library], library)
    for array in arrays:
        current_stream(array)
    return [from_dlpack(library, y) for y in model._run_dlpack(arrays, [], None)]


def on_stream(model: Model, arrays: list[Any], module: Any, library: str) -> list[Any]:
    """Enqueues on the library's current stream, into memory that the library allocates: its rules for both apply."""
    device, stream = arrays[0].device, current_stream(arrays[0])
    if library == "torch":
        arrays = [array.to(getattr(module, dtype)) for array, (_, _, dtype) in zip(arrays, model._inputs)]
    else:
        arrays = [array.astype(dtype, copy=False) for array, (_, _, dtype) in zip(arrays, model._inputs)]
    outs = []
    for name, sample, dtype in model._outputs:
        if min(sample, default=0) < 0:
            raise ArgumentError(f"output {name!r}: arrays on a GPU need a model whose output shapes are fixed [E_UNSUPPORTED]", "E_UNSUPPORTED")
        shape = (arrays[0].shape[0], *sample)
        outs.append(module.empty(shape, dtype=getattr(module, dtype), device=device) if library == "torch" else module.empty(shape, dtype=dtype))
    model._run_dlpack(arrays, outs, stream)
    return outs
