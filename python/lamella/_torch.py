# SPDX-License-Identifier: Apache-2.0
"""A dict of weights with the names of a torch module: those of its Linear layers go to the Dense layers of a model. load_weights() of C++ does
the same for a file, whose order says nothing."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._arrays import quoted
from ._errors import ArgumentError

if TYPE_CHECKING:
    from ._model import Layer

_KERAS = {"weight": "kernel", "bias": "bias"}


def are_torch(names: Collection[str]) -> bool:
    """Whether these are names of a torch module, "fc1.weight"; lamella's have a slash."""
    return not any("/" in name for name in names) and any(name.rpartition(".")[2] in _KERAS for name in names)


def modules_of(weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The Linear layers in the order of the names: for each its weight and bias."""
    modules: dict[str, dict[str, Any]] = {}
    for key, value in weights.items():
        module, _, kind = key.rpartition(".")
        rank = len(value.shape)
        if kind not in _KERAS or rank != (2 if kind == "weight" else 1):
            raise ArgumentError(f"weights: got {key!r} of shape {tuple(value.shape)}, allowed are weight (out, in) and bias (out,) of torch's "
                                "Linear layers [E_UNSUPPORTED]", "E_UNSUPPORTED")
        modules.setdefault(module, {})[kind] = value
    return modules


def pairs(modules: Collection[str], layers: Sequence[Layer]) -> list[tuple[str, Layer]]:
    """Each Linear layer with its Dense layer: that of the same name where all have one, else by their order."""
    dense = {layer.path: layer for layer in layers if layer.class_name == "Dense"}
    if len(modules) != len(dense):
        raise ArgumentError(f"weights: got {len(modules)} Linear layers ({quoted(list(modules))}), the model has {len(dense)} Dense layers "
                            f"({quoted(list(dense))}) [E_VALUE]", "E_VALUE")
    if {module.replace(".", "/") for module in modules} == set(dense):
        return [(module, dense[module.replace(".", "/")]) for module in modules]
    return list(zip(modules, dense.values()))


def for_dense(weights: Mapping[str, Any], layers: Sequence[Layer]) -> dict[str, Any]:
    """The weights by "path/name", kernels transposed. Raises ArgumentError where a count or a shape does not fit."""
    modules = modules_of(weights)
    made = {}
    for module, layer in pairs(modules, layers):
        for kind, name in _KERAS.items():
            key = f"{module}.{kind}".lstrip(".")
            given, wanted = modules[module].get(kind), layer.weights.get(name)
            if given is None and wanted is None:
                continue
            if given is None or wanted is None:
                raise ArgumentError(f"weights: {key!r} is {'missing' if given is None else 'given'}, but Dense layer {layer.path!r} has "
                                    f"{'a' if given is None else 'no'} {name} [E_MISSING]", "E_MISSING")
            if tuple(given.shape) != wanted.shape[::-1]:
                raise ArgumentError(f"weights: {key!r} has shape {tuple(given.shape)}, Dense layer {layer.path!r} takes {wanted.shape[::-1]} "
                                    "[E_SHAPE]", "E_SHAPE")
            made[f"{layer.path}/{name}"] = given.T if kind == "weight" else given
    return made
