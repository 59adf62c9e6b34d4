# SPDX-License-Identifier: Apache-2.0
"""Random models in live Keras, saved, and predicted by the `lamella` command: conformance.py --lamella build/release/bin/lamella --count 200.

What is compared, for each row (each element of the batch):
  float32, float64   |got - y| <= 1e-5 |y| + 2e-6 max(1, largest |y| of the row)
  bfloat16 policies  |got - y| <= 2^-7  max(1, largest |y| of the row) sqrt(layers)
  float16 policies   |got - y| <= 2^-10 max(1, largest |y| of the row) sqrt(layers)
  integers and bools are Keras', in Keras' dtype
Keras rounds to 16 bits after the product, after the bias and after the activation; lamella keeps float32 inside a layer and rounds once. The two walk
apart by about one rounding a layer, in random directions, hence the root. A model whose own answer moves by more than its tolerance when all weights and
inputs move by one rounding is drawn again: it would measure Keras' luck.

With --through-save lamella writes each model instead (`lamella convert`), and Keras, which reads what it wrote, must give the very bits that it gave
before. A model that lamella refuses to write, by a sentence with E_UNSUPPORTED, and one whose own file Keras does not read again, are told and not counted.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")
import logging
import warnings

logging.getLogger("absl").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")

import jax.numpy as jnp
import keras
import numpy as np
from keras.src.initializers import random_initializers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "fixtures"))
from draw import Draw
from writer import all_layers, flat, float32, input_names, name_of, packed, randomize, structure_of

LARGEST = 1e3  # largest output, so that no float16 overflows on the way


class HostRandom:
    """Random numbers for Keras' initializers, by NumPy: JAX compiles its generator for each shape, which would take most of the time. All weights
    are drawn again by randomize()."""

    def __init__(self, original):
        self.original, self.rng = original, np.random.default_rng(0)

    def __getattr__(self, name):
        return getattr(self.original, name)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        return jnp.asarray(self.rng.uniform(minval, maxval, shape).astype(dtype or "float32"))

    def normal(self, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        return jnp.asarray(self.rng.normal(mean, stddev, shape).astype(dtype or "float32"))

    truncated_normal = normal


random_initializers.random = HostRandom(random_initializers.random)


def tolerance(policy, depth, y):
    """The tolerance for each element of y."""
    largest = np.maximum(1.0, np.abs(y).reshape(y.shape[0], -1).max(-1)).reshape([-1] + [1] * (y.ndim - 1))
    if policy in ("float32", "float64"):
        return 1e-5 * np.abs(y) + 2e-6 * largest
    unit = 2.0**-10 if policy in ("float16", "mixed_float16") else 2.0**-7
    return np.broadcast_to(unit * np.sqrt(depth) * largest, y.shape)


def rounding(policy):
    return {"float32": 2.0**-24, "float64": 2.0**-24, "float16": 2.0**-12, "mixed_float16": 2.0**-12}.get(policy, 2.0**-9)


def as_compared(y):
    return np.asarray(y) if np.asarray(y).dtype.kind in "biu" else float32(y)


def draw_input(rng, shape, dtype):
    if "float" in dtype:
        return float32(rng.normal(0, 1, shape))
    ends = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return rng.integers(max(ends[0], -100), min(ends[1], 255), shape, endpoint=True).astype(dtype)


def predict(model, xs):
    structure = structure_of(model)
    given = packed(structure, iter(xs)) if isinstance(structure, (dict, list, tuple)) and len(xs) > 1 else xs[0]
    return [as_compared(y) for y in flat(model.predict(given, verbose=0, batch_size=64))]


class Case:
    """A drawn model with its inputs and Keras' outputs."""

    def __init__(self, rng):
        keras.backend.clear_session(free_memory=False)
        draw = Draw(rng)
        self.policy = draw.policy
        self.model = draw.model()
        randomize(self.model, rng)
        self.quantization = draw.quantization
        if self.quantization:
            self.quantization.apply(self.model, rng)
        inner = int(rng.integers(1, 6))
        batch = int(rng.choice([1, 2, 3, 7, 16, 33]))
        shapes = [[batch, *(inner if d is None else int(d) for d in t.shape[1:])] for t in self.model.inputs]
        self.xs = [draw_input(rng, s, t.dtype) for s, t in zip(shapes, self.model.inputs)]
        self.depth = sum(1 for _ in all_layers(self.model))
        self.ys = predict(self.model, self.xs)
        self.names = input_names(self.model), [name_of(t) for t in self.model.outputs]
        self.sound = self.is_sound(rng)
        if draw.chance(0.5):
            draw.freeze(self.model)

    def is_sound(self, rng):
        if len(set(self.names[1])) < len(self.names[1]) or not all(np.isfinite(y).all() and np.abs(y).max(initial=0) < LARGEST for y in self.ys if y.dtype == "float32"):
            return False
        kept = [(v, np.asarray(v.value)) for v in self.model.weights]
        step, tries, share = self.steadiness()

        def moved(value, stored="float32"):
            by = 2 * step if "16" in stored else step  # a smaller step would be lost where 16 bits are stored
            return (np.asarray(value, "float64") * (1 + by * rng.choice([-1, 1], np.shape(value)))).astype("float32")

        def is_steady():
            for v, value in kept:
                v.assign(moved(value, str(v.dtype)) if "float" in str(v.dtype) and v.name != "g_idx" else value)
            others = predict(self.model, [moved(x) if x.dtype == "float32" else x for x in self.xs])
            for v, value in kept:
                v.assign(value)
            return all((np.abs(a - b) <= share * tolerance(self.policy, self.depth, a)).all()
                       for a, b in zip(self.ys, others) if a.dtype == "float32")

        return all(is_steady() for _ in range(tries))

    def steadiness(self):
        """The relative size of the perturbation of weights and inputs, the number of tries, and the share of the tolerance by which answers may
        then change. Signs are random: where roundings are large, one try does not show their effect. Float8 has jumps inside: the last bits of a
        sum, which depend on the order of its terms, decide on which side of a boundary it falls."""
        if self.quantization and self.quantization.mode == "float8":
            return 2.0**-20, 6, 0.5
        wide = self.policy in ("float32", "float64")
        return (rounding(self.policy), 1, 0.5) if wide else (rounding(self.policy), 3, 1 / 3)

    def describe(self):
        kind = type(self.model).__name__
        quantized = f" quantized by {self.quantization}" if self.quantization else ""
        return f"{kind} of {self.depth} layers, {self.policy}{quantized}, {' '.join(str(list(x.shape)) for x in self.xs)}"


