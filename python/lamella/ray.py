# SPDX-License-Identifier: Apache-2.0
"""Predicting with Ray: `import lamella.ray`. Needs Ray, `pip install lamella[ray]`; lamella itself does not. docs/ray.md."""
from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._arrays import quoted
from ._errors import ArgumentError
from ._model import Array, Source, load

try:
    ray: Any = importlib.import_module("ray")
except ModuleNotFoundError as error:
    if error.name != "ray":
        raise
    raise ModuleNotFoundError("lamella.ray needs Ray: pip install lamella[ray]", name="ray") from None

__all__ = ["BatchPredictor"]


def options_of(resources: Mapping[str, float]) -> dict[str, Any]:
    """Options for a model in an actor with these resources. Ray lets an actor see its own GPU only, so its number is 0."""
    return {"device": "cuda:0" if resources.get("GPU") else "cpu", "threads": max(1, math.ceil(resources.get("CPU", 1)))}


class BatchPredictor:
    """What `ray.data.Dataset.map_batches` calls: one model in each actor, batches of columns in and out.

        ds.map_batches(lamella.ray.BatchPredictor, fn_constructor_args=["model.keras"],
                       compute=ray.data.ActorPoolStrategy(size=4), num_cpus=2, batch_size=4096)

    Each actor computes on as many threads as it has `num_cpus`, or with `num_gpus` on its GPU. A batch is a dict of NumPy arrays,
    read-only or not: the column named like an input is that input, other columns are not used. The result has a column for each
    output, by the output's name, with as many rows.
    """

    def __init__(self, source: Source, keep: Sequence[str] = (), **options: Any) -> None:
        """source: as for lamella.load(): a path, which every node must have, or the bytes of the file.
        keep: columns of the batch that the result has too, such as the numbers of the rows.
        options: as for lamella.load(). Unless they are given, device and threads follow from what Ray has assigned to the actor; one
            with a GPU never computes on the CPU instead.

        Raises what lamella.load() raises; ArgumentError where columns of the result would have the same name.
        """
        if isinstance(keep, str):
            raise ArgumentError(f"keep: got {keep!r}, expected a list of columns [E_ARGUMENT]")
        if ray.is_initialized() and ray.get_runtime_context().get_actor_id():
            options = options_of(ray.get_runtime_context().get_assigned_resources()) | options
        self.keep = list(keep)
        self.model = load(source, **options)
        columns = self.keep + self.model.output_names
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise ArgumentError(f"column {twice[0]!r} would be there twice; outputs: {quoted(self.model.output_names)}; kept: {quoted(self.keep)} "
                                "[E_VALUE]", "E_VALUE")

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """The columns `keep` and the outputs for one batch. Raises ArgumentError where a column is missing, or has a shape or dtype that
        the input does not take."""
        if not isinstance(batch, Mapping):
            raise ArgumentError(f"got a batch of type {type(batch).__name__}, expected a dict of NumPy arrays: batch_format=\"numpy\" [E_ARGUMENT]")
        for name in self.model.input_names + self.keep:
            if name not in batch:
                what = "input" if name in self.model.input_names else "keep:"
                raise ArgumentError(f"{what} {name!r}: the batch has no such column; its columns: {quoted(list(batch))} [E_MISSING]", "E_MISSING")
        outputs = self.model.predict({name: batch[name] for name in self.model.input_names})
        outputs = [outputs] if len(self.model.output_names) == 1 else outputs
        return {name: batch[name] for name in self.keep} | dict(zip(self.model.output_names, outputs))
