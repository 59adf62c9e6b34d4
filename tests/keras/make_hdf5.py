# SPDX-License-Identifier: Apache-2.0
"""Writes the HDF5 files of hdf5_test.cpp into data/. Element i of a dataset is i * 7 % 101, minus 50 where the type has a sign."""
import pathlib

import h5py
import numpy as np

OUT = pathlib.Path(__file__).parent / "data"
SHAPE = (13, 7, 3)


def rule(shape, dtype):
    values = np.arange(int(np.prod(shape))) * 7 % 101
    if np.dtype(dtype).kind != "u":
        values = values - 50
    return values.reshape(shape).astype(dtype)


def fill_types(file):
    group = file.create_group("types")
    for name in ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "i1", "u1", "<i2", "<i4", "<i8", ">i4", ">i8", "<u2", "<u4"]:
        group.create_dataset(name.replace("<", "little ").replace(">", "big "), data=rule(SHAPE, name))
    brain = (rule(SHAPE, "<f4").view("<u4") >> 16).astype("<u2")
    data = group.create_dataset("brain", data=brain.view("V2"))
    data.attrs["dtype"] = "bfloat16"
    group.create_dataset("boolean", data=np.arange(5) % 2 == 0)
    group.create_dataset("scalar", data=np.float32(2.5))
    group.create_dataset("empty", data=np.zeros((0, 4), "f4"))
    group.create_dataset("null", data=h5py.Empty("f4"))
    group.create_dataset("too wide", data=np.array([1, 2**40]))
    group.create_dataset("complex", data=np.zeros(2, "c8"))
    group.create_dataset("string", data="text")
    group.create_dataset("unstored", shape=(5, 3), dtype="f4", fillvalue=1.5)
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((9,))
    made = h5py.h5d.create(group.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, rule((9,), "f4"))


def fill_chunks(file):
    group = file.create_group("chunks")
    data = rule(SHAPE, "f4")
    group.create_dataset("none", data=data, chunks=(4, 3, 2))
    group.create_dataset("one", data=data, chunks=SHAPE)
    group.create_dataset("one gzip", data=data, chunks=SHAPE, compression="gzip")
    group.create_dataset("gzip", data=data, chunks=(4, 3, 2), compression="gzip")
    group.create_dataset("shuffle", data=data, chunks=(5, 7, 1), shuffle=True)
    group.create_dataset("fletcher", data=data, chunks=(5, 7, 1), fletcher32=True)
    group.create_dataset("all", data=data.astype(">f4"), chunks=(2, 2, 2), shuffle=True, fletcher32=True, compression="gzip")
    group.create_dataset("many", data=rule((1100,), "i4"), chunks=(1,))
    part = group.create_dataset("part", shape=(10,), dtype="f4", chunks=(3,), fillvalue=-1.0)
    part[3:5] = [8.0, 9.0]


def fill_names(file):
    group = file.create_group("names")
    for i in range(40):
        group.create_dataset(f"layer {i}", data=rule((3,), "f4"))
    group.create_dataset("deep/er:0/größe", data=rule((3,), "f4"))
    file.attrs["one"] = "ein Wörtchen"
    file.attrs["list"] = [b"dense", b"dense_1", b"a longer name"]
    file.attrs["variable list"] = ["", "b", "ccc"]
    file.attrs["none"] = np.zeros(0)
    file.attrs["number"] = 3
    for i in range(30):
        group.attrs[f"attribute {i}"] = f"value {i}"


def every(name, **options):
    with h5py.File(OUT / name, "w", **options) as file:
        fill_types(file)
        fill_chunks(file)
        fill_names(file)


def with_file(name, fill, **options):
    with h5py.File(OUT / name, "w", **options) as file:
        fill(file)


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    file.create_virtual_dataset("x", layout)


def cycle(file):
    inner = file.create_group("a/b")
    inner["back"] = file["a"]


def tiny(file):
    file.create_dataset("layers/dense/vars/0", data=rule((2, 3), "f4"))
    file["layers"].attrs["name"] = "dense"


def growing(file):
    """Chunks are numbered by the maximum shape, in a fixed array of chunks and in an implicit index."""
    data = rule((4, 7), "f4")
    file.create_dataset("array", data=data, chunks=(2, 3), maxshape=(50, 50))
    file.create_dataset("packed", data=data, chunks=(2, 3), maxshape=(9, 8), compression="gzip")
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_chunk((2, 3))
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made = h5py.h5d.create(file.id, b"early", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 7), (9, 10)), early)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def unwritten(file):
    """Unwritten elements as libhdf5 stores them: fill values, or no storage."""
    kinds = {"default": lambda p: None, "given": lambda p: p.set_fill_value(np.array(2.5, "f4")),
             "never": lambda p: p.set_fill_time(h5py.h5d.FILL_TIME_NEVER)}
    for name, prepare in kinds.items():
        for chunked in (False, True):
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            prepare(plist)
            if chunked:
                plist.set_chunk((2,))
            full = name + (" chunks" if chunked else "")
            h5py.h5d.create(file.id, full.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((5,)), plist)


def narrow(name, size):
    plist = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plist.set_sizes(size, size)
    with h5py.File(h5py.h5f.create(str(OUT / name).encode(), fcpl=plist)) as file:
        file.attrs.create("list", ["dense", "", "a longer name"], dtype=h5py.string_dtype())
        file.create_dataset("a/b", data=rule((3, 5), "f4"))
        file.create_dataset("chunks", data=rule((4, 7), "f4"), chunks=(2, 3), compression="gzip")


def main():
    OUT.mkdir(exist_ok=True)
    every("earliest.h5")
    every("latest.h5", libver="latest")
    every("v110.h5", libver=("v110", "v110"), track_order=True)
    every("userblock.h5", userblock_size=512)
    with_file("tiny.h5", tiny)
    with_file("tiny_latest.h5", tiny, libver="latest")
    with_file("soft.h5", lambda f: f.__setitem__("x", h5py.SoftLink("/x")))
    with_file("soft_latest.h5", lambda f: f.__setitem__("x", h5py.SoftLink("/x")), libver="latest")
    with_file("external_link.h5", lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/x")))
    with_file("cycle.h5", cycle)
    with_file("external.h5", lambda f: f.create_dataset("x", shape=(4,), dtype="f4", external="other.bin"))
    with_file("virtual.h5", virtual, libver="latest")
    with_file("growing.h5", growing, libver="latest")
    with_file("unwritten.h5", unwritten)
    narrow("narrow4.h5", 4)
    narrow("narrow2.h5", 2)
    with_file("lzf.h5", lambda f: f.create_dataset("x", data=rule((9,), "f4"), chunks=(3,), compression="lzf"))
    with_file("resizable.h5", lambda f: f.create_dataset("x", data=rule((9,), "f4"), chunks=(3,), maxshape=(None,)), libver="latest")
    with_file("unstored.h5", lambda f: f.create_dataset("x", shape=(10**6, 10**6), dtype="f4"))
    with_file("unstored_chunks.h5", lambda f: f.create_dataset("x", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000)))
    with_file("bomb.h5", lambda f: f.create_dataset("x", data=np.zeros(2**25, "f4"), chunks=(2**25,), compression="gzip", compression_opts=9))


main()
