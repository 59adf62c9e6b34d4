# SPDX-License-Identifier: Apache-2.0
"""HDF5 filter pipelines: unsupported filters, fields of the message, and chunks that skip filters."""
import struct

from checksums import mended
from hdf5s import HERE
from pack import ACCEPTED, EITHER
from tiny import BIAS, KERNEL, X, hdf5, relu_answer

DEFLATE = struct.pack("<BBHHHI", 2, 1, 1, 1, 1, 4)  # version 2, one filter: deflate, optional, one value: level 4


def kernel_of(raw=None, mask=0, **options):
    """A file whose kernel is one chunk. `raw` replaces that chunk's bytes; they are stored as skipping the filters in `mask`."""
    def fill(file):
        vars_ = file.create_group("layers/dense/vars")
        kernel = vars_.create_dataset("0", data=KERNEL, chunks=(4, 3), **options)
        if raw is not None:
            kernel.id.write_direct_chunk((0, 0), raw, filter_mask=mask)
        vars_.create_dataset("1", data=BIAS)
    return fill


def every(pack, tiny):
    packed = hdf5(kernel_of(compression="gzip"), libver="latest")
    assert packed.count(DEFLATE) == 1

    def refuse(family, message, codes, words=()):
        changed = packed.replace(DEFLATE, message + bytes(len(DEFLATE) - len(message)))
        pack.case(family, tiny.keras(weights=mended(changed)), codes, HERE + words)

    for number, name in ((4, "szip"), (5, "nbit"), (6, "scaleoffset"), (7, ""), (255, "")):
        refuse("113 filters that are not read", struct.pack("<BBHHHI", 2, 1, number, 1, 1, 4), ("E_UNSUPPORTED",), (f"filter {number}", name, "deflate"))
    for number, name in ((256, ""), (32000, "lzf"), (32001, "blosc"), (32015, "zstd"), (65535, "")):
        refuse("113 filters that are not read", struct.pack("<BBHHHH", 2, 1, number, 0, 1, 0), ("E_UNSUPPORTED",), (f"filter {number}", name, "deflate"))
    for version in (0, 3, 255):
        refuse("113 a pipeline of another version", bytes([version]) + DEFLATE[1:], ("E_HDF5",), ("filter pipeline version",))
    for count in (2, 32):
        refuse("113 more filters than there are", bytes([2, count]) + DEFLATE[2:], ("E_HDF5", "E_UNSUPPORTED"))
    for count in (33, 255):
        refuse("113 more filters than there are", bytes([2, count]) + DEFLATE[2:], ("E_LIMIT",), ("filters",))
    refuse("113 values that are not there", struct.pack("<BBHHHI", 2, 1, 1, 1, 0xFFFF, 4), ("E_HDF5",))
    pack.case("113 no filters in a pipeline", tiny.keras(weights=mended(packed.replace(DEFLATE, bytes([2, 0]) + DEFLATE[2:]))), (), (), EITHER)

    answer = (X, relu_answer())
    for libver in ("earliest", "latest"):
        for options, mask in (({"compression": "gzip"}, 1), ({"shuffle": True, "compression": "gzip"}, 3), ({"fletcher32": True}, 1)):
            data = hdf5(kernel_of(KERNEL.tobytes(), mask, **options), libver=libver)
            pack.case("114 chunks that skip filters", tiny.keras(weights=data), verdict=ACCEPTED, answer=answer)
        short = hdf5(kernel_of(b"abc", 0, fletcher32=True), libver=libver)
        pack.case("114 a chunk too short for its sum", tiny.keras(weights=short), ("E_HDF5",), HERE)
        short = hdf5(kernel_of(KERNEL.tobytes()[:-1], 1, compression="gzip"), libver=libver)
        pack.case("114 a chunk too short", tiny.keras(weights=short), ("E_HDF5",), HERE)
        long = hdf5(kernel_of(KERNEL.tobytes() + b"more", 1, compression="gzip"), libver=libver)
        pack.case("114 a chunk too long", tiny.keras(weights=long), ("E_HDF5",), HERE)
