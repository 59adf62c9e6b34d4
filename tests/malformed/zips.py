# SPDX-License-Identifier: Apache-2.0
"""Archives whose structures are wrong or contradict each other."""
import struct
import zlib

from pack import ACCEPTED, EITHER, REFUSED
from tiny import X, Member, members_of, relu_answer, text_of, zip_of

BAD = ("E_ARCHIVE",)
ANSWER = (X, relu_answer())


def changed(tiny, which=1, **options):
    """The members of a good archive, one of them replaced by one with `options`."""
    members = members_of(tiny.config, tiny.new)
    old = members[which]
    members[which] = Member(old.name, old.data, **options)
    return members


def files(pack, tiny):
    pack.case("001 empty file", b"", BAD + ("E_IO",))
    for byte in range(256):
        pack.case("002 one byte", bytes([byte]), BAD)
    for text in (b"just some text", b"<html></html>", b"\x7fELF" + bytes(100), b"PK", b"PK\x03", b"\x89HDF", bytes(5000)):
        pack.case("009 other contents", text, BAD)


def truncated(pack, tiny):
    for base in (tiny.keras(), tiny.keras(weights=tiny.old, method=8)):
        for size in range(4, len(base)):
            if pack.drawn():
                pack.edit("013 archive cut off", base, [(size, len(base) - size, b"")], BAD)


def records(pack, tiny):
    good = members_of(tiny.config, tiny.new)
    whole = zip_of(good)
    pack.edit("014 no end record", whole, [(len(whole) - 22, 22, b"")], BAD)
    pack.case("015 two end records", whole + whole[-22:], BAD)
    for inner in (b"PK\x05\x06" + bytes(18), whole[-22:], b"PK\x05\x06"):
        for lead in (b"", b"x", b"comment "):
            comment = lead + inner
            fake = len(inner) == 22
            pack.case("016 end record in a comment", zip_of(good, comment=comment), BAD if fake else (), (), EITHER)
    for here, entries in ((0, 0), (1, 1), (2, 2), (4, 4), (3, 2), (2, 3), (65534, 65534), (65535, 65535)):
        pack.case("017 number of entries", zip_of(good, end={"here": here, "entries": entries}), BAD + ("E_LIMIT",))
    size = len(whole)
    for begin in (0, 1, size, size + 1, 2**31, 2**32 - 2, 2**32 - 1):
        pack.case("018 directory past the end", zip_of(good, end={"begin": begin}), BAD + ("E_OVERFLOW",))
    for begin in range(30, 120, 7):
        pack.case("019 directory inside a member", zip_of(good, end={"begin": begin}), BAD)
    for field in (0, 1, 2**31, 2**63, 2**64 - 1, 2**62):
        zip64(pack, tiny, field)
    for disk, first in ((1, 0), (0, 1), (1, 1), (65535, 65535)):
        pack.case("021 several disks", zip_of(good, end={"disk": disk, "first_disk": first}), BAD)
    pack.case("040 bytes before the archive", zip_of(good, prefix=b"#!/bin/sh\n"), BAD)
    pack.case("040 bytes before the archive", b"PK\x03\x04" + zip_of(good), BAD)


def zip64(pack, tiny, value):
    good = members_of(tiny.config, tiny.new)
    directory = sum(len(m.central_bytes(0)) for m in good)
    begin = sum(len(m.local_bytes()) for m in good)
    codes = BAD + ("E_OVERFLOW", "E_LIMIT")
    for place in range(4):
        fields = [3, 3, directory, begin]
        fields[place] = value
        record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, *fields)
        locator = b"PK\x06\x07" + struct.pack("<IQI", 0, begin + directory, 1)
        end = {"here": 65535, "entries": 65535, "size": 2**32 - 1, "begin": 2**32 - 1}
        pack.case("020 zip64 sizes", zip_of(good, before_end=record + locator, end=end), codes)
    for at in (0, value):
        locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
        pack.case("020 zip64 sizes", zip_of(good, before_end=bytes(56) + locator, end={"begin": 2**32 - 1}), codes)


