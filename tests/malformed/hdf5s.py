# SPDX-License-Identifier: Apache-2.0
"""HDF5 files that are damaged, hostile, or have weights that do not match the config."""
import json
import struct

import h5py
import numpy as np

from checksums import mended
from pack import ACCEPTED, EITHER
from tiny import BIAS, KERNEL, X, hdf5, put_legacy, put_weights, relu_answer

HERE = ("!model.weights.h5",)
BAD = ("E_HDF5",)
UNSAFE = ("E_UNSAFE",)
STRUCTURE_SHARE = 0.06  # the share of half a million combinations that is kept


def bases(tiny):
    return (("earliest", tiny.legacy_old), ("latest", tiny.legacy_new))


def truncated(pack, tiny):
    for name, base in bases(tiny):
        for size in range(8, len(base)):
            if pack.drawn():
                pack.edit(f"086 {name} cut off", base, [(size, len(base) - size, b"")], BAD + ("E_ARCHIVE",))
    for base in (tiny.old, tiny.new):
        for size in range(0, len(base)):
            if pack.drawn():
                pack.case("086 weights cut off", tiny.keras(weights=base[:size]), BAD, HERE)


def flipped(pack, tiny):
    for name, base in bases(tiny):
        for bit in range(8 * len(base)):
            if pack.drawn():
                pack.edit(f"087 {name} one bit", base, [(bit // 8, 1, bytes([base[bit // 8] ^ 1 << bit % 8]))], (), (), EITHER)
        for at in range(len(base)):
            for byte in (0, 0x7F, 0x80, 0xFF, (base[at] + 1) & 255, (base[at] - 1) & 255):
                if byte != base[at] and pack.drawn():
                    pack.edit(f"087 {name} one byte", base, [(at, 1, bytes([byte]))], (), (), EITHER)
        for at in range(0, len(base) - 8, 4):
            for word in (b"\xff" * 8, bytes(8), struct.pack("<Q", len(base)), struct.pack("<Q", at), struct.pack("<Q", 2**63), struct.pack("<Q", len(base) - 8)):
                if pack.drawn():
                    pack.edit(f"087 {name} one word", base, [(at, 8, word)], (), (), EITHER)
    for at in range(len(tiny.legacy_new)):
        for byte in (0, 0xFF, tiny.legacy_new[at] ^ 1, tiny.legacy_new[at] ^ 0x80):
            if pack.drawn():
                changed = bytearray(tiny.legacy_new)
                changed[at] = byte
                pack.case("087 latest one byte, sums mended", mended(changed), (), (), EITHER)


def superblock(pack, tiny):
    def patch(family, base, at, value, codes=BAD):
        pack.case(family, tiny.keras(weights=mended(base[:at] + value + base[at + len(value):])), codes, HERE)

    for version in (1, 4, 5, 255):
        for base in (tiny.old, tiny.new):
            patch("088 superblock version", base, 8, bytes([version]), BAD + ("E_UNSUPPORTED",))
    for size in (0, 1, 2, 3, 4, 5, 7, 9, 16, 255):
        for place in (0, 1):
            patch("090 sizes of addresses", tiny.old, 13 + place, bytes([size]), BAD + ("E_LIMIT", "E_OVERFLOW", "E_MISSING", "E_UNSUPPORTED", "E_UNSAFE"))
            patch("090 sizes of addresses", tiny.new, 9 + place, bytes([size]), BAD + ("E_LIMIT", "E_OVERFLOW", "E_MISSING", "E_UNSUPPORTED", "E_SHAPE"))
    for value in (len(tiny.old) + 1, 2**32, 2**63, 2**64 - 2):
        patch("089 end of file past the end", tiny.old, 40, struct.pack("<Q", value))
        patch("089 end of file past the end", tiny.new, 28, struct.pack("<Q", value + len(tiny.new)) if value < 2**32 else struct.pack("<Q", value))
    for value in (1, 8, 512, 2**63):
        patch("089 base address", tiny.old, 24, struct.pack("<Q", value))
        patch("089 base address", tiny.new, 12, struct.pack("<Q", value))
    patch("089 driver block", tiny.old, 48, struct.pack("<Q", 96), UNSAFE)


def linked(target, link, first="layers/dense/vars"):
    def fill(file):
        put_weights(file, at="elsewhere")
        if target == "layers":
            file["layers"] = link
        elif target == "layer":
            file.create_group("layers")["dense"] = link
        elif target == "vars":
            file.create_group("layers/dense")["vars"] = link
        else:
            file.create_group(first)[target] = link
    return fill


def links(pack, tiny):
    for libver in ("earliest", "latest"):
        for target in ("layers", "layer", "vars", "0", "1"):
            for link in (h5py.ExternalLink("/etc/passwd", "/"), h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/elsewhere"), h5py.SoftLink("."),
                         h5py.SoftLink("/layers/dense/vars/0"), h5py.SoftLink("nowhere")):
                family = "091 external link" if isinstance(link, h5py.ExternalLink) else "092 soft link"
                pack.case(family, tiny.keras(weights=hdf5(linked(target, link), libver=libver)), UNSAFE, HERE)

        def cycle(file):
            put_weights(file)
            file["layers/dense/vars/back"] = file["layers"]
        pack.case("094 a cycle of groups", tiny.keras(weights=hdf5(cycle, libver=libver)), BAD + ("E_SHAPE",), HERE)

        def round_again(file):
            group = file.create_group("layers/dense")
            group["vars"] = file["layers"]
        pack.case("094 a cycle of groups", tiny.keras(weights=hdf5(round_again, libver=libver)), BAD + ("E_MISSING", "E_SHAPE"), HERE)

        def root_again(file):
            file["layers"] = file["/"]
        pack.case("094 a cycle of groups", tiny.keras(weights=hdf5(root_again, libver=libver)), BAD, HERE)


def elsewhere(pack, tiny):
    def external(file):
        put_weights(file, (BIAS,), "layers/dense/unused")
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", shape=(4, 3), dtype="f4", external=[("/etc/passwd", 0, 48)])
        group.create_dataset("1", data=BIAS)

    def virtual(file):
        group = file.create_group("layers/dense/vars")
        layout = h5py.VirtualLayout(shape=(4, 3), dtype="f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4, 3))
        group.create_virtual_dataset("0", layout)
        group.create_dataset("1", data=BIAS)

    def committed(file):
        file["type"] = np.dtype("<f4")
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", data=KERNEL, dtype=file["type"])
        group.create_dataset("1", data=BIAS)

    for libver in ("earliest", "latest"):
        pack.case("095 external storage", tiny.keras(weights=hdf5(external, libver=libver)), UNSAFE, HERE + ("external",))
        pack.case("096 virtual dataset", tiny.keras(weights=hdf5(virtual, libver=libver)), UNSAFE, HERE + ("virtual",))
        pack.case("107 a committed type", tiny.keras(weights=hdf5(committed, libver=libver)), ("E_UNSUPPORTED",), HERE)


def structures(pack, tiny):
    """Changes the fields of each structure, one after another: B-trees, heaps, symbol nodes, object headers."""
    strange = (0, 1, 2, 255, 65535, 2**16, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 2, 2**64 - 1)
    for magic, name in ((b"TREE", "097 B-tree"), (b"HEAP", "098 local heap"), (b"SNOD", "097 symbol node"), (b"GCOL", "098 global heap"), (b"OHDR", "099 object header"),
                        (b"FRHP", "106 fractal heap"), (b"BTHD", "106 B-tree 2")):
        for base in (tiny.legacy_old, tiny.legacy_new, wide_group("earliest"), wide_group("latest")):
            at = base.find(magic)
            while at >= 0:
                for field in range(4, 56):
                    for value in strange + (at, at + 8, len(base), len(base) - at):
                        for width in (1, 2, 4, 8):
                            if value < 1 << 8 * width and pack.drawn() and pack.random.random() < STRUCTURE_SHARE:
                                changed = base[:at + field] + value.to_bytes(width, "little") + base[at + field + width:]
                                pack.case(name, mended(changed), (), (), EITHER)
                at = base.find(magic, at + 4)


_wide = {}


def wide_group(libver):
    def fill(file):
        config = {"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Dense", "config": {"name": f"d{i}", "units": 2, **(
            {"batch_input_shape": [None, 2]} if i == 0 else {})}} for i in range(12)]}}
        put_legacy(file, config, [f"d{i}" for i in range(12)], (("kernel:0", np.eye(2, dtype="f4")), ("bias:0", np.zeros(2, "f4"))))
    if libver not in _wide:
        _wide[libver] = hdf5(fill, libver=libver)
    return _wide[libver]


def chunked(pack, tiny):
    def weights(**options):
        return lambda file: put_weights(file, (KERNEL, BIAS), chunks=True, **options)

    for options in ({"compression": "lzf"}, {"scaleoffset": 4}):
        pack.case("100 other filters", tiny.keras(weights=hdf5(lambda f: put_weights(f, (KERNEL,), chunks=(2, 2), **options) or f["layers/dense/vars"].create_dataset("1", data=BIAS))),
                  ("E_UNSUPPORTED",), HERE)

    def one(**options):
        def fill(file):
            put_weights(file, (KERNEL,), chunks=(2, 3), **options)
            file["layers/dense/vars"].create_dataset("1", data=BIAS)
        return fill

    for libver in ("earliest", "latest"):
        summed = hdf5(one(fletcher32=True), libver=libver)
        raw = KERNEL[:2].tobytes()
        at = summed.find(raw)
        for offset in range(len(raw) + 4):
            changed = bytearray(summed)
            changed[at + offset] ^= 0x40
            pack.case("100 wrong fletcher32", tiny.keras(weights=bytes(changed)), BAD, HERE)
        packed = hdf5(one(compression="gzip"), libver=libver)
        at = packed.find(b"\x78\x5e") if packed.find(b"\x78\x5e") >= 0 else packed.find(b"\x78")
        for offset in range(0, 12):
            changed = bytearray(packed)
            changed[at + offset] ^= 0xFF
            pack.case("100 damaged gzip", tiny.keras(weights=bytes(changed)), (), (), EITHER)
        resizable = hdf5(lambda f: (f.create_dataset("layers/dense/vars/0", data=KERNEL, chunks=(2, 3), maxshape=(None, 3)),
                                    f.create_dataset("layers/dense/vars/1", data=BIAS)), libver=libver)
        if libver == "latest":
            pack.case("101 an extensible index", tiny.keras(weights=resizable), ("E_UNSUPPORTED",), HERE)


def bombs(pack, tiny):
    def shape(kernel_shape, **options):
        def fill(file):
            group = file.create_group("layers/dense/vars")
            group.create_dataset("0", shape=kernel_shape, dtype="f4", **options)
            group.create_dataset("1", data=BIAS)
        return fill

    for libver in ("earliest", "latest"):
        for extents in ((10**6, 10**6, 10**6), (2**40, 3), (10**9, 3), (2**31, 2**20)):
            pack.case("102 a shape without data", tiny.keras(weights=hdf5(shape(extents), libver=libver)), ("E_LIMIT",), HERE)
            chunks = tuple(min(e, 100) for e in extents)
            pack.case("102 a shape without data", tiny.keras(weights=hdf5(shape(extents, chunks=chunks), libver=libver)), ("E_LIMIT",), HERE)
        for name, base in (("old", tiny.old), ("new", tiny.new)):
            at = base.find(struct.pack("<QQ", 4, 3))
            for extents in ((2**63, 2), (2**32, 2**32), (2**62, 4), (2**64 - 1, 2**64 - 1)):
                changed = mended(base[:at] + struct.pack("<QQ", *extents) + base[at + 16:])
                pack.case("103 a product that wraps", tiny.keras(weights=changed), ("E_OVERFLOW",), HERE)
            for extents in ((2**61, 1), (5, 3), (4, 4), (2**20, 3)):
                changed = mended(base[:at] + struct.pack("<QQ", *extents) + base[at + 16:])
                pack.case("105 data past the end", tiny.keras(weights=changed), BAD + ("E_OVERFLOW", "E_LIMIT"), HERE)

    def many(file):
        names = [f"d{i}" for i in range(600)]
        layers = [{"class_name": "Dense", "config": {"name": n, "units": 32000, **({"batch_input_shape": [None, 32000]} if n == "d0" else {})}} for n in names]
        put_legacy(file, {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}, names, ())
        for n in names:
            group = file["model_weights"][n]
            group.attrs["weight_names"] = [b"k", b"b"]
            group.create_dataset("k", shape=(32000, 32000), dtype="f4")
            group.create_dataset("b", shape=(32000,), dtype="f4")
    pack.case("104 many shapes without data", hdf5(many), ("E_LIMIT",))

    def zeros(file):
        put_weights(file, (KERNEL,), chunks=(2, 3))
        file["layers/dense/vars"].create_dataset("1", data=np.zeros(1 << 26, "f4"), chunks=(1 << 24,), compression="gzip", compression_opts=9)
    pack.case("102 data that explodes", tiny.keras(weights=hdf5(zeros)), ("E_LIMIT",), HERE)


def multiplied(pack, tiny):
    """Small files whose parts refer to each other so often that following all references would never end."""
    pack.case("106 names of names", hdf5(lambda f: names_of_names(f, 60000), libver="latest"), ("E_LIMIT", "E_MISSING", "E_HDF5"))
    pack.case("106 names of names", hdf5(lambda f: names_of_names(f, 60000)), ("E_LIMIT", "E_MISSING", "E_HDF5"))
    pack.case("106 names inside names", tiny.keras(weights=names_inside_names()), ("E_LIMIT",), HERE)


def names_of_names(file, count):
    put_legacy(file, {"class_name": "Sequential", "config": {"layers": []}}, ("dense",))
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Dense", "config": {
        "name": "dense", "units": 3, "batch_input_shape": [None, 4]}}]}}
    file.attrs["model_config"] = json.dumps(config)
    group = file["model_weights"]
    group.move("dense", "d")
    group.attrs["layer_names"] = np.full(count, b"d", "S1")
    group["d"].attrs["weight_names"] = np.full(count, b"d", "S1")


