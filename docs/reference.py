#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the pages cpp.md, c-functions.md and python-names.md of the public headers and of the Python package: a heading for each name, its comment or
docstring as text, its declaration as code. tests/repository/reference_test.py compiles the declarations of C++ and looks for every name.

Usage: reference.py FOLDER
"""
import pathlib
import re
import sys
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import reference_python

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include/lamella"
FIRST = ["model", "options", "tensor", "shape", "dtype", "device"]  # the others follow in alphabetical order
NO_NAMES = ["lamella", "export"]                                    # all headers in one, and macros
NAME = re.compile(r"\b(?:class|struct|enum class|concept|using)\s+(\w+)")
FUNCTION = re.compile(r"(operator[^\s(]+|~?\w+)\(")
VARIABLE = re.compile(r"(\w+) =")
WIDTH = 130


def headers():
    names = sorted(path.stem for path in INCLUDE.glob("*.hpp") if path.stem not in NO_NAMES)
    return sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def literal_end(text, i):
    """Where a comment, string or character that begins at i ends; i, if none does."""
    if text.startswith("//", i):
        return text.find("\n", i)
    if text[i] == '"' or text[i] == "'" and not text[i - 1].isalnum():
        return re.compile(r"(?:\\.|[^\\%s])*%s" % (text[i], text[i]), re.S).match(text, i + 1).end()
    return i


def closing(text, i):
    """The index of the brace that closes the one at i."""
    depth = 0
    while True:
        end = literal_end(text, i)
        if end != i:
            i = end
            continue
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i
        i += 1


def entities(text):
    """The declarations of namespace lamella itself: (comment, code) of each, in order."""
    text = text[text.index("namespace lamella {") + len("namespace lamella {"):text.rindex("}  // namespace lamella")]
    comment, i, start = [], 0, None
    while i < len(text):
        if start is None:
            line = text[i:text.find("\n", i) + 1]
            if line.startswith(("///", "//")):
                comment.append(line.rstrip("\n"))
            elif not line.strip() or line.startswith("#"):
                comment = []
            else:
                start = i
                continue
            i += len(line)
            continue
        end = literal_end(text, i)
        if end != i:
            i = end
        elif text[i] == "{":
            i = closing(text, i) + 1
            if re.match(r" *(//.*)?\n", text[i:]):  # a function with its body, or a namespace
                yield comment, text[start:i]
                comment, start, i = [], None, text.find("\n", i) + 1
        elif text[i] == ";":
            i = text.find("\n", i) + 1
            yield comment, text[start:i - 1]
            comment, start = [], None
        else:
            i += 1


def declared(head):
    """A declaration without comments and without what is in parentheses."""
    head, before = re.sub(r"//.*", "", head), None
    while head != before:
        head, before = re.sub(r"\([^()]*\)", "<>", head), head
    return re.sub(r"template\s*<.*?>(?=\s*(?:class|struct|requires|inline|constexpr|static|\[|\w))", "", head, flags=re.S)


def without_bodies(text):
    """Declarations in place of definitions: `f() const { ... }` becomes `f() const;`, and a constructor loses its initializers."""
    out, start, parentheses, i = "", 0, 0, 0
    while i < len(text):
        end = literal_end(text, i)
        if end != i:
            out, i = out + text[i:end], end
            continue
        c = text[i]
        parentheses += (c == "(") - (c == ")")
        if c == "{" and parentheses == 0:
            head = declared(out[start:])
            if "<>" in head and not re.search(r"\b(class|struct|enum|concept)\b", head):
                initializers = re.search(r"(?<=[)\w&])\s*(?<!:):(?!:)", cut(out, start))
                i = closing(text, i) + 1
                if initializers and re.search(r"[\w>]\s*$", out):  # of a member, by braces
                    out += "()"
                    continue
                out = (out[:start + initializers.start()] if initializers else out).rstrip() + ";"
                start = len(out)
                continue
        out, i = out + c, i + 1
        if parentheses == 0 and (c in ";{}" or re.search(r"^ (public|private|protected):$", out[start:], re.M)):
            start = len(out)
    return out


def cut(out, start):
    """out[start:], what is in parentheses and comments blanked, so that places stay."""
    text = re.sub(r"//.*", lambda m: " " * len(m.group()), out[start:])
    before = None
    while text != before:
        text, before = re.sub(r"\([^()]*\)", lambda m: "\0" * (len(m.group()) - 1) + "\1", text), text
    return text.replace("\1", ")")


def on_one_line(code):
    """A declaration of several lines as one, broken where it is too long."""
    out, parentheses = "", 0
    for part in re.split(r"(\n *)", code):
        parentheses += part.split("//")[0].count("(") - part.split("//")[0].count(")")
        out += " " if part.startswith("\n") and parentheses > 0 and not out.endswith("(") else "" if part.startswith("\n") and parentheses > 0 else part
    lines = []
    for line in out.split("\n"):
        indent = re.match(" *", line).group()
        lines += [line] if len(line) <= WIDTH or "//" in line else textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ",
                                                                               break_long_words=False, break_on_hyphens=False, drop_whitespace=True)
    return "\n".join(lines)


def enumerators(match):
    """What the rows of a .def file become."""
    rows = (INCLUDE / f"{match.group(2)}.def").read_text(encoding="utf-8")
    macros = re.findall(r"#define (\w+)\(", match.group(1))
    for other, meant in re.findall(r"^#define (\w+)\(\.\.\.\) (\w+)\(__VA_ARGS__\)", rows, re.M):
        macros += [other] if meant in macros else []
    names = re.findall(rf"^(?:{'|'.join(macros)}) *\(\s*(\w+)", rows, re.M)
    return textwrap.fill(", ".join(names) + ",", WIDTH, initial_indent="  ", subsequent_indent="  ") + "\n"


def public(code):
    """Without what a caller cannot use: private members, bodies of functions, marks for compilers and tools."""
    code = re.sub(r"((?:#define .*\n)+)#include <lamella/(\w+)\.def>\n", enumerators, code)
    code = re.sub(r"\bLAMELLA_API | LAMELLA_LIFETIMEBOUND\b|\s*// NOLINT.*|\[\[(nodiscard|maybe_unused)\]\] ", "", code)
    kept, hidden = [], False
    for line in on_one_line(without_bodies(code)).split("\n"):
        if re.match(r" (private|protected|public):", line):
            hidden = "public" not in line
        hidden = hidden and line != "};"
        if not hidden and not ("friend " in line and "operator==" not in line):
            kept.append(re.sub(r"///<? ?", "// ", line).rstrip())
    return re.sub(r"\n+\};", "\n};", "\n".join(kept))


def prose(comment):
    text = "\n".join(re.sub(r"^///? ?", "", line) for line in comment if not line.startswith("// NOLINT"))
    return re.sub(r"([<>*\[\]])", r"\\\1", text)


def name_of(code):
    head = re.sub(r"^(template\s*<[^>]*>|requires .*)\s*", "", code)
    head = head.split(";")[0].split("{")[0]
    found = NAME.match(head) or FUNCTION.search(head) or VARIABLE.search(head)
    return found.group(1) if found else None


def cpp():
    parts = ["# C++ reference\n\nMade of the headers. `#include <lamella/lamella.hpp>` has all of it; everything is in `namespace lamella`. "
             "The comment of each\nfunction says what it throws; any function may throw `std::bad_alloc`, too.\n"]
    names = 0
    for header in headers():
        text = (INCLUDE / f"{header}.hpp").read_text(encoding="utf-8")
        last, found = None, []
        for comment, code in entities(text):
            code = re.sub(r"\bLAMELLA_API ", "", code)
            name = name_of(code)
            if name is None or re.match(r"(namespace|static_assert|(class|struct) \w+;$)", code):
                continue
            if name != last:
                found.append(f"\n### {name}\n")
                names += 1
            about = prose(comment)
            found.append((f"\n{about}\n" if about else "") + f"\n```cpp\n{public(code)}\n```\n")
            last = name
        purpose = prose(re.findall(r"^/// .*$", text[:text.index("#pragma once")], re.M))
        parts.append(f"\n## lamella/{header}.hpp\n" + (f"\n{purpose}\n" if purpose else "") + "".join(found))
    return "".join(parts), names


def c():
    text = (INCLUDE / "lamella.h").read_text(encoding="utf-8").replace("LAMELLA_C_API ", "")
    rules = re.search(r"/\*\n \* lamella's C interface.*?\*/", text, re.S).group(0)
    rules = "\n".join(re.sub(r"^ \* ?|^/\*$|^ \*/$", "", line) for line in rules.splitlines())
    sections = re.split(r"/\* ---- (.*?) ---- \*/\n", text.split('extern "C" {\n#endif\n', 1)[1].split("#ifdef __cplusplus", 1)[0])
    parts = ["# C: every function\n\nMade of `lamella/lamella.h`. [From C](c.md) shows how they are used.\n" + rules.replace("- ", "\n- ", 1) + "\n"]
    for title, code in zip(["Version"] + sections[1::2], sections[0::2]):
        parts.append(f"\n## {title}\n\n```c\n{code.strip()}\n```\n")
    return "".join(parts), len(set(re.findall(r"\blamella_\w+(?=\()", text)))


def main():
    folder = pathlib.Path(sys.argv[1])
    for file, (text, names), least in (("cpp.md", cpp(), 100), ("c-functions.md", c(), 20), ("python-names.md", reference_python.page(), 15)):
        if names < least:
            sys.exit(f"reference.py: {file} has only {names} names")
        (folder / file).write_text(text, encoding="utf-8")


main()