def headers(pack, tiny):
    for which in range(3):
        name = members_of(tiny.config, tiny.new)[which].name
        said = ("!" + name.decode(),)
        for other in (b"config.jsoN", b"", name + b"x", b"x" * len(name)):
            pack.case("022 local name", zip_of(changed(tiny, which, local={"name": other})), BAD, said)
        for field in ("size", "packed"):
            for value in (0, 1, 2**31, 2**32 - 2):
                pack.case("023 local sizes", zip_of(changed(tiny, which, local={field: value})), BAD, said)
                pack.case("023 central sizes", zip_of(changed(tiny, which, central={field: value})), BAD + ("E_LIMIT", "E_OVERFLOW"))
        for crc in (0, 1, 2**32 - 1):
            pack.case("024 wrong CRC", zip_of(changed(tiny, which, local={"crc": crc}, central={"crc": crc})), BAD, said)
            pack.case("024 wrong CRC", zip_of(changed(tiny, which, local={"crc": crc})), BAD, said)
        for method in (1, 5, 6, 9, 12, 14, 93, 95, 97, 98, 99, 65535):
            both = {"method": method}
            pack.case("025 other methods", zip_of(changed(tiny, which, local=both, central=both)), ("E_UNSUPPORTED",), said)
            pack.case("025 other methods", zip_of(changed(tiny, which, local=both)), BAD, said)
        for flags in (1, 64, 8192, 65):
            both = {"flags": flags}
            pack.case("026 encrypted", zip_of(changed(tiny, which, local=both, central=both)), ("E_UNSUPPORTED",), said)
            pack.case("026 encrypted", zip_of(changed(tiny, which, local=both)), BAD, said)
        for mode in (0o120777, 0o120000):
            pack.case("033 symbolic link", zip_of(changed(tiny, which, mode=mode)), ("E_UNSAFE",), said)
        for tail in (b"", struct.pack("<III", 0, 0, 0), struct.pack("<IIII", 0x08074B50, 0, 0, 0), bytes(16), bytes(24)):
            members = changed(tiny, which, streamed=True)
            members[which].tail = tail
            pack.case("036 sizes behind the data", zip_of(members), BAD)


def names(pack, tiny):
    good = members_of(tiny.config, tiny.new)
    evil = Member("config.json", b'{"class_name": "Lambda"}')
    for order in ((0, 1, 2, 3), (3, 1, 2, 0), (3, 2, 1, 0)):
        pack.case("027 a member twice", zip_of(good + [evil], order=order), BAD, ("config.json",))
    for name in ("CONFIG.JSON", "Config.json", "config.JSON", "Model.weights.h5", "METADATA.json"):
        pack.case("028 names that differ in case", zip_of(good + [Member(name, b"{}")]), BAD)
    for name in ("../x", "/abs", "C:\\x", "C:x", "a\\..\\b", "a/../b", "..", "a/..", "../../etc/passwd", "a\\b", "x\0y", "assets/../../y"):
        pack.case("032 names that leave the archive", zip_of(good + [Member(name, b"x")]), ("E_UNSAFE",))
    pack.case("032 names that leave the archive", zip_of(good + [Member("", b"x")]), BAD)
    for size in (1025, 4096, 65535):
        pack.case("035 long names", zip_of(good + [Member("x" * size, b"x")]), ("E_LIMIT",))
    many = [Member(f"assets/{i}", b"") for i in range(65600)]
    pack.case("034 too many members", zip_of(good + many, end={"here": 67, "entries": 67}), BAD)
    directory = sum(len(m.central_bytes(0)) for m in good + many)
    begin = sum(len(m.local_bytes()) for m in good + many)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, len(good + many), len(good + many), directory, begin)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, begin + directory, 1)
    end = {"here": 65535, "entries": 65535}
    pack.case("034 too many members", zip_of(good + many, before_end=record + locator, end=end), ("E_LIMIT",))


