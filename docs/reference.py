#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the pages cpp.md and c-functions.md of the public headers: a heading for each name, its comment as text, its declaration as code.

Usage: reference.py FOLDER
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include/lamella"
HEADERS = ["model", "options", "tensor", "shape", "dtype", "device", "npy", "error", "activation", "models", "layer", "layers", "normalization_layers",
           "product_layers", "feature_layers", "initializer", "architecture"]
NAME = re.compile(r"(?:class|struct|enum class|concept|using)\s+(?:LAMELLA_API\s+)?(\w+)")
FUNCTION = re.compile(r"(operator[^\s(]+|~?\w+)\(")


def depth_after(line, depth):
    code = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'|//.*', "", line)
    return depth + code.count("{") - code.count("}")


def entities(lines):
    """What stands in namespace lamella itself: (comment, code) of each declaration, in order."""
    inside, comment, code, depth = False, [], [], 0
    for line in lines:
        if not inside:
            inside = line.startswith("namespace lamella {")
            continue
        if not code:
            if line.startswith("}") or line.startswith("#") or not line.strip():
                comment = [] if not line.startswith("#") else comment
                continue
            if line.startswith("//"):
                comment.append(line)
                continue
        code.append(line)
        depth = depth_after(line, depth)
        if depth == 0 and re.search(r"[;}]\s*(//.*)?$", line):
            yield comment, code
            comment, code = [], []


def public(code):
    """Without what a caller cannot use: private members, bodies of functions, marks for compilers and tools."""
    kept, depth, hidden, body = [], 0, False, None
    for line in code:
        before, depth = depth, depth_after(line, depth)
        if re.match(r" (private|protected):", line):
            hidden = True
        elif re.match(r" public:", line):
            hidden = False
        if depth == 0:
            hidden = False
        if hidden or "friend " in line and "operator==" not in line:
            continue
        if body is not None:  # inside of a function
            body = None if depth <= body else body
            continue
        line = re.sub(r" ?(LAMELLA_API|LAMELLA_LIFETIMEBOUND)\b|\s*// NOLINT.*|\[\[(nodiscard|maybe_unused)\]\] ", "", line)
        line = re.sub(r"///<? ?", "// ", re.sub(r"^(class|struct) +", r"\1 ", line))
        opened = re.search(r"\)[^;{]*\{", line)
        if before >= 1 and opened or before == 0 and opened and not NAME.search(line):
            line = re.sub(r"\s*\{.*$", ";", re.sub(r"\)((?: const| noexcept)*)\s*: \w.*$", r")\1;", line))
            body = before if depth > before else None
        kept.append(line.rstrip())
    return "\n".join(kept)


def prose(comment):
    text = "\n".join(re.sub(r"^///? ?", "", line) for line in comment if not line.startswith("// NOLINT"))
    return re.sub(r"([<>*\[\]])", r"\\\1", text)


def name_of(code):
    text = " ".join(line for line in code if not line.startswith("template"))
    found = NAME.match(text) or FUNCTION.search(text)
    return found.group(1) if found else None


def cpp():
    parts = ["# C++ reference\n\nMade of the headers. `#include <lamella/lamella.hpp>` has all of it; everything is in `namespace lamella`. "
             "What each function may throw stands in its comment; `std::bad_alloc` may leave any.\n"]
    names = 0
    for header in HEADERS:
        last, found = None, []
        for comment, code in entities((INCLUDE / f"{header}.hpp").read_text(encoding="utf-8").splitlines()):
            name = name_of(code)
            if name is None or re.match(r"(namespace|static_assert|#)", code[0]) or len(code) == 1 and re.match(r"(class|struct) \w+;", code[0]):
                continue
            if name != last:
                found.append(f"\n### {name}\n")
                names += 1
            found.append(f"\n{prose(comment)}\n\n```cpp\n{public(code)}\n```\n")
            last = name
        parts.append(f"\n## lamella/{header}.hpp\n" + "".join(found))
    return "".join(parts), names


def c():
    text = (INCLUDE / "lamella.h").read_text(encoding="utf-8").replace("LAMELLA_C_API ", "")
    rules = re.search(r"/\*\n \* lamella's C interface.*?\*/", text, re.S).group(0)
    rules = "\n".join(re.sub(r"^ \* ?|^/\*$|^ \*/$", "", line) for line in rules.splitlines())
    sections = re.split(r"/\* ---- (.*?) ---- \*/\n", text.split('extern "C" {\n#endif\n', 1)[1].split("#ifdef __cplusplus", 1)[0])
    parts = ["# C: every function\n\nMade of `lamella/lamella.h`. [From C](c.md) shows how they are used.\n" + rules.replace("- ", "\n- ", 1) + "\n"]
    for title, code in zip(["Version"] + sections[1::2], sections[0::2]):
        parts.append(f"\n## {title}\n\n```c\n{code.strip()}\n```\n")
    return "".join(parts), text.count("\nlamella_") + text.count("lamella_error* lamella_")


def main():
    folder = pathlib.Path(sys.argv[1])
    for file, (text, names), least in (("cpp.md", cpp(), 100), ("c-functions.md", c(), 20)):
        if names < least:
            sys.exit(f"reference.py: {file} has only {names} names")
        (folder / file).write_text(text, encoding="utf-8")


main()
