# SPDX-License-Identifier: Apache-2.0
"""Writes the .npz and .safetensors files of weights_file_test.cpp into data/weights. Element i of an array is (i * 7 % 101 - 50) / 64. Needs numpy and safetensors."""
import pathlib

import numpy as np
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parent / "data" / "weights"


def rule(*shape, dtype="<f4"):
    return ((np.arange(int(np.prod(shape))) * 7 % 101 - 50) / 64).reshape(shape).astype(dtype)


def write_as(dtype, arrays, name):
    """Arrays of a type that NumPy lacks."""
    specs = {key: TensorSpec(dtype=dtype, shape=w.shape, data_ptr=w.ctypes.data, data_len=w.nbytes) for key, w in arrays.items()}
    serialize_file(specs, OUT / name)


def brain(*shape):
    """The bits of bfloat16."""
    return (rule(*shape).view("<u4") >> 16).astype("<u2")


def main():
    keras = {"a/kernel": rule(4, 6), "a/bias": rule(6), "b/kernel": rule(6, 2), "b/bias": rule(2)}
    np.savez(OUT / "keras.npz", **keras)
    np.savez_compressed(OUT / "compressed.npz", **keras)
    np.savez(OUT / "orders.npz", **{name: np.asfortranarray(w.astype(">f8")) for name, w in keras.items()})
    save_file(keras, OUT / "keras.safetensors", metadata={"format": "np"})
    save_file({"b/bias": rule(2, dtype="<f2")}, OUT / "half.safetensors")
    torch = {"net.2.weight": rule(6, 4), "net.2.bias": rule(6), "net.10.weight": rule(2, 6), "net.10.bias": rule(2)}
    save_file(torch, OUT / "torch.safetensors", metadata={"format": "pt"})
    np.savez(OUT / "torch.npz", **torch)
    write_as("bfloat16", {"a.weight": brain(6, 4), "a.bias": brain(6), "b.weight": brain(2, 6), "b.bias": brain(2)}, "brain.safetensors")
    types = {f"x/{name}": np.array([0, 1, 100]).astype(name) for name in
             ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")}
    save_file({**types, "x/scalar": np.array(2.5), "x/empty": np.zeros((0, 3), "f4")}, OUT / "types.safetensors")
    write_as("float8_e4m3fn", {"x/eight": np.zeros(3, "u1")}, "eight.safetensors")
    save_file({}, OUT / "none.safetensors")
    for path in OUT.iterdir():
        path.chmod(0o644)  # safetensors writes for its user only


if __name__ == "__main__":
    main()
