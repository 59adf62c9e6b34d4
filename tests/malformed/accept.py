# SPDX-License-Identifier: Apache-2.0
"""Files that must load and answer exactly: random models, written in every way that is allowed. Weights and inputs are small integers, so
that answers are exact in any order of summation."""
import json
import struct

import h5py
import numpy as np

from pack import ACCEPTED
from tiny import Member, dense_config, hdf5, input_layer, layer, sequential, zip_of

ACTIVATIONS = {"relu": lambda v: np.maximum(v, 0), "linear": lambda v: v, "relu6": lambda v: np.clip(v, 0, 6), "hard_tanh": lambda v: np.clip(v, -1, 1), None: lambda v: v}
NAMES = ("dense", "d", "\u00e4\u00f6", "a b", "layer.1", "UPPER", "x" * 60, "\u5c42", "dense_99", "0", "a:0", "quote\"", "tab\t")
LIBVERS = ("earliest", "latest", ("v108", "v108"), ("v110", "v110"), ("earliest", "v110"), ("v112", "v112"))


class Drawn:
    """A random model: its function, and the parts of its file."""

    def __init__(self, random):
        self.random = random
        generator = np.random.default_rng(random.getrandbits(32))
        widths = [random.choice((1, 2, 3, 4, 7, 8, 16, 31, 33)) for _ in range(random.randint(2, 4))]
        self.weights = []
        self.dense = []
        self.x = generator.integers(-4, 5, (random.choice((1, 2, 3, 5)), widths[0])).astype("f4")
        self.y = self.x.astype("f8")
        self.width = widths[0]
        for inputs, units in zip(widths, widths[1:]):
            activation = random.choice(list(ACTIVATIONS))
            bias = random.random() < 0.8
            kernel = generator.integers(-3, 4, (inputs, units))
            arrays = [kernel] + ([generator.integers(-5, 6, (units,))] if bias else [])
            self.y = ACTIVATIONS[activation](self.y @ kernel + (arrays[1] if bias else 0))
            self.weights.append(arrays)
            self.dense.append({"units": units, "activation": activation, "use_bias": bias})

    def names(self):
        return [f"{self.random.choice(NAMES)}_{i}" for i in range(len(self.dense))]

    def layers(self, names):
        for name, config in zip(names, self.dense):
            config = {"name": name, **config}
            spelled = self.random.randint(0, 3)
            if spelled == 1 and config["activation"]:
                config["activation"] = {"module": "builtins", "class_name": "function", "config": config["activation"], "registered_name": "function"}
            if spelled == 2 and config["activation"]:
                yield layer("Dense", dense_config(**{**config, "activation": "linear"}))
                yield layer("Activation", {"name": name + "_act", "activation": config["activation"]})
                continue
            if self.random.random() < 0.3:
                config["kernel_initializer"] = {"class_name": "GlorotUniform", "config": {"seed": None}}
            yield layer("Dense", dense_config(**config))

    def config(self):
        random = self.random
        names = self.names()
        layers = [input_layer(self.width, batch_shape=[random.choice((None, None, len(self.x))), self.width]), *self.layers(names)]
        for at in sorted(random.sample(range(1, len(layers) + 1), random.randint(0, 2)), reverse=True):
            harmless = random.choice((("Dropout", {"rate": 0.5}), ("ActivityRegularization", {}), ("Activation", {"activation": "linear"}), ("Identity", {})))
            layers.insert(at, layer(harmless[0], {"name": f"no_{at}", **harmless[1]}))
        return sequential(*layers) if random.random() < 0.6 else self.functional(layers)

    def functional(self, layers):
        chain = []
        for before, item in zip([None] + layers, layers):
            name = item["config"]["name"]
            inbound = []
            if before is not None:
                history = [before["config"]["name"], 0, 0]
                keras3 = {"args": [{"class_name": "__keras_tensor__", "config": {"shape": [None], "dtype": "float32", "keras_history": history}}], "kwargs": {}}
                inbound = [keras3]
            chain.append({**item, "name": name, "inbound_nodes": inbound})
        ends = [[chain[0]["name"], 0, 0]], [[chain[-1]["name"], 0, 0]]
        if self.random.random() < 0.3:
            self.random.shuffle(chain)
            chain = self.in_weight_order(chain)
        return {"module": "keras", "class_name": "Functional", "registered_name": "Functional",
                "config": {"name": "f", "layers": chain, "input_layers": ends[0], "output_layers": ends[1]}}

    def in_weight_order(self, chain):
        """The layers shuffled, except that Dense layers keep their order, which is that of their weights."""
        dense = iter(sorted((item for item in chain if item["class_name"] == "Dense"), key=lambda item: int(item["name"].rsplit("_", 1)[1])))
        return [next(dense) if item["class_name"] == "Dense" else item for item in chain]

    def dataset(self, group, name, array):
        """Stores the same numbers in one of many ways."""
        random = self.random
        dtype = random.choice(("<f4", "<f4", ">f4", "<f8", ">f8", "<f2", ">f2"))
        array = array.astype(dtype)
        way = random.randint(0, 4)
        if way == 0:
            compact(group, name, array)
        elif way == 1:
            chunks = tuple(random.randint(1, extent) for extent in array.shape)
            group.create_dataset(name, data=array, chunks=chunks, compression=random.choice((None, 1, 9)), shuffle=random.random() < 0.5, fletcher32=random.random() < 0.5)
        elif way == 2:
            group.create_dataset(name, data=array, chunks=array.shape, compression=random.choice((None, 5)))
        else:
            group.create_dataset(name, data=array)

    def options(self):
        return {"libver": self.random.choice(LIBVERS), "track_order": self.random.random() < 0.2}

    def weights_file(self):
        def fill(file):
            if self.random.random() < 0.5:
                file.create_group("vars").attrs["name"] = "model"
            for i, arrays in enumerate(self.weights):
                group = file.create_group(f"layers/dense{'' if i == 0 else f'_{i}'}/vars")
                group.attrs["name"] = f"dense_{i}"
                for number, array in enumerate(arrays):
                    self.dataset(group, str(number), array)
            if self.random.random() < 0.3:
                file.create_dataset("optimizer/vars/0", data=np.int64(7))
        return hdf5(fill, **self.options())


