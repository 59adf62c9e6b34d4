# SPDX-License-Identifier: Apache-2.0
"""Examples in docstrings, in docs/python.md and in the README run; the stubs are what the module is."""
import doctest
import importlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import MLP, ROOT

import lamella

MODULES = ["", "._activation", "._arrays", "._build", "._errors", "._foreign", "._keras", "._model", "._torch", "._verify", "._weights"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name, mlp, x, monkeypatch):
    monkeypatch.chdir(MLP.parent)
    found = doctest.testmod(importlib.import_module("lamella" + name), extraglobs={"lamella": lamella, "np": np, "m": mlp, "x": x})
    assert found.failed == 0


def test_the_public_names_have_docstrings():
    for name in lamella.__all__:
        thing = getattr(lamella, name)
        assert thing.__doc__, name
        for inner, value in vars(thing).items() if isinstance(thing, type) else []:
            assert inner.startswith("_") or not callable(value) or value.__doc__, f"{name}.{inner}"


@pytest.mark.parametrize("page", ["docs/python.md", "README.md", "docs/get-started.md", "docs/quantized.md", "docs/dense_or_activation.md"])
def test_examples_of_the_page(page, monkeypatch, tmp_path):
    """Its blocks of Python, one after another; what they read is there."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_bytes(MLP.read_bytes())
    np.save("x.npy", np.load(MLP.parent / "mlp_input.npy"))
    exec(compile("".join(blocks), page, "exec"), {"keras_model": keras.saving.load_model(MLP), "__name__": "page"})


def mypy(*words, cwd):
    ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=cwd)
    return ended.returncode, ended.stdout


def test_stubs_and_annotations(tmp_path):
    # Functions and classes of nanobind are of kinds of their own, which is all that may differ.
    (tmp_path / "allowed").write_text(r"lamella\._core\.([A-Za-z]\w*|(KerasTensor|NewLayer)\.__init__)" + "\n")
    assert mypy("mypy.stubtest", "lamella._core", "--allowlist", "allowed", cwd=tmp_path)[0] == 0
    status, text = mypy("mypy", "--strict", "--allow-any-generics", "-p", "lamella", cwd=tmp_path)
    assert status == 0, text


def test_programs_are_type_checked(tmp_path):
    (tmp_path / "program.py").write_text("""
import lamella
m: lamella.Model = lamella.load(b"", device="cpu")
names: list[str] = m.input_names
shapes: list[tuple[int | None, ...]] = m.output_shapes
good: bool = bool(m.verify(None, [1.0]))
code: str = lamella.LoadError("").code
m.predict()
m.none_such
""")
    _, text = mypy("mypy", "--strict", "program.py", cwd=tmp_path)
    assert [line.split(":")[1] for line in text.splitlines() if ": error:" in line] == ["8", "9"], text