def draw_case(seed, number):
    for attempt in range(100):
        try:
            case = Case(np.random.default_rng([seed, number, attempt]))
        except (ValueError, TypeError, NotImplementedError) as error:
            if attempt == 99:
                raise
            if os.environ.get("LAMELLA_CONFORMANCE_VERBOSE"):
                print(f"  redrawn: {str(error)[:200]}")
            continue
        if case.sound:
            return case
    raise RuntimeError(f"no well-conditioned model in 100 draws of seed {seed} number {number}")


def write(case, folder, rng):
    """The files of one case, the command line for them, and where it puts outputs: a file for each, or one for all."""
    legacy = rng.random() < 0.3 and case.policy not in ("bfloat16", "per_layer")  # Keras cannot read bfloat16 variables back from .h5
    if case.quantization and case.quantization.file:
        legacy = case.quantization.file == "h5"
    model = folder / ("model.h5" if legacy else "model.keras")
    case.model.save(model)
    arguments = [str(model)]
    if rng.random() < 0.3:  # all inputs, or all outputs, in one archive
        (np.savez_compressed if rng.random() < 0.5 else np.savez)(folder / "x.npz", **dict(zip(case.names[0], case.xs)))
        return arguments + ["--input", str(folder / "x.npz"), "--output", str(folder / "got.npz")], folder / "got.npz"
    for name, x in zip(case.names[0], case.xs):
        path = folder / f"x_{name}.npy"
        np.save(path, x)
        arguments += ["--input", f"{name}={path}" if len(case.xs) > 1 else str(path)]
    outputs = []
    for k, (name, y) in enumerate(zip(case.names[1], case.ys)):
        np.save(folder / f"expected_{k}.npy", y)
        outputs.append(folder / f"got_{k}.npy")
        arguments += ["--output", f"{name}={outputs[-1]}" if len(case.ys) > 1 else str(outputs[-1])]
    return arguments, outputs


def complaint(case, command, arguments, outputs):
    """Describes what is wrong; None if nothing is."""
    try:
        run = subprocess.run([*command, "predict", *arguments], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "no answer in 120 s"
    if run.returncode != 0:
        return f"exit status {run.returncode}: {run.stderr.strip()[-600:]}"
    arrays = None if isinstance(outputs, list) else np.load(outputs)
    for k, (name, y) in enumerate(zip(case.names[1], case.ys)):
        got = as_compared(np.load(outputs[k]) if arrays is None else arrays[name])
        if got.shape != y.shape:
            return f"output {k} has shape {got.shape}, Keras' has {y.shape}"
        if got.dtype != y.dtype:
            return f"output {k} is {got.dtype}, Keras' is {y.dtype}"
        if y.dtype != "float32":
            if not np.array_equal(got, y):
                return f"output {k}: {int((got != y).sum())} of {y.size} {y.dtype} values differ"
            continue
        excess = np.abs(got.astype("float64") - y) / tolerance(case.policy, case.depth, y)
        if not (excess <= 1).all():
            where = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), y.shape)
            return f"output {k} at {tuple(map(int, where))}: got {got[where]!r}, Keras says {y[where]!r}, {excess[where]:.3g} tolerances off"
    return None


