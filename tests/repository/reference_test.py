#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/reference.py: the declarations of C++ in its page compile, and no public name of the headers, of what the library exports or of the Python package
is missing.

Usage: reference_test.py CXX GENERATED_INCLUDES
"""
import ast
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CXX, GENERATED = sys.argv[1:3]
PROTECTED = ["expect_elements", "expect_host"]  # exported, because public templates call them
failures = []


def sections(page):
    """The code below each heading, joined where a name has several."""
    found = {}
    for name, text in re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", page, re.M | re.S):
        found[name] = found.get(name, "") + "\n".join(re.findall(r"^```cpp\n(.*?)^```", text, re.M | re.S))
    return found


def exported(found):
    """What the library exports, from tests/install/interface.txt."""
    listed = (ROOT / "tests/install/interface.txt").read_text(encoding="utf-8")
    count = 0
    for line in subprocess.run(["c++filt"], input=listed, capture_output=True, text=True, check=True).stdout.splitlines():
        line = re.sub(r"\[abi:\w+\]", "", line)
        name = re.match(r"lamella::(\w+)(?:::([^(]+(?:\(\))?))?\(", line)
        if name is None or name.group(1) in ("core", "detail", "keras", "model", "ops") or name.group(2) in PROTECTED:
            continue
        count += 1
        owner, member = name.groups()
        member = (member or owner).split("<")[0].replace("operator lamella::", "operator ")
        if owner not in found:
            failures.append(f"cpp.md has no heading {owner}, which the library exports")
        elif not re.search(rf"{re.escape(member)}\(", found[owner].replace("  ", " ")):
            failures.append(f"cpp.md does not declare {line}")
    if count < 150:
        failures.append(f"only {count} exported functions were found")


def of_headers(found):
    """Names at the start of a declaration, and functions whose result may not be discarded, of every header."""
    code = "\n".join(found.values())
    for path in sorted((ROOT / "include/lamella").glob("*.hpp")):
        text = re.sub(r"^namespace (\w+) \{\n.*?^\}  // namespace \1\n", "", path.read_text(encoding="utf-8").replace("namespace lamella {", ""), flags=re.M | re.S)
        text = re.sub(r"^ (private|protected):\n.*?^(?=\};)", "", re.sub(r"//.*", "", text), flags=re.M | re.S)
        for name in re.findall(r"^(?:class|struct|enum class|using)\s+(?:LAMELLA_API\s+)?(\w+)(?! *;)\b", text, re.M):
            if name not in found and not re.search(rf"^(?:class|struct) {name};", text, re.M):
                failures.append(f"cpp.md has no heading {name}, which lamella/{path.name} declares")
        for name in re.findall(r"\[\[nodiscard\]\][^;{(]*?([\w]+|operator\S+)\(", text):
            if f"{name}(" not in code:
                failures.append(f"cpp.md does not declare {name}() of lamella/{path.name}")


def enumerators(found):
    """What the compiler makes of the enumerations, some of whose enumerators are rows of a .def file."""
    done = subprocess.run([CXX, "-std=c++20", "-E", "-P", f"-I{ROOT}/include", f"-I{GENERATED}", "-x", "c++", "-"], input="#include <lamella/lamella.hpp>\n",
                          capture_output=True, text=True, check=True)
    enums = {name: body for name, body in re.findall(r"^enum class (\w+)[^{;]*\{(.*?)\};", done.stdout, re.M | re.S) if name in found}
    for name, body in enums.items():
        shown = re.sub(r"//.*", "", re.search(rf"enum class {name}[^{{]*\{{(.*?)\}};", found[name], re.S).group(1))
        if re.findall(r"\w+", body) != re.findall(r"\w+", shown):
            failures.append(f"cpp.md has other enumerators of {name} than the header")
    if len(enums) < 8:
        failures.append(f"only {len(enums)} enumerations were found")


def compiles(found):
    """Each declaration in a namespace of its own, where the names of the others are the real ones."""
    blocks = [f"namespace page_{i} {{\n#line 1 \"{name}\"\n{code}\n}}" for i, (name, code) in enumerate(found.items())]
    program = "#include <lamella/lamella.hpp>\nnamespace lamella {\n" + "\n".join(blocks) + "\n}\n"
    done = subprocess.run([CXX, "-std=c++20", "-fsyntax-only", "-w", f"-I{ROOT}/include", f"-I{GENERATED}", "-x", "c++", "-"], input=program, capture_output=True, text=True)
    if done.returncode != 0:
        failures.append("the declarations of cpp.md do not compile:\n" + "\n".join(done.stderr.splitlines()[:20]))


def c_and_python(folder):
    page = (folder / "c-functions.md").read_text(encoding="utf-8")
    for name in re.findall(r"\b(lamella_\w+)\(", (ROOT / "include/lamella/lamella.h").read_text(encoding="utf-8")):
        if f"{name}(" not in page:
            failures.append(f"c-functions.md does not have {name}()")
    page = (folder / "python-names.md").read_text(encoding="utf-8")
    package = (ROOT / "python/lamella/__init__.py").read_text(encoding="utf-8")
    for name in ast.literal_eval(re.search(r"^__all__ = (\[.*?\])", package, re.M | re.S).group(1)):
        if f"\n## {name}\n" not in page:
            failures.append(f"python-names.md does not have {name}")
    for name in re.findall(r"^    def ([a-z]\w*)\(self", (ROOT / "python/lamella/_model.py").read_text(encoding="utf-8"), re.M):
        if f"\nModel.{name}" not in page:
            failures.append(f"python-names.md does not have Model.{name}")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([sys.executable, ROOT / "docs/reference.py", folder], check=True)
        found = sections((folder / "cpp.md").read_text(encoding="utf-8"))
        exported(found)
        of_headers(found)
        enumerators(found)
        compiles(found)
        c_and_python(folder)
    for failure in failures:
        print(failure)
    print(f"{0 if failures else 1} passed, {len(failures)} failed")
    return 1 if failures else 0


sys.exit(main())
