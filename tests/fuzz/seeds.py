# SPDX-License-Identifier: Apache-2.0
"""Seeds for the fuzz targets, taken from the fixtures: seeds.py OUT. Needs only Python's standard library."""
import pathlib
import random
import struct
import sys
import zipfile

TESTS = pathlib.Path(__file__).parent.parent
LARGEST = 40_000


def seeds():
    """Yields (target, name, bytes) for each seed."""
    for path in sorted(TESTS.glob("fixtures/*/*/model.keras")):
        data = path.read_bytes()
        name = f"{path.parent.parent.name}-{path.parent.name}"
        if len(data) > LARGEST or not zipfile.is_zipfile(path):
            continue
        yield "archive", name, data
        yield "model", name, data
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            config = archive.read("config.json") if "config.json" in names else b""
            weights = archive.read("model.weights.h5") if "model.weights.h5" in names else b""
        yield "json", name, config
        yield "config", name, config
        yield "hdf5", name, weights
        yield "model", name + "-parts", b"=" + struct.pack("<I", len(config)) + config + weights
    for path in sorted([*TESTS.glob("fixtures/*/*/*.h5"), *TESTS.glob("keras/data/*.h5")]):
        data = path.read_bytes()
        if len(data) <= LARGEST:
            yield "hdf5", f"{path.parent.name}-{path.stem}", data
            yield "model", f"{path.parent.name}-{path.stem}", data
    for path in sorted(TESTS.glob("fixtures/*/*/*.npz"))[::5]:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if archive.getinfo(name).file_size <= 2048:
                    yield "npy", f"{path.parent.name}-{name}", archive.read(name)
    for path in sorted(TESTS.glob("keras/data/weights/*.safetensors")):
        yield "safetensors", path.stem, path.read_bytes()
    for number in range(64):
        yield "api", str(number), bytes((number * 37 + i * i * 11) % 251 for i in range(200))
        luck = random.Random(number)
        yield "layers", str(number), bytes(byte for _ in range(128) for byte in (luck.randrange(256), 0))  # numbers of two bytes


def main():
    out = pathlib.Path(sys.argv[1])
    for target, name, data in seeds():
        folder = out / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


main()
