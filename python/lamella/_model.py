# SPDX-License-Identifier: Apache-2.0
"""The Model class and the functions that make one."""
from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import loads
from typing import Any

import numpy as np

from . import _arrays, _core, _foreign, _keras, _verify, _weights
from ._activation import ActivationSpec
from ._errors import ArgumentError

Array = np.ndarray[Any, Any]
Source = str | bytes | bytearray | memoryview | os.PathLike[str]


class Explanation(str):
    """What explain() returns: text, in notebooks in a font in which its columns are aligned."""

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self)}</pre>"


@dataclass(frozen=True)
class Layer:
    """One layer of a model. The weights are read-only views of the model's memory."""

    name: str
    class_name: str
    path: str
    """Its path, such as "outer/inner/dense" in nested models."""
    config: dict[str, Any]
    weights: dict[str, Array]


class Model(_core.Model):
    """A Keras model, ready to run on one device. Any number of threads may use it at once; none holds the GIL while it computes.

    >>> m = lamella.load("mlp.keras", device="cpu")
    >>> m
    <lamella.Model 'digits_like' on cpu: pixels float32 (None, 784) -> digit float32 (None, 10)>
    >>> m.predict(np.zeros((3, 784), "float32")).shape
    (3, 10)
    """

    def __init__(self, source: Source, input_shape: Sequence[int | None] | None = None, **options: Any) -> None:
        """As lamella.load()."""
        shape = None if input_shape is None else [-1 if extent is None else extent for extent in input_shape]
        self._options = options if shape is None else options | {"input_shape": shape}
        self._changes: list[tuple[str, str | ActivationSpec]] = []
        self._is_of_file = not options.get("updatable", False)
        self._file: bytes | str
        self._stat: os.stat_result | None = None
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._file = bytes(source)
        else:
            path = os.fsdecode(source)
            self._file = os.path.abspath(path)
            if os.path.exists(path):
                self._stat = os.stat(path)
        if not isinstance(self._file, bytes):
            super().__init__(path, options, shape)
        elif shape is None:
            super().__init__(self._file, options)
        else:
            with tempfile.NamedTemporaryFile(suffix=".keras") as copy:
                copy.write(self._file)
                copy.flush()
                super().__init__(copy.name, options, shape)
        self._know()

    def _know(self) -> None:
        self._inputs: list[_arrays.Info] = self._input_infos()
        self._outputs: list[_arrays.Info] = self._output_infos()

    def _results(self, results: list[Any]) -> Any:
        return results[0] if len(results) == 1 else results

    def __call__(self, x: Any, out: Any = None) -> Any:
        """The output for x, in one pass with minimal overhead.

        A C-contiguous NumPy array of the input's dtype is read where it is; anything else is first brought into that form, as in
        predict(). Arrays of other libraries come and go through DLPack without a copy: torch in, torch out; the same for JAX and
        CuPy. On a GPU the work is enqueued on the current stream of torch or CuPy, and nothing waits. Several inputs are a list or
        a dict by name; several outputs are a list in the order of output_names. `out` is as in predict().

        >>> m(x).dtype
        dtype('float32')
        """
        if out is None:
            y = self._call_at_once(x)
            if y is not None:
                return y
            library = _foreign.library_of(x)
            if library:
                return self._results(_foreign.call(self, x, library))
        return self.predict(x, out=out)

    def predict(self, x: Any, batch_size: int | None = None, out: Any = None) -> Any:
        """The outputs for x as NumPy arrays: one, or a list in the order of output_names.

        x is an array, a list of numbers, a pandas DataFrame, or for several inputs a list, a dict by name or a DataFrame with a
        column for each. Any float, integer or bool dtype is converted to the input's. bfloat16 results, which NumPy lacks, are float32.

        batch_size: rows handed over at once; None leaves it to lamella, which is faster.
        out: C-contiguous NumPy array, or a list of them, of the results' shape and dtype, to write to and return.

        Ctrl-C ends it between batches: KeyboardInterrupt; `out` then holds some of the rows.

        >>> y = np.empty((2, 10), "float32")
        >>> m.predict(x[:2], out=y) is y
        True
        >>> m.predict(x, batch_size=2).shape == m.predict(x).shape
        True
        """
        arrays = _arrays.host_arrays(x, self._inputs)
        outs = None if out is None else list(out) if isinstance(out, (list, tuple)) else [out]
        if batch_size is None:
            return self._results(self._run(arrays, outs))
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ArgumentError(f"batch_size: got {batch_size!r}, allowed 1.. or None [E_VALUE]", "E_VALUE")
        rows = arrays[0].shape[0] if arrays[0].ndim else 0
        starts = range(0, rows, int(batch_size)) if all(a.ndim and a.shape[0] == rows for a in arrays) else range(0)
        if len(starts) < 2:
            return self._results(self._run(arrays, outs))
        if outs is not None:
            for array, name in zip(outs, self.output_names):
                if not isinstance(array, np.ndarray) or not array.ndim or array.shape[0] != rows:
                    raise ArgumentError(f"out: the array for output {name!r} does not have {rows} rows [E_SHAPE]", "E_SHAPE")
        parts = []
        for start in starts:
            rows_of = slice(start, start + int(batch_size))
            parts.append(self._run([a[rows_of] for a in arrays], None if outs is None else [o[rows_of] for o in outs]))
        return self._results(outs if outs is not None else [np.concatenate(each) for each in zip(*parts)])

    def prepare(self, batches: Sequence[int]) -> None:
        """Prepares calls with these numbers of rows: chooses engines and packs weights, which otherwise the first such call does.

        >>> m.prepare([1, 32])
        """
        self._prepare(list(batches))

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, or their keys if the model takes a dict.

        >>> m.input_names, m.input_shapes, m.input_dtypes
        (['pixels'], [(None, 784)], ['float32'])
        """
        return [name for name, _, _ in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that compute the outputs, or the outputs' keys."""
        return [name for name, _, _ in self._outputs]

    @property
    def input_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the inputs, with None for the batch, which comes first."""
        return [(None, *(None if n < 0 else n for n in sample)) for _, sample, _ in self._inputs]

    @property
    def output_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the outputs, with None for the batch, which comes first."""
        return [(None, *(None if n < 0 else n for n in sample)) for _, sample, _ in self._outputs]

    @property
    def input_dtypes(self) -> list[str]:
        """Keras' names of the inputs' dtypes."""
        return [dtype for _, _, dtype in self._inputs]

    @property
    def output_dtypes(self) -> list[str]:
        """Keras' names of the outputs' dtypes."""
        return [dtype for _, _, dtype in self._outputs]

    @property
    def layers(self) -> list[Layer]:
        """The layers, including those of nested models.

        >>> [layer.class_name for layer in m.layers][:2]
        ['InputLayer', 'Dense']
        """
        return [Layer(name, class_name, path, loads(config or "{}"), weights) for name, class_name, path, config, weights in self._layers()]

    @property
    def weights(self) -> list[Array]:
        """All weights in the order of Keras' get_weights(), as read-only views of the model's memory; bfloat16 as float32 copies."""
        weights: list[Any] = self._weights()
        return weights

    def set_activation(self, layer: str, activation: str | ActivationSpec) -> None:
        """Replaces the activation of one Dense or Activation layer, by its name or path: with a name of keras.activations, or one with
        parameters from activation_of(). Calls in progress are not affected. Raises ArgumentError where there is no such layer or activation.

        >>> changed = lamella.load("mlp.keras")
        >>> changed.set_activation(changed.layers[1].name, "relu")
        >>> changed.set_activation(changed.layers[1].name, lamella.activation_of("leaky_relu", negative_slope=0.05))
        """
        self._set_activation(layer, activation)
        self._know()
        self._changes.append((layer, activation))

    def with_weights(self, weights: Any) -> Model:
        """A copy of this model with other weights; this one is unchanged.

        weights: a weights file of Keras (.weights.h5, .keras, .h5); or some weights by "path/name" as in `layers`: a dict of arrays, or an
        .npz or .safetensors file. Floating types are converted to the weight's. Or the state_dict() of a torch module, or a file of
        one, whose Linear layers are the model's Dense layers; docs/python.md says which is which. Raises LoadError for a file that is
        damaged or does not fit, FileError if it cannot be read, ArgumentError for a dict.

        >>> zeros = {"hidden/bias": np.zeros(m.layers[1].weights["bias"].shape)}
        >>> float(np.abs(m.with_weights(zeros).layers[1].weights["bias"]).max())
        0.0
        """
        if isinstance(weights, (str, bytes, os.PathLike)):
            return self._made(self._with_weights_file(os.fsdecode(weights)))
        return self._made(self._with_weights(_weights.named(weights, self)))

    def update_weights(self, weights: Any, stream: int | None = None) -> None:
        """Writes other values of some weights into this model, which was loaded with updatable=True; what copy.copy()
        made of it sees them too, what copy.deepcopy() made does not.

        weights: as in with_weights(), but for Keras' files; on a GPU also its own arrays of torch, CuPy or JAX, which are copied to the
        host, where weights are packed. Nothing is planned or captured anew. Calls of other threads are waited for; those that begin
        meanwhile wait. After an error all weights are as before.
        stream: on a GPU, a cudaStream_t as an int; None: the current stream of torch or CuPy, where arrays of theirs on the GPU are given.
        The update is enqueued there: after what is on the stream already, and before later calls of this model, wherever they run.
        Without a stream it waits until all is done.

        >>> policy = lamella.load("mlp.keras", device="cpu", updatable=True)
        >>> policy.update_weights({"hidden/bias": np.ones(policy.layers[1].weights["bias"].shape)})
        >>> float(policy.layers[1].weights["bias"].min())
        1.0
        """
        if isinstance(weights, (str, bytes, os.PathLike)):
            return self._update_weights_from_file(os.fsdecode(weights), stream)
        arrays = _weights.named(weights, self)
        self._update_weights(arrays, _foreign.common_stream([each for each in arrays.values() if _foreign.is_on_gpu(each)], stream))

    def output_of(self, layer: str) -> Model:
        """A model with the same inputs that ends at a layer, given by name or path. It shares the weights, unless this model is updatable.

        >>> m.output_of(m.layers[1].name).output_names == [m.layers[1].name]
        True
        """
        return self._made(self._output_of(layer))

    @staticmethod
    def _of(made: _core.Model, options: dict[str, Any]) -> Model:
        """A model that comes from no file."""
        model = Model.__new__(Model)
        _core.Model.__init__(model, made)
        model.__dict__.update(_options=options, _changes=[], _is_of_file=False, _file=b"", _stat=None)
        model._know()
        return model

    def _made(self, made: _core.Model) -> Model:
        model = Model.__new__(Model)
        _core.Model.__init__(model, made)
        model.__dict__.update(self.__dict__, _changes=list(self._changes), _is_of_file=False)
        model._know()
        return model

    def stats(self) -> dict[str, Any]:
        """Counts of what this model has done and holds (calls, rows, programs, sessions, graphs), and the seconds that it spent on preparing:
        planning, packing weights, capturing graphs, which are part of the first call with a number of rows, or of prepare(). Calls are not
        timed, for that would slow the smallest ones.

        >>> sorted(m.stats())
        ['calls', 'graphs', 'preparing_seconds', 'programs', 'rows', 'sessions']
        """
        return self._stats()

    def memory_bytes(self) -> dict[str, int]:
        """Bytes that weights, packed weights and sessions use now, on the host and on a GPU.

        >>> m.memory_bytes()["host"] > 4 * m.count_params()
        True
        """
        return self._memory_bytes()

    def summary(self) -> str:
        """Keras' summary table, as text.

        >>> "Total params" in m.summary()
        True
        """
        return self._summary()

    def explain(self, batch: int = 32, json: bool = False) -> Any:
        """How the model runs `batch` rows: the engine of each step, what was fused, which engines refused and why. A str, which notebooks
        show with its columns aligned, or with json=True a dict.

        >>> isinstance(m.explain(json=True), dict)
        True
        """
        text = self._explain(batch, json)
        return loads(text) if json else Explanation(text)

    def verify(self, keras_model: Any, x: Any, rtol: float = 1e-5, atol: float = 2e-6) -> _verify.Verification:
        """Compares predict(x) with the outputs of a live Keras model: |got - expected| <= atol + rtol |expected|; integers exactly.

        The result is true when all agree, and its text says where the worst element is.
        """
        return _verify.verify(self, keras_model, x, rtol, atol)

    def __repr__(self) -> str:
        def listed(infos: Sequence[_arrays.Info]) -> str:
            return ", ".join(f"{name} {dtype} ({', '.join(['None', *('None' if n < 0 else str(n) for n in sample)])}{'' if sample else ','})"
                             for name, sample, dtype in infos)

        return f"<lamella.Model {self.name!r} on {self.device}: {listed(self._inputs)} -> {listed(self._outputs)}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def __copy__(self) -> Model:
        """Shares the weights, so that update_weights() on either changes both; set_activation() changes one of them."""
        copy = Model.__new__(Model)
        _core.Model.__init__(copy, self)
        copy.__dict__.update(self.__dict__, _changes=list(self._changes))
        return copy

    def __deepcopy__(self, memo: Any) -> Model:
        """Independent: has weights of its own if update_weights() may change them; weights that cannot change are shared."""
        return self._made(self._with_weights({})) if self._options.get("updatable", False) else self.__copy__()

    def __reduce__(self) -> Any:
        """Pickles the file's bytes, so that another machine can load them; of a model whose weights may be others, what save() writes."""
        return _restored, (self._bytes(), self._options, self._changes)

    def _bytes(self) -> bytes:
        if not self._is_of_file:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.keras")
                self.save(path)
                with open(path, "rb") as written:
                    return written.read()
        if isinstance(self._file, bytes):
            return self._file
        if os.path.isdir(self._file):
            raise ArgumentError(f"{self._file}: a model loaded from a folder cannot be pickled; save it as a .keras file [E_UNSUPPORTED]",
                                "E_UNSUPPORTED")
        with open(self._file, "rb") as file:
            now = os.fstat(file.fileno())
            if self._stat is None or any(getattr(now, part) != getattr(self._stat, part) for part in ("st_ino", "st_size", "st_mtime_ns")):
                raise ArgumentError(f"{self._file}: changed since the model was loaded, so the model cannot be pickled; load its bytes instead "
                                    "[E_IO]", "E_IO")
            return file.read()


