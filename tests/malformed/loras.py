# SPDX-License-Identifier: Apache-2.0
"""Legacy files that keep LoRA's matrices beside a Dense kernel: bias, A, B, kernel; the kernel is kernel + (alpha / rank) * A . B."""
import copy

import numpy as np

from pack import ACCEPTED
from tiny import BIAS, KERNEL, X, hdf5, put_legacy, relu_answer

A = np.array([[1, 0], [2, -1], [0, 1], [-1, 1]], "f4")
B = np.array([[1, 0, 2], [-2, 1, 0]], "f4")


def file_of(tiny, arrays, libver, use_bias=True, **changes):
    config = copy.deepcopy(tiny.legacy_config)
    config["config"]["layers"][0]["config"].update({"use_bias": use_bias, **changes})
    names = (["bias:0"] if use_bias else []) + ["lora_kernel_a:0", "lora_kernel_b:0", "kernel:0"]
    return hdf5(lambda f: put_legacy(f, config, weights=tuple(zip(names, arrays))), libver=libver)


def every(pack, tiny):
    none = np.zeros(3, "f4")
    for libver in ("earliest", "latest"):
        for alpha, factor in ((2, 1.0), (4, 2.0), (1.0, 0.5), (0, 0.0), (None, 1.0)):
            merged = KERNEL + np.float32(factor) * (A @ B)
            data = file_of(tiny, (BIAS, A, B, KERNEL), libver, lora_rank=2, lora_alpha=alpha)
            pack.case("112 LoRA that fits", data, verdict=ACCEPTED, answer=(X, relu_answer(kernel=merged)))
        data = file_of(tiny, (A, B, KERNEL), libver, use_bias=False)
        pack.case("112 LoRA that fits", data, verdict=ACCEPTED, answer=(X, relu_answer(kernel=KERNEL + A @ B, bias=none)))
        wide = file_of(tiny, (BIAS.astype("f8"), A.astype(">f8"), B.astype("f2"), KERNEL), libver)
        pack.case("112 LoRA that fits", wide, verdict=ACCEPTED, answer=(X, relu_answer(kernel=KERNEL + A @ B)))

        def refuse(family, arrays, codes, words=("dense",), **changes):
            pack.case(family, file_of(tiny, arrays, libver, **changes), codes, words)

        for alpha in ("2", [2], {"alpha": 2}, True):
            refuse("112 lora_alpha of another type", (BIAS, A, B, KERNEL), ("E_VALUE",), ("layer 'dense'", "lora_alpha"), lora_alpha=alpha)
        fit = ("E_SHAPE",), ("layer 'dense'", "LoRA")
        for a in (A[:3], A[:, :1], A[:, 0], A.reshape(4, 2, 1), A.T.copy(), np.float32(1), np.zeros((4, 0), "f4"), np.ones((4, 3), "f4")):
            refuse("112 LoRA of other shapes", (BIAS, a, B, KERNEL), *fit)
        for b in (B[:1], B[:, :2], B[0], B.reshape(2, 3, 1), B.T.copy(), np.float32(1), np.ones((2, 4), "f4")):
            refuse("112 LoRA of other shapes", (BIAS, A, b, KERNEL), *fit)
        for kernel in (KERNEL[:, 0], KERNEL.reshape(4, 3, 1), KERNEL[:3], KERNEL[:, :2], KERNEL.T.copy(), np.float32(1)):
            refuse("112 LoRA of other shapes", (BIAS, A, B, kernel), *fit)
        for arrays in ((BIAS, A.astype("i4"), B, KERNEL), (BIAS, A, B.astype("u1"), KERNEL), (BIAS, A, B, KERNEL.astype("i1"))):
            refuse("112 LoRA of other types", arrays, ("E_SHAPE", "E_DTYPE"))
        refuse("112 LoRA of other types", (BIAS, A, np.full((2, 3), b"text"), KERNEL), ("E_DTYPE",))
        refuse("112 LoRA of other shapes", (BIAS[:2], A, B, KERNEL), ("E_SHAPE",))
        refuse("112 LoRA of other order", (A, B, KERNEL, BIAS), ("E_SHAPE",))
        refuse("112 LoRA of other order", (BIAS, KERNEL, A, B), ("E_SHAPE",))
        refuse("112 LoRA half there", (BIAS, A, KERNEL), ("E_SHAPE",))
