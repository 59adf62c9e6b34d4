#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every block of the how-to pages in order, in an empty folder for each page, with an installed lamella.

Blocks of sh run; blocks with a title, as in ```cpp title="app.cpp", are files; a block of text is what the block before it prints, line by line among
others. Blocks of Python, which need Keras, are run by python/tests/test_docs.py; here their files are those that Keras has written before.
Usage: pages.py PREFIX LIBRARY_FOLDER [PAGE...]
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PREFIX, LIBRARY = map(pathlib.Path, sys.argv[1:3])
MLP, INT8 = ROOT / "examples/models/mlp", ROOT / "tests/fixtures/quantized/3.15.1/int8_exact_float32"
PAGES = ["get-started", "several-inputs", "server", "embedding", "quantized", "profiling", "errors", "building", "c"]
ELSEWHERE = {"ray", "triton", "python", "dense_or_activation"}  # run by tests/serving/page.py and python/tests/test_docs.py
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
INSTALLING = ("scripts/deps", "apt-get install")  # blocks that begin so install; package.sh and scripts/test-python do the same
failures = []


def given(folder):
    """The files that the Python blocks write with Keras."""
    for suffix, name in ((".keras", "model.keras"), ("_input.npy", "x.npy"), ("_expected.npy", "expected.npy")):
        shutil.copy(f"{MLP}{suffix}", folder / name)
    shutil.copy(INT8 / "model.keras", folder / "int8.keras")
    with zipfile.ZipFile(INT8 / "arrays.npz") as arrays:
        for member, name in (("x.npy", "int8_x.npy"), ("y.npy", "int8_expected.npy")):
            (folder / name).write_bytes(arrays.read(member))
    (folder / "from-sources").mkdir()
    (folder / "from-sources/lamella").symlink_to(ROOT)


def run(text, folder):
    environment = dict(os.environ, PATH=f"{PREFIX}/bin:{os.environ['PATH']}", LD_LIBRARY_PATH=str(LIBRARY), PKG_CONFIG_PATH=f"{LIBRARY}/pkgconfig",
                       CMAKE_PREFIX_PATH=str(PREFIX))
    return subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, capture_output=True, text=True)


def page(name):
    """Runs or compares the blocks of a page; returns how many."""
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    blocks, count, said = BLOCK.findall(text), 0, ""
    if len(blocks) != text.count("\n```") // 2:
        failures.append(f"{name}: a block begins otherwise than ```WORD or ```WORD title=\"FILE\"")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        given(folder)
        for kind, title, code in blocks:
            what = f"docs/{name}.md: the block of {kind} that begins with {code.splitlines()[0]!r}"
            if title:
                (folder / title).write_text(code, encoding="utf-8")
            elif kind == "sh":
                done = run(code, folder)
                said, count = done.stdout, count + 1
                if done.returncode != 0:
                    failures.append(f"{what} ends with {done.returncode}\n{done.stdout}{done.stderr}")
                    return count
            elif kind == "text" and not code.startswith(INSTALLING):
                count += 1
                missing = [line for line in code.splitlines() if line not in said.splitlines()]
                if missing:
                    failures.append(f"{what}: {missing[0]!r} is not printed, but:\n{said}")
            elif kind != "python" and not code.startswith(INSTALLING):
                failures.append(f"{what} is not run: it needs a title, or to be sh")
    return count


def unlisted():
    """Pages with code that no list of tests names."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        code = re.search(r"^```(sh|cpp|c|cmake|python)\b", path.read_text(encoding="utf-8"), re.M)
        if code and path.stem not in {*PAGES, *ELSEWHERE}:
            failures.append(f"docs/{path.name} has a block of {code.group(1)} and is in no list of tests")


def main():
    unlisted()
    counts = {name: page(name) for name in sys.argv[3:] or PAGES}
    failures.extend(f"docs/{name}.md: nothing was run" for name, count in counts.items() if count == 0)
    for failure in failures:
        print(failure)
    print(f"{sum(counts.values())} passed, {len(failures)} failed")
    return 1 if failures else 0


sys.exit(main())
