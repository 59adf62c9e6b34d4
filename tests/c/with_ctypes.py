#!/ usr / bin / env python3
#SPDX - License - Identifier : Apache - 2.0
"""The C interface through ctypes, with Python's standard library alone: with_ctypes.py LIBRARY MODEL.keras X.npy Y.npy compares."""
import array
import ctypes
import struct
import sys


class Tensor(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("data", ctypes.c_void_p), ("dtype", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("device_type", ctypes.c_int32),
                ("device_index", ctypes.c_int32)]


def load_npy(path):
    """Shape and float32 values of a C-order file."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<H", data[8:10])[0]
    header = eval(data[10:10 + length], {"__builtins__": {}})  # safe: a literal from a file that ships with the project
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    values = array.array("f")
    values.frombytes(data[10 + length:])
    return header["shape"], values


def tensor(shape, values):
    extents = (ctypes.c_int64 * len(shape))(*shape)
    made = Tensor(ctypes.sizeof(Tensor), values.buffer_info()[0], 0, len(shape), extents, None, 1, 0)
    made.keep = extents
    return made


def main():
    library, model_path, x_path, y_path = sys.argv[1:]
    lamella = ctypes.CDLL(library)
    lamella.lamella_error_message.restype = ctypes.c_char_p
    for name in ("lamella_model_load", "lamella_model_predict"):
        getattr(lamella, name).restype = ctypes.c_void_p

    def call(name, *arguments):
        error = getattr(lamella, name)(*arguments)
        if error:
            text = lamella.lamella_error_message(ctypes.c_void_p(error)).decode()
            lamella.lamella_error_free(ctypes.c_void_p(error))
            raise RuntimeError(text)

    model = ctypes.c_void_p()
    call("lamella_model_load", model_path.encode(), None, ctypes.byref(model))
    x_shape, x = load_npy(x_path)
    y_shape, expected = load_npy(y_path)
    y = array.array("f", bytes(4 * len(expected)))
    source, target = tensor(x_shape, x), tensor(y_shape, y)
    call("lamella_model_predict", model, ctypes.byref(source), ctypes.c_size_t(1), ctypes.byref(target), ctypes.c_size_t(1))
    worst = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(y, expected))
    assert worst < 1e-5, worst
    try:
        call("lamella_model_load", b"no/such.keras", None, ctypes.byref(ctypes.c_void_p()))
    except RuntimeError as error:
        assert "no/such.keras" in str(error) and "[E_IO]" in str(error), error
    else:
        raise AssertionError("a file that does not exist was loaded")
    lamella.lamella_model_free(model)


main()
