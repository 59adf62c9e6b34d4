#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints docs/layers.md from the reader's own tables: its classes and the arguments that it reads (src/keras/layers), its operations by their names in
Keras 3 and Keras 2 (src/keras/operations). What a class cannot do is the comment above its row, which counts for the rows that follow up to an empty
line; what an operation cannot do is written below. An argument that the reader refuses and no comment names is an error, and so is an operation without an entry.

Usage: layers.py [--write]     --write: writes docs/layers.md
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERAS = ROOT / "src/keras"
GROUPS = {"activations": "Dense and activations", "merges": "Several inputs", "products": "Other products, and wrappers",
          "normalizations": "Normalizations", "shapes": "Inputs, shapes, pooling, and what has no effect at inference", "lookups": "Lookups"}

TWO = "Two tensors of equally many axes, or a tensor and a constant of at most as many."
REDUCED = "Axes are named, and the batch is not among them. No `initial`, no `dtype`."
COMPARED = "A tensor and a number; integers with numbers below 2^53."
OPERATIONS = {
    "arithmetic": TWO, "negative": "", "parse_clip": "The limits are numbers.", "elementwise": "", "relu_operation": "", "gelu_operation": "",
    "round_operation": "To integers.", "identity": "", "cast": "To float32, float16, bfloat16 or float64.", "concatenate": "Not along the batch.",
    "stack": "Not along the batch.", "reshape": "The new shape begins with -1, the only one.", "transpose": "The batch stays first.", "expand_dims": "The batch stays first.",
    "squeeze": "Not the batch.", "parse_slice": "Ranges with steps, integers, `None`, `...`; the whole batch.", "reduce": REDUCED, "reduce_bools": REDUCED,
    "logical_not": "", "logical": "Two tensors.", "fill": "`dtype=\"bool\"`.", "comparison": COMPARED,
}


def functions(texts):
    """The body of each function by its name."""
    return {name: body for text in texts for name, body in re.findall(r"^(?:\[\[\w+\]\] )?[\w:<>, ]+? \*?(\w+)\([^;{]*\)(?: const)? \{\n(.*?)^\}", text, re.M | re.S)}


def reached(name, bodies, seen=None):
    """The body of a function, and of those of the same files that it calls, without what reads a layer inside."""
    seen = {"read_layer"} if seen is None else seen
    if name in seen or name not in bodies:
        return ""
    seen.add(name)
    return bodies[name] + "".join(reached(other, bodies, seen) for other in re.findall(r"\b(\w+)\(", bodies[name]))


def rows_with_limits(text):
    """Name, parser and limits of each row of a file's table."""
    limits, before = "", ""
    for line in text.partition("LayerClass rows[]")[2].splitlines()[1:]:
        row = re.match(r'      \{"(\w+)", (\w+)(?:<[^>]*>)?\},', line)
        comment = re.match(r"      // (.*)", line)
        if row:
            yield row[1], row[2], limits
        elif comment:
            limits = f"{limits} {comment[1]}" if before == "comment" else comment[1]
        elif line:
            return
        else:
            limits = ""
        before = "comment" if comment else "row"


def layers(failures):
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((KERAS / "layers").glob("*.cpp"))}
    bodies = functions(texts.values())
    out, found = [], []
    for group, title in GROUPS.items():
        out.append(f"\n## {title}\n\n| class | arguments | limits |\n|---|---|---|\n")
        for name, parser, limits in rows_with_limits(texts[group]):
            found.append(name)
            body = reached(parser, bodies)
            read = [key for part in re.findall(r"expect_only\(\s*\{([^}]*)\}", body) for key in re.findall(r'"(\w+)"', part)
                    if not re.search("_(initializer|regularizer|constraint)$", key)]
            for key in re.split(", ", ", ".join(re.findall(r'fail_field\(ErrorCode::unsupported,\s*"([^"]+)"', body))):
                if key and f"`{key}`" not in limits:
                    failures.append(f"src/keras/layers/{group}.cpp: the comment above {name} does not say that some of `{key}` is refused")
            out.append(f"| {name} | {', '.join(f'`{key}`' for key in dict.fromkeys(read))} | {limits} |\n")
    failures += [f"src/keras/layers/{stem}.cpp is in no group of docs/layers.py" for stem in texts if stem not in GROUPS and "LayerClass rows[]" in texts[stem]]
    return "".join(out), found


def operations(failures):
    rows = re.findall(r'\{"(\w+)", (\w+)(?:<[^>]*>)?\}', (KERAS / "operations/table.cpp").read_text(encoding="utf-8"))
    older = {}
    text = (KERAS / "operations/keras2.cpp").read_text(encoding="utf-8")
    for function, name in re.findall(r'\{"([\w.]+)", \{"(\w+)", \{', text):
        older.setdefault(name, []).append(f"`tf.{function}`")
    for operation, name in re.findall(r'^      \{"(\w+)", "(\w+)"\},', text, re.M):
        older.setdefault(name, []).append(f"{operation}")
    out = ["| Keras 3 | Keras 2: functions, and nodes of TensorFlow's graph | limits |\n|---|---|---|\n"]
    for name, parser in sorted(rows):
        if parser not in OPERATIONS:
            failures.append(f"docs/layers.py says nothing of the limits of the operation {name}")
        out.append(f"| {name} | {', '.join(older.get(name, []))} | {OPERATIONS.get(parser)} |\n")
    failures += [f"docs/layers.py knows the parser {parser}, which no operation has" for parser in OPERATIONS if parser not in {p for _, p in rows}]
    failures += [f"src/keras/operations/keras2.cpp maps to {name}, which is not an operation" for name in older if name not in {n for n, _ in rows}]
    return "".join(out), [name for name, _ in rows]


def page():
    failures = []
    layer_rows, names = layers(failures)
    operation_rows, found = operations(failures)
    if len(names) < 50 or len(found) < 70:
        failures.append(f"docs/layers.py found {len(names)} classes and {len(found)} operations only")
    text = f"""# Layers and operations

<!-- Printed by docs/layers.py from src/keras; do not edit. -->

What lamella runs, by Keras' names: {len(names)} layer classes and {len(found)} operations between layers. Sequential, Functional and Model may contain
each other. `lamella layers` prints the classes of your version.

- Everything else (convolutions, recurrent layers, attention) is refused when a file is loaded, with an error that names the
  layer. So is an argument that is neither listed here nor known to have no effect at inference.
- The tables leave out initializers, regularizers, constraints, names and dtypes.
- Code in a file (Lambda, TFSMLayer, TorchModuleWrapper) never runs.
- StringLookup, TextVectorization and HashedCrossing take strings, and are refused.

[Keras files](keras-files.md) says what Keras computes with masks, integers and categories, and how its versions differ.
{layer_rows}
## Operations between layers

In a Functional, `Dense(1, "tanh")(x) * 2.0` contains an operation, Multiply. Each sample is computed on its own: an operation that reduces, slices,
moves or broadcasts along the batch axis is refused.

Element-wise functions, reductions, and arithmetic with numbers and arrays take floating-point values. Add, Subtract, Multiply, Maximum and Minimum of
two tensors also take integers and bools.

{operation_rows}"""
    return text, failures


def main():
    text, failures = page()
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        return 1
    if "--write" in sys.argv[1:]:
        (ROOT / "docs/layers.md").write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


sys.exit(main())