def compact(group, name, array):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    made = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(array.dtype), h5py.h5s.create_simple(array.shape), creation)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))


def json_of(random, config):
    text = json.dumps(config, ensure_ascii=random.random() < 0.5, indent=random.choice((None, None, 1, "\t")), sort_keys=random.random() < 0.3,
                      separators=random.choice((None, (",", ":"), (" , ", " : "))))
    return (random.choice(("", " ", "\n\n")) + text + random.choice(("", "\n", " \r\n"))).encode()


def archive(random, config, weights):
    method = random.choice((0, 0, 8))
    parts = [("metadata.json", b'{"keras_version": "3.9.2", "date_saved": "2025-01-01@00:00:00"}'), ("config.json", config), ("model.weights.h5", weights)]
    if random.random() < 0.3:
        parts.append((random.choice(("assets/vocabulary.txt", "assets/a/b.bin", "assets/")), b""))
    if random.random() < 0.5:
        random.shuffle(parts)
    members = []
    for name, data in parts:
        options = random.choice(({}, {}, {"streamed": True}, {"local": {"extra": struct.pack("<HH4s", 0x7075, 4, b"abcd")}}, {"central": {"comment": b"a comment"}},
                                 {"local": {"extra": wide(data, method)[0], "packed": 2**32 - 1, "size": 2**32 - 1, "version": 45}}))
        members.append(Member(name, data, method=method, mode=random.choice((0, 0o100644)), **options))
    if any(member.local.get("packed") for member in members):
        for member in members:
            if member.local.get("packed"):
                member.local["extra"] = struct.pack("<HHQQ", 1, 16, member.fields["size"], member.fields["packed"])
    return zip_of(members, comment=random.choice((b"", b"", b"written by hand", bytes(300))))


def wide(data, method):
    return (b"", len(data), method)


def keras(random):
    model = Drawn(random)
    return archive(random, json_of(random, model.config()), model.weights_file()), model


def legacy(random):
    model = Drawn(random)
    names = [name.replace("/", "_") for name in model.names()]
    layers = [{"class_name": "Dense", "config": {**config, "name": name, **({"batch_input_shape": [None, model.width]} if i == 0 else {})}}
              for i, (name, config) in enumerate(zip(names, model.dense))]
    config = {"class_name": "Sequential", "config": layers if random.random() < 0.2 else {"name": "s", "layers": layers}}

    def fill(file):
        text = json.dumps(config)
        file.attrs["keras_version"] = random.choice(("2.4.0", "2.15.0", "3.1.0"))
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = random.choice((text, np.bytes_(text)))
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in names]
        for name, arrays in zip(names, model.weights):
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [f"{name}/{n}:0".encode() for n in ("kernel", "bias")[:len(arrays)]]
            place = inner.create_group(name)
            for n, array in zip(("kernel:0", "bias:0"), arrays):
                model.dataset(place, n, array)
    options = model.options()
    if random.random() < 0.2:
        options["userblock_size"] = random.choice((512, 1024, 2048))
    return hdf5(fill, **options), model


def every(pack, count):
    for i in range(count):
        data, model = (legacy if i % 3 == 0 else keras)(pack.random)
        pack.case("valid legacy file" if i % 3 == 0 else "valid archive", data, verdict=ACCEPTED, answer=(model.x, model.y.astype("f4")))