def _restored(file: bytes, options: Mapping[str, Any], changes: Sequence[tuple[str, str | ActivationSpec]]) -> Model:
    model = Model(file, **options)
    for layer, activation in changes:
        model.set_activation(layer, activation)
    return model


def load(source: Source, input_shape: Sequence[int | None] | None = None, **options: Any) -> Model:
    """Reads a .keras archive, its unpacked folder, or a legacy .h5 file, from a path or from bytes; nothing in it is executed.

    device: "auto" (the default: the first GPU that works, else the CPU), "cpu" or "cuda:N".
    dtype: what every layer computes in: "float32", "bfloat16", "float16" or "float64"; None: as the file says.
    threads: CPU threads a call may use; 0: LAMELLA_THREADS, else as many as affinity mask and control group (a container's CPU limit) allow.
    updatable: whether update_weights() may be called.
    input_shape: the shape of a sample, with None where it is open, for the file of a Sequential that has none, because it was saved before it
    was called. Where the file has a shape, that one is taken.
    math, fusion, determinism, tuning, engine, max_batch, cached_programs, memory_limit, graphs, profile, hard_sigmoid: as in docs/python.md.

    Raises LoadError (FileError where it cannot be read), ArgumentError for an option, DeviceError.

    >>> lamella.load(open("mlp.keras", "rb").read(), device="cpu", threads=1).device
    'cpu'
    """
    return Model(source, input_shape, **options)


def from_keras(model: Any, **options: Any) -> Model:
    """A live Keras 3 model of any backend, through the bytes of its .keras file; later changes of the Keras model are not seen.

    Options as in load(). Raises LoadError for a layer that lamella does not have.
    """
    return Model(_keras.saved(model), **options)
