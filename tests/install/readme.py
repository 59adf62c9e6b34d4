#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every sh, C++ and C block of the README in an empty folder, with an installed lamella.

Usage: readme.py PREFIX LIBRARY_FOLDER     (blocks of Python: python/tests/test_docs.py)
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PREFIX, LIBRARY = map(pathlib.Path, sys.argv[1:3])
MODELS = ROOT / "examples/models"


def run(words, folder, what):
    environment = dict(os.environ, PATH=f"{PREFIX}/bin:{os.environ['PATH']}", LD_LIBRARY_PATH=str(LIBRARY), PKG_CONFIG_PATH=f"{LIBRARY}/pkgconfig")
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"README.md: {what} ends with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def same_zeros(printed, folder):
    """The program in C predicts a row of zeros; the command gives the same outputs for one."""
    (folder / "zeros.csv").write_text(",".join(["0"] * 784) + "\n", encoding="utf-8")
    run(["lamella", "predict", "model.keras", "-i", "zeros.csv", "-o", "zeros_out.csv"], folder, "predict of a row of zeros")
    wanted = [float(word) for word in re.findall(r"[-+.\de]+", (folder / "zeros_out.csv").read_text(encoding="utf-8"))]
    found = [float(word) for word in printed.split()]
    if len(found) != 10 or any(abs(a - b) > 1e-5 for a, b in zip(found, wanted, strict=True)):
        sys.exit(f"README.md: the program in C prints {found}, the command {wanted}")


def fails_politely(program, folder):
    """Without its files a program names the one that is missing, and does not crash."""
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        done = subprocess.run([folder / program], cwd=empty, env=dict(os.environ, LD_LIBRARY_PATH=str(LIBRARY)), capture_output=True, text=True)
    if done.returncode != 1 or "model.keras" not in done.stderr:
        sys.exit(f"README.md: without a model {program} ends with {done.returncode} and {done.stderr!r}")


def main():
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    kinds = [kind for kind, _ in blocks]
    if {"sh", "cpp", "c", "python"} - set(kinds):
        sys.exit(f"README.md has blocks of {kinds}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copy(MODELS / "mlp.keras", folder / "model.keras")
        shutil.copy(MODELS / "mlp_input.npy", folder / "x.npy")
        shutil.copy(MODELS / "mlp_expected.npy", folder / "expected.npy")
        same = ["lamella", "verify", "model.keras", "-i", "x.npy", "--expected", "y.npy"]
        for kind, text in blocks:
            if kind == "cpp":
                (folder / "app.cpp").write_text(text, encoding="utf-8")
            elif kind == "c":
                (folder / "app.c").write_text(text, encoding="utf-8")
                flags = run(["pkg-config", "--cflags", "--libs", "lamella"], folder, "pkg-config").split()
                run(["cc", "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "app.c", "-o", "c_app", *flags], folder, "its block of C")
                same_zeros(run(["./c_app"], folder, "the program in C"), folder)
            elif kind == "sh":
                run(["bash", "-euo", "pipefail", "-c", text], folder, f"the block of sh that begins with {text.splitlines()[0]!r}")
        told = run(["lamella", "verify", "model.keras", "-i", "x.npy", "--expected", str(MODELS / "mlp_expected.npy")], folder, "verify")
        said = re.search(r"^digit: .* agree, ", told).group(0)  # the difference in the last bits depends on the machine
        if not any(kind == "text" and text.startswith(said) for kind, text in blocks):
            sys.exit(f"README.md shows another output than {told}")
        shutil.copy(folder / "y.npy", folder / "from_command.npy")
        (folder / "y.npy").unlink()
        run(["./app"], folder, "the program in C++")
        run(same, folder, "verify of what the program in C++ wrote")
        fails_politely("app", folder)
        fails_politely("c_app", folder)
    print("the README's blocks ran")


main()
