#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that no source file is longer than 400 lines and no function of C++, CUDA or Python longer than 60, its signature included.

Usage: lengths.py [ROOT]     Prints a line for each that is too long. Exit code: 1 if there is one.
"""
import ast
import bisect
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__ + "/../../..").resolve()
FILE_LINES, FUNCTION_LINES = 400, 60
FOLDERS = ("src", "include", "kernels", "tests", "python", "examples", "bench", "serving", "scripts", ".ci", "docs", "cmake", "docker")
CPP = {".cpp", ".hpp", ".c", ".h", ".cu", ".cuh"}
OTHER = {".def", ".sh", ".cmake", ".rs", ".f90", ".Dockerfile"}
# What holds no braces of the program: comments, literals and directives; ''' in numbers separates digits.
NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'|^[ \t]*\#(?:\\\n|[^\n])*""",
    re.S | re.M)
SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum)\b|^\s*extern\s*$")
TEMPLATE = re.compile(r"\btemplate\s*<")
BRACKETS = {"(": ")", "[": "]", "{": "}"}


def blanked(text):
    """The program without comments, literals and directives, each replaced by as many lines of spaces."""
    return NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def closing(text, at):
    """The place of the bracket that closes the one at a place."""
    depth, opens, closes = 0, text[at], BRACKETS[text[at]]
    for place in range(at, len(text)):
        depth += (text[place] == opens) - (text[place] == closes)
        if depth == 0:
            return place
    raise ValueError(f"no {closes} for a {opens}")


def without_template(head):
    """What follows a `template <...>`, whose keywords and defaults say nothing about what is declared."""
    found = TEMPLATE.search(head)
    while found:
        depth, at = 1, found.end()
        while depth and at < len(head):
            depth += (head[at] == "<") - (head[at] == ">" and head[at - 1] != "-")
            at += 1
        head = head[:found.start()] + head[at:]
        found = TEMPLATE.search(head)
    return head


def blocks(text):
    """(first, last) places of every outermost block that is not the inside of a namespace or a type: functions, and initializers of tables."""
    start = at = 0
    while at < len(text):
        if text[at] in "([":
            at = closing(text, at)
        elif text[at] in ";}":
            start = at + 1
        elif text[at] == "{":
            head = without_template(text[start:at])
            if SCOPE.search(re.sub(r"\(.*", "", head, flags=re.S)) and not head.rstrip().endswith(")"):  # else a function that returns one
                start = at + 1
            else:
                end = closing(text, at)
                after = text[end + 1:].lstrip()[:1]
                if after not in ("{", ",", ";"):  # a member's initializer before the body, or a variable's
                    yield start + len(text[start:at]) - len(text[start:at].lstrip()), end
                    start = end + 1
                at = end
        at += 1


def cpp_functions(text):
    code = blanked(text)
    lines = [at for at, letter in enumerate(code) if letter == "\n"]
    for first, last in blocks(code):
        begin, end = bisect.bisect_left(lines, first), bisect.bisect_left(lines, last)
        yield begin + 1, end - begin + 1


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


def kind(path):
    """The kind of source that a file is; None for data, pictures and pages."""
    if path.suffix in CPP:
        return "C++"
    if path.suffix == ".py":
        return "Python"
    if path.suffix in OTHER or path.name == "CMakeLists.txt":
        return "other"
    if path.suffix == "":
        with path.open("rb") as file:
            first = file.readline()
        return "Python" if first.startswith(b"#!") and b"python" in first else "other" if first.startswith(b"#!") else None
    return None


def sources():
    yield from ROOT.glob("CMakeLists.txt")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path


def main():
    failures = []
    for path in sources():
        of = kind(path)
        if of is None:
            continue
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            failures.append(f"{name} has {lines} lines; {FILE_LINES} is the most")
        try:
            functions = {"C++": cpp_functions, "Python": python_functions, "other": lambda _: ()}[of](text)
            failures += [f"{name}:{line}: a function of {count} lines; {FUNCTION_LINES} is the most" for line, count in functions if count > FUNCTION_LINES]
        except (SyntaxError, ValueError) as error:
            failures.append(f"{name}: functions cannot be counted: {error}")
    print(*failures, sep="\n", end="\n" if failures else "")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