def names_inside_names():
    """A symbol table whose entries are all suffixes of one long name."""
    long = 400_000
    entries = 10_000

    def fill(file):
        file.create_group("layers").create_group("a" * long)
    base = bytearray(hdf5(fill))
    at = base.rfind(b"SNOD")
    target = struct.unpack_from("<Q", base, at + 16)[0]
    first = struct.unpack_from("<Q", base, at + 8)[0]
    body = b"SNOD\x01\x00" + struct.pack("<H", entries) + b"".join(struct.pack("<QQI20x", first + i * 7, target, 0) for i in range(entries))
    new = len(base)
    old = struct.pack("<Q", at)
    place = base.find(old)
    while place >= 0:
        base[place:place + 8] = struct.pack("<Q", new)
        place = base.find(old, place + 8)
    base += body
    base[40:48] = struct.pack("<Q", len(base))
    return bytes(base)


def dtypes(pack, tiny):
    def kernel(data, bias=BIAS, **options):
        def fill(file):
            group = file.create_group("layers/dense/vars")
            group.create_dataset("0", data=data, **options)
            if bias is not None:
                group.create_dataset("1", data=bias)
        return fill

    def refuse(family, fill, codes, words=HERE):
        for libver in ("earliest", "latest"):
            pack.case(family, tiny.keras(weights=hdf5(fill, libver=libver)), codes, words)

    compound = np.zeros((4, 3), np.dtype([("a", "f4"), ("b", "i4")]))
    odd_float = h5py.h5t.IEEE_F32LE.copy()
    odd_float.set_ebias(126)
    for data in (compound, np.full((4, 3), b"text"), np.zeros((4, 3), "c8"), np.zeros((4, 3), "i4"), np.zeros((4, 3), "u1"), np.zeros((4, 3), "V4"), np.zeros((4, 3), "?"),
                 np.zeros((4, 3), np.longdouble)):
        refuse("107 other types", kernel(data), ("E_DTYPE",))

    def low(type_id):
        def fill(file):
            group = file.create_group("layers/dense/vars")
            h5py.h5d.create(group.id, b"0", type_id, h5py.h5s.create_simple((4, 3)))
            group.create_dataset("1", data=BIAS)
        return fill
    three = h5py.h5t.STD_I32LE.copy()
    three.set_precision(24)
    refuse("107 other types", low(odd_float), ("E_DTYPE",))
    refuse("107 other types", low(three), ("E_DTYPE",))
    refuse("107 other types", kernel(np.full((4, 3), "text", object), dtype=h5py.string_dtype()), ("E_DTYPE",))
    refuse("107 other types", low(h5py.h5t.STD_REF_OBJ), ("E_DTYPE",))
    place = HERE + ("layer 'dense'",)
    for data in (KERNEL.T.copy(), KERNEL.reshape(4, 3, 1), KERNEL.reshape(12), np.float32(1), KERNEL[:, :2], np.zeros((4, 0), "f4"), np.zeros((0, 3), "f4")):
        refuse("108 other shapes", kernel(data), ("E_SHAPE",), () if data.shape == (0, 3) else place)
    for bias in (BIAS.reshape(3, 1), BIAS.reshape(1, 3), np.float32(1), BIAS[:2]):
        refuse("108 other shapes", kernel(KERNEL, bias), ("E_SHAPE",), place)
    refuse("109 weights missing", kernel(KERNEL, None), ("E_MISSING",), place)
    refuse("109 weights left over", lambda f: put_weights(f, (KERNEL, BIAS, BIAS)), ("E_SHAPE",), place)
    refuse("109 weights missing", lambda f: f.create_group("layers/dense/vars"), ("E_MISSING",), place)
    refuse("109 weights missing", lambda f: f.create_group("layers/dense"), ("E_MISSING",), place)
    refuse("109 weights missing", lambda f: f.create_group("layers"), ("E_MISSING",), place)
    refuse("109 weights missing", lambda f: None, ("E_MISSING",), place)
    refuse("109 other names", lambda f: (f.create_dataset("layers/dense/vars/1", data=KERNEL), f.create_dataset("layers/dense/vars/2", data=BIAS)), ("E_MISSING", "E_SHAPE"))
    refuse("109 a dataset for a group", lambda f: f.create_dataset("layers/dense/vars", data=KERNEL), ("E_MISSING", "E_HDF5"))
    refuse("109 a group for a dataset", lambda f: (f.create_group("layers/dense/vars/0"), f.create_dataset("layers/dense/vars/1", data=BIAS)), ("E_HDF5",))
    for special in (np.nan, np.inf, -np.inf, 1e-42):
        for libver in ("earliest", "latest"):
            data = KERNEL.copy()
            data[1, 1] = special
            pack.case("110 special values", tiny.keras(weights=hdf5(kernel(data), libver=libver)), (), (), EITHER)


