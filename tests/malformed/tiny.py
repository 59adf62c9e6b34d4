# SPDX-License-Identifier: Apache-2.0
"""The smallest models, and zip archives in which every field can be set."""
import io
import json
import struct
import zlib

import h5py
import numpy as np

KERNEL = np.array([[1, -2, 3], [0, 5, -1], [2, 2, -4], [-3, 1, 1]], "f4")
BIAS = np.array([1, -1, 2], "f4")
X = np.array([[1, 2, 3, 4], [-1, 0, 2, 1], [0, 0, 0, 0]], "f4")


def relu_answer(x=X, kernel=KERNEL, bias=BIAS):
    return np.maximum(x.astype("f8") @ kernel.astype("f8") + bias.astype("f8"), 0).astype("f4")


def layer(class_name, config, **more):
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None, **more}


def dense_config(**changes):
    config = {"name": "dense", "trainable": True, "dtype": "float32", "units": 3, "activation": "relu", "use_bias": True}
    config.update(changes)
    return {key: value for key, value in config.items() if value is not ...}


def input_layer(width=4, **changes):
    return layer("InputLayer", {"batch_shape": [None, width], "dtype": "float32", "sparse": False, "name": "x", **changes})


def sequential(*layers):
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}, "registered_name": None}


def dense_model(**changes):
    return sequential(input_layer(), layer("Dense", dense_config(**changes)))


def hdf5(fill, **options):
    """The bytes of the HDF5 file that fill(file) fills."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", **options) as file:
        fill(file)
    return memory.getvalue()


def put_weights(file, arrays=(KERNEL, BIAS), at="layers/dense/vars", **options):
    group = file.create_group(at)
    for i, array in enumerate(arrays):
        group.create_dataset(str(i), data=array, **options)


def put_legacy(file, config, names=("dense",), weights=(("kernel:0", KERNEL), ("bias:0", BIAS))):
    file.attrs["keras_version"] = "2.15.0"
    file.attrs["model_config"] = config if isinstance(config, (str, bytes)) else json.dumps(config)
    group = file.create_group("model_weights")
    group.attrs["layer_names"] = [name.encode() for name in names]
    for name in names:
        inner = group.create_group(name)
        inner.attrs["weight_names"] = [f"{name}/{weight}".encode() for weight, _ in weights]
        for weight, value in weights:
            inner.create_dataset(f"{name}/{weight}", data=value)


class Member:
    """A zip member, field by field; `local` and `central` replace single fields of one header."""

    FIELDS = ("version", "flags", "method", "time", "crc", "packed", "size")

    def __init__(self, name, data, method=0, local=None, central=None, streamed=False, mode=0):
        self.name = name.encode() if isinstance(name, str) else name
        self.data = data
        self.stored = zlib.compress(data, 9)[2:-4] if method == 8 else data
        self.fields = {"version": 20, "flags": 8 if streamed else 0, "method": method, "time": 0, "crc": zlib.crc32(data),
                       "packed": len(self.stored), "size": len(data), "name": self.name, "extra": b"", "comment": b"", "made_by": 0x031E,
                       "attributes": mode << 16, "disk": 0, "at": None}
        self.local = local or {}
        self.central = central or {}
        self.streamed = streamed
        self.tail = None

    def _common(self, fields):
        return struct.pack("<HHHIIIIHH", fields["version"], fields["flags"], fields["method"], fields["time"], fields["crc"], fields["packed"],
                           fields["size"], len(fields["name"]), len(fields["extra"]))

    def local_bytes(self):
        fields = {**self.fields, **({"crc": 0, "packed": 0, "size": 0} if self.streamed else {}), **self.local}
        tail = self.tail
        if tail is None:
            tail = struct.pack("<IIII", 0x08074B50, self.fields["crc"], self.fields["packed"], self.fields["size"]) if self.streamed else b""
        return b"PK\x03\x04" + self._common(fields) + fields["name"] + fields["extra"] + self.stored + tail

    def central_bytes(self, at):
        fields = {**self.fields, "at": at, **self.central}
        return (b"PK\x01\x02" + struct.pack("<H", fields["made_by"]) + self._common(fields)
                + struct.pack("<HHHII", len(fields["comment"]), fields["disk"], 0, fields["attributes"], fields["at"])
                + fields["name"] + fields["extra"] + fields["comment"])


def zip_of(members, prefix=b"", comment=b"", end=None, before_end=b"", order=None):
    """An archive. `end` replaces fields of the end record: disk, first_disk, here, entries, size, begin. `order` is that of the directory."""
    file = bytearray(prefix)
    entries = []
    for member in members:
        entries.append(member.central_bytes(len(file)))
        file += member.local_bytes()
    directory = b"".join(entries[i] for i in (order or range(len(entries))))
    fields = {"disk": 0, "first_disk": 0, "here": len(entries), "entries": len(entries), "size": len(directory), "begin": len(file), **(end or {})}
    file += directory + before_end
    return bytes(file) + b"PK\x05\x06" + struct.pack("<HHHHIIH", *fields.values(), len(comment)) + comment


def text_of(config):
    return config if isinstance(config, bytes) else json.dumps(config).encode()


def members_of(config, weights, **options):
    return [Member("metadata.json", b'{"keras_version": "3.10.0"}', **options), Member("config.json", text_of(config), **options),
            Member("model.weights.h5", weights, **options)]


class Tiny:
    """The bases shared by all families."""

    def __init__(self):
        self.old = hdf5(put_weights)
        self.new = hdf5(put_weights, libver="latest")
        self.config = dense_model()
        self.legacy_config = {"class_name": "Sequential", "config": {"name": "s", "layers": [
            {"class_name": "Dense", "config": dense_config(batch_input_shape=[None, 4])}]}}
        self.legacy_old = hdf5(lambda f: put_legacy(f, self.legacy_config))
        self.legacy_new = hdf5(lambda f: put_legacy(f, self.legacy_config), libver="latest")

    def keras(self, config=None, weights=None, **options):
        return zip_of(members_of(self.config if config is None else config, self.new if weights is None else weights, **options))