def read_again(path, case):
    """The model that Keras reads from a file that lamella wrote; for a weights file, the drawn model, whose weights were different until then."""
    if path.name.endswith(".keras"):
        return keras.saving.load_model(path)
    randomize(case.model, np.random.default_rng(1))
    case.model.load_weights(path)
    return case.model


def complaint_about_saving(case, command, arguments, folder):
    """Describes what is wrong; None if nothing is; in brackets, why this model does not count."""
    source = pathlib.Path(arguments[0])
    saved = folder / ("saved.weights.h5" if source.suffix == ".h5" else "saved.keras")
    run = subprocess.run([*command, "convert", str(source), "--output", str(saved)], capture_output=True, text=True, timeout=120)
    if run.returncode != 0:
        why = run.stderr.strip()[-600:]
        return f"[{why}]" if "[E_UNSUPPORTED]" in why else f"exit status {run.returncode}: {why}"
    try:
        again = read_again(saved, case)
    except Exception as error:
        try:
            keras.saving.load_model(source)
        except Exception:
            return f"[Keras does not read its own file: {str(error)[:200]}]"
        return f"Keras does not read it: {str(error)[:600]}"
    for k, (got, y) in enumerate(zip(predict(again, case.xs), case.ys)):
        if got.shape != y.shape or got.dtype != y.dtype or not np.array_equal(got, y):
            return f"output {k} is not what it was"
    return None


def side_by_side(jobs):
    """Runs this command in several processes, each with a share of the cases, because JAX uses one processor for most of its time."""
    command = [sys.executable, __file__, *sys.argv[1:], "--jobs", "1", "--part"]
    parts = [subprocess.Popen([*command, f"{i}/{jobs}"], stdout=subprocess.PIPE, text=True) for i in range(jobs)]
    passed = failed = 0
    for part in parts:
        output, _ = part.communicate()
        *lines, last = output.splitlines() or [""]
        counts = re.fullmatch(r"(\d+) passed, (\d+) failed", last)
        print("\n".join(lines if counts else [*lines, last, f"a part ended with status {part.returncode}"]), flush=True)
        passed, failed = (passed + int(counts[1]), failed + int(counts[2])) if counts else (passed, failed + 1)
    return passed, failed


def one_after_another(options):
    command = options.lamella.split()
    passed = failed = 0
    first, step = map(int, options.part.split("/"))
    numbers = range(first, options.count, step) if options.only is None else [options.only]
    with tempfile.TemporaryDirectory() as temporary:
        for number in numbers:
            case = draw_case(options.seed, number)
            folder = pathlib.Path(temporary) / f"seed{options.seed}_number{number}"
            folder.mkdir()
            arguments, outputs = write(case, folder, np.random.default_rng([options.seed, number]))
            wrong = complaint_about_saving(case, command, arguments, folder) if options.through_save else complaint(case, command, arguments, outputs)
            if wrong is not None and wrong.startswith("["):
                print(f"not counted: number {number} ({case.describe()}): {wrong}", flush=True)
                shutil.rmtree(folder)
            elif wrong is None:
                passed += 1
                shutil.rmtree(folder)
            else:
                failed += 1
                kept = pathlib.Path(options.failures) / folder.name
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(folder, kept)
                print(f"FAILED number {number} ({case.describe()}): {wrong}\n  kept in {kept}", flush=True)
            if (passed + failed) % 50 == 0:
                print(f"part {options.part}: {passed} passed, {failed} failed so far", flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lamella", default=str(ROOT / "build/release/bin/lamella"), help="the command, which may include arguments")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="run only the case with this number")
    parser.add_argument("--through-save", action="store_true", help="let Keras read what lamella writes, and compare its answers")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes side by side")
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--failures", default=str(ROOT / "build/conformance-failures"), help="where failing cases are kept")
    options = parser.parse_args()
    program = options.lamella.split()[0]
    if shutil.which(program) is None:
        sys.exit(f"{program} is not a program: build lamella first, or name it with --lamella")
    several = options.jobs > 1 and options.only is None
    passed, failed = side_by_side(options.jobs) if several else one_after_another(options)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