def legacy(pack, tiny):
    def refuse(family, fill, codes, words=()):
        for libver in ("earliest", "latest"):
            pack.case(family, hdf5(fill, libver=libver), codes, words)

    def broken(change):
        def fill(file):
            put_legacy(file, tiny.legacy_config)
            change(file)
        return fill

    def attribute(path, name, value):
        def change(file):
            del file[path].attrs[name]
            if value is not None:
                file[path].attrs[name] = value
        return broken(change)

    weights, layer = "model_weights", "model_weights/dense"
    refuse("111 no model_config", attribute("/", "model_config", None), ("E_MISSING",), ("model_config",))
    for value in (b"no json", "", "{", 3, [1.5], ["{}", "{}"], np.zeros(0)):
        refuse("111 model_config of another form", attribute("/", "model_config", value), ("E_JSON", "E_DTYPE", "E_SHAPE"), ("model_config",))
    refuse("111 no layer_names", attribute(weights, "layer_names", None), ("E_MISSING",), ("layer_names",))
    for value in (3, [1, 2], np.zeros((2, 2), "f4")):
        refuse("111 layer_names of another type", attribute(weights, "layer_names", value), ("E_DTYPE", "E_SHAPE"), ("layer_names",))
    for value in ([b"nobody"], [b"dense", b"nobody"], [b"../dense"], [b"dense/../dense"], [b"/dense/x"]):
        refuse("111 layer_names without groups", attribute(weights, "layer_names", value), ("E_MISSING", "E_UNSAFE", "E_HDF5"))
    refuse("111 a layer twice", attribute(weights, "layer_names", [b"dense", b"dense"]), ("E_SHAPE",), ("left over",))
    refuse("111 no weight_names", attribute(layer, "weight_names", None), ("E_MISSING",), ("weight_names",))
    for value in ([b"dense/kernel:0"], [b"dense/kernel:0", b"dense/bias:0", b"dense/bias:0"], [b"dense/bias:0", b"dense/kernel:0"],
                  [b"nothing", b"dense/bias:0"], [b"dense", b"dense/bias:0"]):
        refuse("111 weight_names that do not fit", attribute(layer, "weight_names", value), ("E_MISSING", "E_SHAPE", "E_HDF5"))
    refuse("111 no model_weights", broken(lambda f: f.__delitem__("model_weights")), ("E_MISSING",), ("layer_names",))

    def chunked_names(file):
        del file[weights].attrs["layer_names"]
        file[weights].attrs["layer_names0"] = [b"dense"]
        file[weights].attrs["layer_names2"] = [b"dense"]
    for libver in ("earliest", "latest"):
        pack.case("111 layer_names in parts", hdf5(broken(chunked_names), libver=libver), verdict=ACCEPTED, answer=(X, relu_answer()))
        big = hdf5(lambda f: put_legacy(f, tiny.legacy_config, weights=(("kernel:0", KERNEL.astype(">f4")), ("bias:0", BIAS.astype(">f8")))), libver=libver)
        pack.case("111 big-endian weights", big, verdict=ACCEPTED, answer=(X, relu_answer()))


def every(pack, tiny):
    for family in (superblock, links, elsewhere, chunked, bombs, multiplied, dtypes, legacy, truncated, flipped, structures):
        family(pack, tiny)
