# SPDX-License-Identifier: Apache-2.0
"""lamella beside its peers. Called by bench/peers/run; `--help` lists the options.

One cell is a model of equal Dense layers at one batch size. Everybody's answer is compared with a float64 reference in numpy before any
time is taken. Then rounds: in each, everybody measures once, in an order drawn anew; a row has the median of the rounds. lamella runs in a
process of its own (bin/latency), peers in this one, through their lowest-overhead interface. Peers that take long to prepare come last, in rounds of
their own.
"""
import argparse
import itertools
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from contenders import IN_PYTHON, ON_THE_CPU, Absent, environment_of_programs, imported
from gpu_contenders import ON_A_GPU
from neighbours import Neighbours, keep_to

TOLERANCE = {"float32": 1e-4, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}  # of values of order one, through all layers
SAMPLING_MS, WARM_MS = 50, 10
BEGAN = time.monotonic()
PAUSE = 0.06  # threads that wait for more work by spinning, onnxruntime's for 30 ms, give up before the next one is timed


ACTIVATIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))}


class Model:
    """Weights and inputs of a cell, drawn once, never zeros."""

    def __init__(self, width, depth, activation):
        self.width, self.depth, self.activation = width, depth, activation
        rng = np.random.default_rng(width * 1000 + depth)
        self.layers = [(rng.normal(0, 1 / math.sqrt(width), (width, width)).astype("float32"), rng.normal(0, 0.1, width).astype("float32"))
                       for _ in range(depth)]

    def save(self, path):
        """Kernel and bias of each layer, as raw float32 for programs not written in Python."""
        np.concatenate([part.ravel() for layer in self.layers for part in layer]).tofile(path)

    def inputs(self, batch):
        return np.random.default_rng(batch).normal(size=(batch, self.width)).astype("float32")

    def truth(self, x, biases=True):
        y = x.astype("float64")
        for kernel, bias in self.layers:
            y = y @ kernel.astype("float64") + (bias if biases else 0)
            y = ACTIVATIONS[self.activation](y)
        return y


