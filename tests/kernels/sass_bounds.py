#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bounds on the machine code of kernels that should run as fast as a copy, each with its reason. Needs no device and no disassembler.

Usage: sass_bounds.py CUBIN... (of sm_90, all kernels); prints what is out of its bounds. --show prints what was found of each kernel.
"""
import pathlib
import re
import subprocess
import sys

import sass

SIZES = {"float": 4, "double": 8, "__half": 2, "__nv_bfloat16": 2}
GROUPS = {"kept": re.compile(r"kept_rows_kernel<(\w+)Row<.*>, (\w+), (?:LaneGroup<\d+u?>|WarpsGroup), (\d+), (\d+)>"),
          "walked": re.compile(r"walked_rows_kernel<(\w+)Row<.*>, (\w+)>"),
          "columns": re.compile(r"columns_kernel<(?:Log)?Softmax, (\w+)>"),
          "combine": re.compile(r"combine_kernel<(\w+), (\d+)>"),
          "few_rows": re.compile(r"^small_batch_kernel<(\w+), (\d+)>"),
          "few_rows_mma": re.compile(r"mma_small_batch_kernel<\w+, FewTiling<(\d+), (\d+), (\d+), (\d+)>"),
          "integers": re.compile(r"integer_gemm_kernel<\w+, IntegerTiling<(\d+), (\d+), (\d+), (\d+), (\d+), (\d+)>, (true|false)>"),
          "floats": re.compile(r"dequantized_gemm_kernel<\w+, (true|false), (\d+)>"),
          "floats_mma": re.compile(r"dequantized_mma_kernel<\w+, FloatTiling<(\d+), (\d+), (\d+), (\d+)>, (true|false)>"),
          "rows": re.compile(r"quantize_rows_kernel<\w+(?:<256u?>)?, (\w+)>"),
          "activation": re.compile(r"pointwise_kernel<BiasActivation<lamella::core::math::ActivationOp<(\d+)>, (\w+)>, (?:\2, ){2}(\d+)>")}
# Registers per thread. Work on other rows hides the latency of a row's loads, and the more registers a thread uses, the fewer rows there are.
# Memory is busy with about 26 KB of loads in flight per multiprocessor; a thread has 32 to 64 bytes. Layer normalization also keeps gamma, beta
# and, for float32, the low parts of distances from the mean.
REGISTERS = {"Softmax": 56, "Normalized": 128}
WALKED = {"Softmax": 8, "Normalized": 8, "Sparsemax": 4}  # loads at a time

# As many instructions an element as an H200 issues at 95 % of a copy's speed, by the element's bytes. The formulas that need more: float32's gelu is
# exact to the last bits, and what is not made of exponentials (a division by any number, a power, a logarithm) is float32's for 16 bits too.
COPY = {2: 30, 4: 60}
BEYOND = {("gelu", 4): 64, ("gelu_tanh", 4): 66, ("celu", 2): 31, ("squareplus", 2): 44, ("power", 2): 93, ("power", 4): 97, ("log", 2): 37, ("log1p", 2): 41}
ACTIVATIONS = re.findall(r'^LAMELLA_(?:ELEMENTWISE|INTERNAL|OPERATION)\s*\(\w+,\s*"(\w+)"',
                         pathlib.Path(__file__).parents[2].joinpath("include/lamella/activation.def").read_text(encoding="utf-8"), re.M)


def kept(kernel, row, element, width, packs):
    size, width, packs = SIZES[element], int(width), int(packs)
    # One latency per row: all its loads are in flight before the first element is needed.
    yield "loads under way", kernel.in_flight(size * width), packs, None
    if size * width == 16:  # a quarter or an eighth as many accesses and addresses
        constants = 2 * packs * width * 4 // 16 if row == "Normalized" else 0  # gamma and beta are loaded with the row
        yield "16-byte loads", kernel.count(sass.LOAD, 16), packs + constants, packs + constants
        yield "16-byte loads under way", kernel.in_flight(16), packs + constants, None
        yield "16-byte stores", kernel.count(sass.STORE, 16), packs, packs
    yield "registers", kernel.registers, 0, REGISTERS[row]


def walked(kernel, row, element):
    # After the first walk a long row is in the second-level cache; loading several elements at a time divides each walk's latencies.
    yield "loads under way", kernel.in_flight(SIZES[element]), WALKED[row], None


def columns(kernel, element):
    # A thread walks a column alone: one load at a time would cost one latency per element.
    yield "loads under way", kernel.in_flight(SIZES[element]), 8 if element == "double" else 16, None


def combine(kernel, element, width):
    if element not in SIZES:
        return
    # Sources are read four at a time: waiting for each would cost one latency per source.
    size = SIZES[element] * int(width)
    yield "loads under way", kernel.in_flight(size), 4, None
    if size == 16:
        yield "16-byte stores", kernel.count(sass.STORE, 16), 1, None


def few_rows(kernel, element, rows):
    # The ring is filled before anything is waited for, and each pack's place again when it has been read.
    yield "16-byte copies to shared memory", kernel.count(sass.COPY, 16), 8 + 1, None
    # Twice 256 threads: while one block adds its sums, another one's weights are on their way.
    yield "registers", kernel.registers, 0, 128


def few_rows_mma(kernel, unit_tiles, row_tiles, warps, stages):
    packs = 2 * int(unit_tiles) + int(row_tiles)
    yield "16-byte copies to shared memory", kernel.count(sass.COPY, 16), packs * (int(stages) + 1), None
    yield "registers", kernel.registers, 0, 128


def integers(kernel, input_warps, row_warps, unit_warps, row_tiles, unit_tiles, stages, int4):
    rows, units = int(row_warps) * int(row_tiles) * 8, int(unit_warps) * int(unit_tiles) * 16
    packs = rows * 4 + units * (2 if int4 == "true" else 4)
    # All stages but one are on their way before the first product, and the last one's place is filled again while another is multiplied.
    yield "16-byte copies to shared memory", kernel.count(sass.COPY, 16), packs // (int(row_warps) * int(unit_warps) * 32) * int(stages), None
    yield "registers", kernel.registers, 0, 128


def floats(kernel, int4, rows):
    packs, stages = (1, 6) if int4 == "true" else (2, 3)
    yield "16-byte copies to shared memory", kernel.count(sass.COPY, 16), packs * (stages + 1), None
    yield "registers", kernel.registers, 0, 128


def floats_mma(kernel, unit_warps, unit_tiles, row_tiles, stages, int4):
    units, warps = int(unit_warps) * int(unit_tiles) * 16, 4 * int(unit_warps)
    packs = 4 * (int(row_tiles) * 8 * 8 + units * (2 if int4 == "true" else 4)) // (32 * warps)
    yield "16-byte copies to shared memory", kernel.count(sass.COPY, 16), packs * int(stages), None
    yield "registers", kernel.registers, 0, 128


def rows(kernel, element):
    # Four packs of a row are on their way at once; a double's pack is two loads.
    size = 4 * SIZES[element]
    yield "loads under way", kernel.in_flight(min(size, 16)), 4 * max(size // 16, 1), None


def activation(kernel, kind, element, width):
    if element == "double":
        return
    width, size, name = int(width), SIZES[element], ACTIVATIONS[int(kind)]
    packs = 2 if width > 1 else 16 // size
    around = kernel.around(size * width, packs, packs)
    most = BEYOND.get((name, size), COPY[size])
    # Odd widths go by single elements, which may take 1.3 times as long.
    yield f"instructions an element of {name}", round(around / (packs * width), 1) if around else 0, 1, most if width > 1 else round(1.3 * most, 1)
    if width == 1:
        yield "loads under way", kernel.in_flight(size), packs, None


RULES = {"kept": kept, "walked": walked, "columns": columns, "combine": combine, "few_rows": few_rows, "few_rows_mma": few_rows_mma,
         "integers": integers, "floats": floats, "floats_mma": floats_mma, "rows": rows, "activation": activation}


def main():
    show, files = "--show" in sys.argv, [a for a in sys.argv[1:] if a != "--show"]
    kernels = [kernel for file in files for kernel in sass.kernels(file)]
    names = subprocess.run(["c++filt", "-n"], input="\n".join(k.name for k in kernels), text=True, capture_output=True, check=True).stdout.splitlines()
    bad, checked = 0, dict.fromkeys(RULES, 0)
    for kernel, name in zip(kernels, names):
        # Local memory is device memory: accesses to it mean that something meant for registers was spilled.
        found = [("accesses to local memory", kernel.local(), 0, 0)]
        name = name.replace("(lamella::ActivationKind)", "").replace("lamella::kernels::", "").replace("(anonymous namespace)::", "").split("(")[0].removeprefix("void ")
        for group, pattern in GROUPS.items():
            match = pattern.search(name)
            if match:
                row = match.groups()
                found += RULES[group](kernel, *(part.replace("LogSoftmax", "Softmax") for part in row))
                checked[group] += 1
        for what, value, least, most in found:
            wrong = value < least or (most is not None and value > most)
            bad += wrong
            if wrong or (show and len(found) > 1):
                print(f"{name}: {value} {what}, {least} to {'any' if most is None else most}{' WRONG' if wrong else ''}")
    for group, count in checked.items():
        if count == 0:
            bad += 1
            print(f"no kernel is called what {GROUPS[group].pattern} looks for")
    print(f"{len(kernels)} kernels, of {sum(checked.values())} also what loads and stores ptxas made of them: {bad} out of bounds")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
