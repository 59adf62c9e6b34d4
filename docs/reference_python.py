# SPDX-License-Identifier: Apache-2.0
"""The page python-names.md of docs/reference.py: what the package's __all__ names, by its sources' annotations and docstrings."""
import ast
import pathlib
import re

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "python/lamella"
PYTHON = {"nb::none()": "None", "true": "True", "false": "False"}
SHOWN = ("__init__", "__call__")  # beside names without an underscore


def definitions():
    """The classes and functions of the package by name; __init__.py's own come last, as they do there."""
    files = sorted(PACKAGE.glob("_*.py"), key=lambda path: path.name == "__init__.py")
    return {node.name: node for path in files for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def layers():
    """The classes that python/src/layers.cpp binds, by name: their signatures and docstrings."""
    found = {}
    text = (PACKAGE.parent / "src/layers.cpp").read_text(encoding="utf-8")
    for call in re.findall(r"^  bind_(?:layer|plain<\w+>)\((\s*module, \".*?)\);(?=\n(?:  \w|\}))", text, re.M | re.S):
        name, docstring = re.match(r'\s*module, "(\w+)",\s*((?:"[^"]*"\s*)+)', call).groups()
        arguments = [argument + (f"={PYTHON.get(value, value)}" if value else "") for argument, value in
                     re.findall(r'nb::arg\("(\w+)"\)(?:\.none\(\))?(?: = (nb::none\(\)|"[^"]*"|[-\w.]+))?', call)]
        found[name] = (f"{name}({', '.join([*arguments, '*', 'name=None', 'trainable=True', 'dtype=None'])})", "".join(re.findall(r'"([^"]*)"', docstring)))
    return found


def exported():
    for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    raise SystemExit("reference_python.py: the package has no __all__")


def prose(docstring):
    """Text with its examples as code."""
    text = re.sub(r"^(>>> .*\n(?:.+\n)*)", r"```pycon\n\1```\n", (docstring or "") + "\n", flags=re.M)
    return f"\n{text.rstrip()}\n" if docstring else ""


def signature(node, owner=None):
    arguments = ast.unparse(node.args)
    if owner:
        arguments = re.sub(r"^self(, )?", "", arguments)
    if any(getattr(d, "id", "") == "property" for d in node.decorator_list):
        return f"{owner}.{node.name}: {ast.unparse(node.returns)}"
    name = {"__init__": owner, "__call__": "model"}.get(node.name) or (f"{owner}.{node.name}" if owner else node.name)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    return f"{name}({arguments}){returns}"


def fields(node):
    """The public fields of a class as code, each with the docstring that follows it."""
    lines = []
    for item, after in zip(node.body, node.body[1:] + [None]):
        if isinstance(item, ast.AnnAssign) and not item.target.id.startswith("_"):
            about = after.value.value if isinstance(after, ast.Expr) and isinstance(getattr(after.value, "value", None), str) else ""
            lines.append(f"{node.name}.{item.target.id}: {ast.unparse(item.annotation)}" + (f"  # {' '.join(about.split())}" if about else ""))
    return "\n```python\n" + "\n".join(lines) + "\n```\n" if lines else ""


def page():
    known, out = definitions(), ["# Python: every name\n\nMade of the package's annotations and docstrings. [From Python](python.md) shows how they are used.\n"]
    names, bound = exported(), layers()
    for name in names:
        out.append(f"\n## {name}\n")
        if name in bound:
            out.append("\n```python\n{}\n```\n\n{}\n".format(*bound[name]))
            continue
        node = known[name]
        if isinstance(node, ast.FunctionDef):
            out.append(f"\n```python\n{signature(node)}\n```\n{prose(ast.get_docstring(node))}")
            continue
        bases = ", ".join(base.id for base in node.bases if isinstance(base, ast.Name))
        out.append(prose(ast.get_docstring(node)) + (f"\nDerived from {bases}.\n" if bases else "") + fields(node))
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and ast.get_docstring(item) and (item.name in SHOWN or not item.name.startswith("_")):
                out.append(f"\n```python\n{signature(item, name)}\n```\n{prose(ast.get_docstring(item))}")
    return "".join(out), len(names)