class Lamella:
    """bin/latency as a running process: takes a batch size, answers with a median."""

    def __init__(self, model, options):
        self.folder = tempfile.TemporaryDirectory()
        weights = f"{self.folder.name}/weights"
        model.save(weights)
        self.process = subprocess.Popen([options.bin / "latency", weights, str(model.width), str(len(model.layers)), model.activation, options.device,
                                         str(options.threads), str(SAMPLING_MS), options.dtype, "tf32" if options.tf32 else "exact"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment_of_programs())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"peers: latency ended with {self.process.wait()}")
        return answer

    def answer(self, x):
        folder = self.folder.name
        x.tofile(f"{folder}/x")
        self.ask(f"answer {folder}/x {folder}/y")
        return np.fromfile(f"{folder}/y", "float32").reshape(x.shape)

    def measure(self, batch):
        return float(self.ask(str(batch)).split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def median_us(call):
    """The median of samples of at least a millisecond, after warm-up. On a GPU the peer measures itself, by events."""
    if hasattr(call, "median_us"):
        return call.median_us()
    begin = time.perf_counter()
    for calls in itertools.count(1):
        call()
        if time.perf_counter() - begin > WARM_MS * 1e-3:
            break
    calls = max(1, int(calls / WARM_MS))  # a millisecond
    samples, spent = [], 0.0
    while len(samples) < 5 or (spent < SAMPLING_MS * 1e-3 and len(samples) < 101):
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        took = time.perf_counter() - begin
        spent += took
        samples.append(took / calls * 1e6)
    return statistics.median(samples)


def expect_right(who, found, wanted, options):
    worst = float(np.abs(np.asarray(found, "float64") - wanted).max())
    if not worst < TOLERANCE["tf32" if options.tf32 else options.dtype]:
        raise SystemExit(f"peers: {who} differs from the float64 reference by {worst:.3g}; no time is taken")


def spread_of(values):
    """The distance of the quartiles over the median, as in the bench."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def row_of(name, model, batch, device, options, **fields):
    math_of = "tf32" if options.tf32 else options.dtype
    title = f"peer/{name}/{model.activation}/{math_of}/batch:{batch}/width:{model.width}/depth:{model.depth}/{device}"
    row = {"name": title, "run_name": title, "run_type": "iteration", "repetitions": 1, "repetition_index": 0, "threads": 0, "iterations": 0,
           "real_time": 0.0, "cpu_time": 0.0, "time_unit": "us", "level": "model", "peer": name, "model": None, "sweep": None, "batch": batch,
           "width": model.width, "depth": model.depth, "activation": model.activation, "dtype": options.dtype, "tf32": options.tf32,
           "device": device, "ratio": None}
    row.update(fields)
    return row


def absent(contender, model, batch, why, options):
    return row_of(contender.name, model, batch, contender.device, options, error_occurred=True, error_message=f"not measured: {why}")


def told(error):
    return f"{type(error).__name__}: {str(error).strip()[:300]}"


def measure_cell(model, batch, lamella, peers, options):
    x = model.inputs(batch)
    wanted = model.truth(x)
    expect_right("lamella", lamella.answer(x), wanted, options)
    calls = {"lamella": lambda: lamella.measure(batch)}
    for peer in peers:
        try:
            if no_time(options):
                raise Absent(no_time(options))
            call = peer.prepare(x)
            expect_right(peer.name, call(), wanted if getattr(peer, "biases", True) else model.truth(x, biases=False), options)
        except Absent as why:
            yield absent(peer, model, batch, why, options)
            continue
        except (Exception, SystemExit) as error:  # for instance torch.compile without a C++ compiler; the others are still compared
            yield absent(peer, model, batch, told(error), options)
            continue
        calls[peer.name] = lambda call=call: median_us(call)
    if len(calls) == 1:
        return
    times, others = rounds_of(calls, lamella, options)
    ours, ours_spread = statistics.median(times["lamella"]), spread_of(times["lamella"])
    for peer in peers:
        if peer.name not in calls:
            continue
        theirs = statistics.median(times[peer.name])
        spread = max(spread_of(times[peer.name]), ours_spread)
        row = row_of(peer.name, model, batch, peer.device, options, threads=options.threads, iterations=options.rounds, real_time=theirs,
                     cpu_time=theirs, lamella_us=ours, ratio=theirs / ours, min_us=min(times[peer.name]), lamella_min_us=min(times["lamella"]),
                     spread=spread, others=others)
        if others > options.others:
            why = f"other programs had {others:.0%} of the processors, the limit is {options.others:.0%}"
            row.update(error_occurred=True, error_message=f"refused as noisy: {why}")
        elif spread > options.spread:
            row.update(error_occurred=True, error_message=f"refused as noisy: rounds differ by {spread:.0%}, the limit is {options.spread:.0%}")
        yield row


def rounds_of(calls, lamella, options):
    """Times by name, and the share of the processors that other programs used. Noisy cells are measured up to three times."""
    order, tries = list(calls), []
    for _ in range(3):
        times, neighbours = {name: [] for name in calls}, Neighbours([lamella.process.pid])
        for _ in range(options.rounds):
            random.shuffle(order)
            for name in order:
                time.sleep(PAUSE)
                times[name].append(calls[name]())
        tries.append((neighbours.share(), max(map(spread_of, times.values())), times))
        if tries[-1][0] <= options.others and tries[-1][1] <= options.spread:
            break
        if rounds_of.always_busy:  # the last cell ended in this way, so waiting would not help
            break
    others, _, times = min(tries, key=lambda t: (t[0] > options.others, t[1]))
    rounds_of.always_busy = others > options.others
    return times, others


rounds_of.always_busy = False


def context_of(options):
    """The machine, from the command itself."""
    done = subprocess.run([options.bin / "lamella", "bench", "--level", "activation", "--activation", "relu", "--batch", "1", "--width", "1", "--cache",
                           "warm", "--device", "cpu", "--threads", str(options.threads), "--json"], check=True, capture_output=True, text=True,
                          env=environment_of_programs())
    context = json.loads(done.stdout)["context"]
    info = json.loads(subprocess.run([options.bin / "lamella", "info", "--json"], check=True, capture_output=True, text=True,
                                     env=environment_of_programs()).stdout)
    context["gpu"] = info["descriptions"][options.device] if options.device != "cpu" else None
    context.update(executable="bench/peers", rounds=options.rounds, spread_limit=options.spread, others_limit=options.others,
                   load_avg=[os.getloadavg()[0]])
    return context


def means_of(rows):
    means = {}
    for name in dict.fromkeys(r["peer"] for r in rows):
        ratios = [r["ratio"] for r in rows if r["peer"] == name and r["ratio"] and not r.get("error_occurred")]
        if ratios:
            means[name] = {"ratio": math.exp(statistics.fmean(map(math.log, ratios))), "cells": len(ratios), "lowest": min(ratios)}
    return means


def print_table(rows, means):
    print("| peer | rows x width x layers | lamella, us | peer, us | peer / lamella |\n|---|---|---|---|---|")
    for row in rows:
        cell = f"{row['batch']} x {row['width']} x {row['depth']}"
        if row["ratio"]:
            mark = " (noisy)" if row.get("error_occurred") else ""
            print(f"| {row['peer']} | {cell} | {row['lamella_us']:.2f} | {row['real_time']:.2f} | {row['ratio']:.2f}{mark} |")
    reasons = dict.fromkeys((r["peer"], r["error_message"]) for r in rows if not r["ratio"])
    for name, why in reasons:
        print(f"| {name} | all | | | {why} |")
    for name, mean in means.items():
        print(f"{name}: geometric mean {mean['ratio']:.2f} over {mean['cells']} cells, lowest {mean['lowest']:.2f}")


def document(context, rows):
    """The same format as `lamella bench`: one row per line."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f'{{"context":\n{json.dumps(context, indent=1)},\n"benchmarks": [\n{lines}\n]}}\n'


def write(path, text):
    """Whole at any time."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def sizes(text):
    return [int(v) for v in text.split(",")]


def no_time(options):
    return f"no time was left of {options.seconds:g} s" if time.monotonic() - BEGAN > options.seconds else ""


def why_not(contender, options, why_no_gpu):
    """The reason, if known before a peer is made, why it is not measured; else empty."""
    if no_time(options):
        return no_time(options)
    if contender.device != options.device:
        return f"this run compares on {options.device}" + (f"; {why_no_gpu}" if contender in ON_A_GPU and why_no_gpu else "")
    return why_no_gpu if contender in ON_A_GPU else ""


def compare(model, options, why_no_gpu, slow=None):
    """The rows of one model, one for each peer and batch size; `slow`: of the peers whose preparation takes long, or of the others."""
    peers, lamella = [], None
    for contender in IN_PYTHON if options.in_python else ON_THE_CPU + ON_A_GPU:
        if (options.only and contender.name not in options.only) or slow not in (None, getattr(contender, "slow", False)):
            continue
        try:
            why = why_not(contender, options, why_no_gpu)
            if why:
                raise Absent(why)
            peers.append(contender(model, options))
        except Exception as error:
            why = error if isinstance(error, Absent) else told(error)
            yield from (absent(contender, model, batch, why, options) for batch in options.batch)
    if not peers:
        return
    try:
        lamella = Lamella(model, options)
        for batch in options.batch:
            yield from measure_cell(model, batch, lamella, peers, options)
            print(f"peers: {batch} x {model.width} done", file=sys.stderr)
    finally:
        for process in [lamella] + peers:
            if hasattr(process, "close"):
                process.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=sizes, default=[1, 64, 4096])
    parser.add_argument("--width", type=sizes, default=[64, 256, 1024])
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--activation", default="tanh", choices=list(ACTIVATIONS))
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--tf32", action="store_true", help="let all round float32 operands to TensorFloat-32")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda:0"], help="where to compare; the other device's peers are rows that say so")
    parser.add_argument("--threads", type=int, default=2, help="for each; on the CPU the comparison uses as many processors")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no further model after this time")
    parser.add_argument("--spread", type=float, default=0.25, help="refuse cells if the quartiles of their rounds are further apart than this share of the median")
    parser.add_argument("--others", type=float, default=0.1, help="refuse cells during which other programs used more than this share of the processors")
    parser.add_argument("--in-python", action="store_true", help="compare calls from Python: needs the packages lamella, keras and onnxruntime in one environment")
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of the peers to run")
    options = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the others need memory too
    os.environ["JAX_PLATFORMS"] = "cpu" if options.device == "cpu" else "cuda,cpu"
    if options.device == "cpu":
        keep_to(options.threads)
    rows = []
    context = context_of(options)
    for slow in (False, True):
        for width in options.width:
            for row in compare(Model(width, options.depth, options.activation), options, context["why_no_cuda"], slow):
                rows.append(row)
                write(options.out, document(context, rows))  # an interrupted run keeps its results so far
    means = means_of(rows)
    context["geometric_means"] = means
    context["load_avg"].append(os.getloadavg()[0])
    write(options.out, document(context, rows))
    print_table(rows, means)


if __name__ == "__main__":
    main()