def bodies(pack, tiny):
    good = members_of(tiny.config, tiny.new)
    at = len(good[0].local_bytes())
    for shift in (0, 1, at - 1):
        pack.case("029 members that overlap", zip_of(changed(tiny, 1, central={"at": shift})), BAD)
    quine = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = quine.compress(bytes(1 << 24)) * 0 + b""
    body = b"".join([zeros] + [quine.compress(bytes(1 << 24)) for _ in range(3)] + [quine.flush()])
    for claimed in (2**32 - 2, 2**31, 1 << 28):
        bomb = Member("config.json", b"")
        bomb.stored = body
        bomb.fields.update(method=8, packed=len(body), size=claimed)
        pack.case("030 a member that explodes", zip_of([good[0], bomb, good[2]]), ("E_LIMIT",), ("config.json",))
    for claimed in (0, 10, 1 << 20):
        bomb = Member("config.json", b"")
        bomb.stored = body
        bomb.fields.update(method=8, packed=len(body), size=claimed)
        pack.case("030 a member that explodes", zip_of([good[0], bomb, good[2]]), BAD, ("config.json",))
    pack.case("031 an archive as weights", tiny.keras(weights=tiny.keras()), ("E_HDF5",), ("model.weights.h5",))
    text = text_of(tiny.config)
    packed = zlib.compress(text, 9)[2:-4]
    for cut in range(len(packed)):
        if pack.drawn():
            pack.case("037 deflate cut off", deflated(tiny, packed[:cut], text), BAD, ("!config.json",))
    for extra in (b"\0", b"x" * 10, packed):
        pack.case("038 bytes behind a deflate stream", deflated(tiny, packed + extra, text), BAD, ("!config.json",))
    for bit in range(8 * len(packed)):
        if pack.drawn():
            damaged = bytearray(packed)
            damaged[bit // 8] ^= 1 << bit % 8
            padding = bit >= 8 * len(packed) - 8  # the last bits of the stream have no meaning
            pack.case("039 damaged deflate", deflated(tiny, bytes(damaged), text), BAD, ("!config.json",), EITHER if padding else REFUSED)


def deflated(tiny, packed, text):
    members = members_of(tiny.config, tiny.new)
    body = Member("config.json", text)
    body.stored = packed
    body.fields.update(method=8, packed=len(packed))
    return zip_of([members[0], body, members[2]])


def absent(pack, tiny):
    metadata, config, weights = members_of(tiny.config, tiny.new)
    pack.case("041 no config", zip_of([metadata, weights]), ("E_MISSING",), ("config.json",))
    pack.case("042 no weights", zip_of([metadata, config]), ("E_MISSING",), ("model.weights.h5",))
    pack.case("043 no metadata", zip_of([config, weights]), verdict=ACCEPTED, answer=ANSWER)
    pack.case("044 empty config", tiny.keras(config=b""), ("E_JSON",), ("!config.json",))
    pack.case("045 empty weights", tiny.keras(weights=b""), ("E_HDF5",), ("!model.weights.h5",))
    for text in (b'{"keras_version": 3}', b'{"keras_version": []}', b'{"keras_version": null}'):
        pack.case("046 version of another type", zip_of([Member("metadata.json", text), config, weights]), ("E_VALUE",), ("!metadata.json",))
    for text in (b'{"keras_version": "99.0"}', b"{}", b'{"keras_version": ""}', b"[]", b'{"keras_version": "3"}'):
        pack.case("046 unknown version", zip_of([Member("metadata.json", text), config, weights]), verdict=ACCEPTED, answer=ANSWER)
    for text in (b"", b"{", b"nonsense"):
        pack.case("046 metadata that is no JSON", zip_of([Member("metadata.json", text), config, weights]), ("E_JSON",), ("!metadata.json",))
    pack.case("042 pickled weights", zip_of([metadata, config, Member("model.weights.npz", b"PK")]), ("E_UNSUPPORTED",), ("npz", "pickle"))


def every(pack, tiny):
    for family in (files, truncated, records, headers, names, bodies, absent):
        family(pack, tiny)
