# SPDX-License-Identifier: Apache-2.0
"""The contents of HDF5 files by libhdf5: oracle.py OUT [--all] [--seed N]. Writes the HDF5 files of the fixtures and random ones, each with
all its datasets and string attributes as h5py reads them, for hdf5_oracle.cpp to compare."""
import argparse
import io
import pathlib
import random
import struct
import zipfile

import h5py
import numpy as np

from tiny import hdf5

TESTS = pathlib.Path(__file__).parent.parent
DTYPES = ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "<u2", ">u2", "<u4", ">u4", "?")
LIBVERS = ("earliest", "latest", ("v108", "v108"), ("v110", "v110"), ("v112", "v112"), ("v114", "v114"), ("earliest", "v110"), ("v108", "latest"))
NAMES = {"f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "u1": "uint8", "i2": "int16", "i4": "int32", "i8": "int64", "u2": "uint16", "u4": "uint32"}


def text(value):
    raw = value.encode()
    return struct.pack("<H", len(raw)) + raw


def expected(dataset):
    """(name of the dtype, bytes) as lamella returns them; None for types that it does not read."""
    if dataset.dtype.names or dataset.dtype.subdtype:
        return None
    if dataset.id.get_create_plist().get_fill_time() == h5py.h5d.FILL_TIME_NEVER and dataset.id.get_storage_size() < dataset.nbytes:
        return None  # some elements have no value
    if dataset.dtype == bool:
        return "int8", dataset[()].astype("i1")
    kind = dataset.dtype.newbyteorder("=").str[1:]
    if kind not in NAMES:
        return None
    target = {"int32": "<i4"}.get(NAMES[kind], "<" + kind)
    data = dataset[()] if dataset.shape is not None else np.zeros(0, kind)
    if kind in ("i8", "u4") and data.size and (data.max() > 2**31 - 1 or data.min() < -(2**31)):
        return None
    return NAMES[kind], np.asarray(data).astype(target)


def strings(value):
    if isinstance(value, (str, bytes)):
        value = [value]
    elif isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "SO":
        value = list(value)
    else:
        return None
    return [item.decode() if isinstance(item, bytes) else item for item in value]


def entries(file):
    """All datasets and string attributes."""
    found = []

    def visit(path, item):
        if isinstance(item, h5py.Dataset):
            known = expected(item)
            if known:
                shape = item.shape if item.shape is not None else (0,)
                found.append(b"\x01" + text(path) + text(known[0]) + bytes([len(shape)]) + struct.pack(f"<{len(shape)}q", *shape)
                             + struct.pack("<I", known[1].nbytes) + known[1].tobytes())
        else:
            names = sorted(item.keys())
            found.append(b"\x03" + text(path) + struct.pack("<I", len(names)) + b"".join(text(name) for name in names))
        for name in item.attrs:
            value = strings(item.attrs[name])
            if value is not None:
                found.append(b"\x02" + text(path) + text(name) + struct.pack("<I", len(value)) + b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in value))
    visit("", file)
    file.visititems(visit)
    return found


def record(out, name, data):
    with h5py.File(io.BytesIO(data), "r") as file:
        found = entries(file)  # read before the file is changed
    out.write(text(name) + struct.pack("<I", len(data)) + data + struct.pack("<I", len(found)) + b"".join(found))


def fixtures():
    for path in sorted([*TESTS.glob("fixtures/*/*/*.h5"), *TESTS.glob("keras/data/*.h5")]):
        if path.name not in ("external.h5", "external_link.h5", "virtual.h5", "soft.h5", "soft_latest.h5", "cycle.h5", "lzf.h5", "resizable.h5", "bomb.h5",
                             "unstored.h5", "unstored_chunks.h5"):
            yield path.name, path.read_bytes()
    for path in sorted(TESTS.glob("fixtures/*/*/model.keras")):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if "model.weights.h5" in archive.namelist():
                    yield path.parent.name, archive.read("model.weights.h5")


