# SPDX-License-Identifier: Apache-2.0
"""Models that Keras wrote, with inputs and Keras' outputs for them: tests/fixtures and examples/models."""
import dataclasses
import json
import pathlib
import re

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOLERANCE = {"float32": (1e-5, 4e-6), "float64": (1e-6, 1e-7), "float16": (2e-3, 2e-3), "mixed_float16": (1e-2, 4e-3), "bfloat16": (3e-2, 3e-2),
             "mixed_bfloat16": (3e-2, 3e-2)}


@dataclasses.dataclass
class Case:
    name: str
    file: pathlib.Path
    inputs: dict
    outputs: list
    output_names: list
    dtype: str = "float32"


def cases(folder):
    """A folder's fixtures that consist of one file with weights. Rounding and special values are left to the library's own tests."""
    root = ROOT / "tests/fixtures" / folder
    made = []
    for entry in json.loads((root / "index.json").read_text(encoding="utf-8")):
        file = root / entry["file"]
        if "weights_file" in entry or not file.is_file() or re.search("special|extremes", entry["case"]):
            continue
        arrays = np.load(root / entry["arrays"])
        made.append(Case(f"{folder}_{entry['case']}", file, {name: arrays[key] for name, key in entry["inputs"].items()},
                         [arrays[key] for key in entry["outputs"]], entry["output_names"], entry["dtype"]))
    return made


def case(folder, name):
    return next(made for made in cases(folder) if made.name == f"{folder}_{name}")


def mlp():
    folder = ROOT / "examples/models"
    return Case("mlp", folder / "mlp.keras", {"pixels": np.load(folder / "mlp_input.npy")}, [np.load(folder / "mlp_expected.npy")], ["digit"])


def close(got, wanted, dtype="float32"):
    rtol, atol = TOLERANCE[dtype]
    return got.shape == wanted.shape and np.allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
