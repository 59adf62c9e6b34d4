# SPDX-License-Identifier: Apache-2.0
"""Runs the `lamella bench` command and the scripts in bench/ for the tests of this folder, whose arguments are PART LAMELLA PLANTED_LIBRARY."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PART, LAMELLA, PLANTED = sys.argv[1:4]
BENCH = [LAMELLA, "bench", "--spread", "100", "--others", "100", "--threads", "1"]  # the machine need not be quiet for these tests
SKIPPED = 77


def run(*arguments, **environment):
    environment = dict(os.environ, **environment)
    environment.pop("LAMELLA_DEVICE", None)
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, env=environment)


def bench(*arguments, plant=""):
    extra = {"LD_PRELOAD": PLANTED, "LAMELLA_PLANT": plant} if plant else {}
    return run(*BENCH, *arguments, **extra)


def expect(condition, *what):
    if not condition:
        raise SystemExit("FAILED: " + " ".join(map(str, what)))


def script(name, *arguments):
    return run(sys.executable, ROOT / "bench" / name, *arguments)


SMALL = ["--batch", "7,33", "--width", "31", "--activation", "tanh", "--cache", "warm"]


def made(folder, name, *arguments, plant=""):
    path = pathlib.Path(folder, name)
    done = bench(*arguments, "--device", "cpu", "--out", path, plant=plant)
    expect(done.returncode == 0, done.stderr)
    return path