def fill(draw, generator, file):
    for number in range(draw.randint(1, 12)):
        group = file.require_group("/".join(draw.choice(("a", "layers", "dense_1", "vars", "\u00fc", "b c")) for _ in range(draw.randint(1, 4))))
        dtype = np.dtype(draw.choice(DTYPES))
        shape = tuple(draw.choice((0, 1, 2, 3, 7, 31, 33, 129)) if rank < 2 else draw.choice((1, 2, 5)) for rank in range(draw.randint(0, 4)))
        if int(np.prod(shape)) > 20000:
            continue
        data = generator.integers(0, 2, shape).astype(dtype) if dtype == bool else generator.integers(0 if dtype.kind == "u" else -100, 101, shape).astype(dtype)
        put(draw, group, f"{number}", data)
        for _ in range(draw.choice((0, 0, 1, 2, 12))):
            attribute(draw, draw.choice((file, group, group[f"{number}"])), str(draw.randint(0, 30)))
    if draw.random() < 0.2:
        many = file.require_group("many")
        for i in range(draw.randint(9, 200)):
            many.create_group(f"member {i}")


def put(draw, group, name, data):
    way = draw.randint(0, 6)
    options = {"shuffle": draw.random() < 0.4, "fletcher32": draw.random() < 0.4, "compression": draw.choice((None, None, 1, 4, 9))}
    if data.ndim == 0 or data.size == 0 or way == 0:
        group.create_dataset(name, data=data)
    elif way == 1:
        made = group.create_dataset(name, shape=data.shape, dtype=data.dtype, chunks=tuple(draw.randint(1, e) for e in data.shape), fillvalue=draw.choice((None, 1)), **options)
        if draw.random() < 0.7:
            made[:] = data
        else:
            made[:(data.shape[0] + 1) // 2] = data[:(data.shape[0] + 1) // 2]
    elif way == 2:
        group.create_dataset(name, data=data, chunks=data.shape, **options)
    elif way == 3 and data.nbytes < 60000:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        made = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(data.dtype, logical=True), h5py.h5s.create_simple(data.shape), creation)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(data))
    elif way == 6:  # storage is allocated early: in the latest format, chunks then have no index
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(tuple(draw.randint(1, e) for e in data.shape))
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        made = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(data.dtype, logical=True), h5py.h5s.create_simple(data.shape), creation)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(data))
    elif way == 4:
        group.create_dataset(name, shape=data.shape, dtype=data.dtype, fillvalue=draw.choice((None, 0, 1)))
    else:
        group.create_dataset(name, data=data, chunks=True, **options)


def attribute(draw, item, name):
    words = ["".join(draw.choice("abc \u00e4/:0") for _ in range(draw.randint(0, 12))) for _ in range(draw.randint(1, 20))]
    kind = draw.randint(0, 3)
    if kind == 0:
        item.attrs[name] = words[0]
    elif kind == 1:
        item.attrs[name] = np.array([w.encode() for w in words], "S40")
    elif kind == 2:
        item.attrs.create(name, words, dtype=h5py.string_dtype())
    else:
        item.attrs[name] = np.bytes_(words[0].encode() or b"x")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    generator = np.random.default_rng(options.seed)
    count = 0
    with open(options.out, "wb") as out:
        for name, data in fixtures():
            try:
                record(out, name, data)
                count += 1
            except RuntimeError as error:  # the file is from a newer libhdf5 than h5py's
                print(f"not read by libhdf5: {name}: {error}")
        for number in range(10000 if options.all else 500):
            libver = draw.choice(LIBVERS)
            extra = {"userblock_size": 512} if draw.random() < 0.1 else {}
            data = hdf5(lambda file: fill(draw, generator, file), libver=libver, track_order=draw.random() < 0.2, **extra)
            record(out, f"random {number} {libver}", data)
            count += 1
    print(f"{count} HDF5 files read by libhdf5 {h5py.version.hdf5_version}")


main()
