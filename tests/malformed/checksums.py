# SPDX-License-Identifier: Apache-2.0
"""The checksums of HDF5, for files that are damaged elsewhere."""
import struct


def lookup3(data, seed=0):
    """Bob Jenkins' hash, which ends HDF5's newer structures."""
    mask = 0xFFFFFFFF
    rot = lambda x, k: ((x << k) | (x >> (32 - k))) & mask
    a = b = c = (0xDEADBEEF + len(data) + seed) & mask
    at = 0
    while len(data) - at > 12:
        a, b, c = ((v + w) & mask for v, w in zip((a, b, c), struct.unpack_from("<III", data, at)))
        for k in (4, 6, 8, 16, 19, 4):
            a = ((a - c) & mask) ^ rot(c, k)
            c = (c + b) & mask
            a, b, c = b, c, a
        at += 12
    if len(data) - at == 0:
        return c
    a, b, c = ((v + w) & mask for v, w in zip((a, b, c), struct.unpack("<III", data[at:].ljust(12, b"\0"))))
    for x, y, k in (("c", "b", 14), ("a", "c", 11), ("b", "a", 25), ("c", "b", 16), ("a", "c", 4), ("b", "a", 14), ("c", "b", 24)):
        v = {"a": a, "b": b, "c": c}
        v[x] = ((v[x] ^ v[y]) - rot(v[y], k)) & mask
        a, b, c = v["a"], v["b"], v["c"]
    return c


def mended(data):
    """The file with correct checksums of the superblock and the object headers."""
    data = bytearray(data)
    if data[8] in (2, 3):
        data[44:48] = struct.pack("<I", lookup3(bytes(data[:44])))
    at = data.find(b"OHDR")
    while at >= 0:
        flags = data[at + 5] if at + 5 < len(data) else 0
        head = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(data[at + head:at + head + width], "little")
        end = at + head + width + size
        if end + 4 <= len(data):
            data[end:end + 4] = struct.pack("<I", lookup3(bytes(data[at:end])))
        at = data.find(b"OHDR", at + 4)
    return bytes(data)
