#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the pages: they agree with the command, links resolve, names of the interface exist, the README is short and links to every page.

Usage: docs_test.py [--write] [LAMELLA]     without LAMELLA, the command, nothing is compared with it; --write puts docs/command.md and
docs/errors.md right (docs/layers.md: docs/layers.py --write)
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORDS = [word for word in sys.argv[1:] if word != "--write"]
LAMELLA = WORDS[0] if WORDS else None
WRITE = "--write" in sys.argv[1:]
BLOCK = re.compile(r"(<!-- lamella completion markdown -->\n)(.*?)(<!-- end -->)", re.S)
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")
MOST_LINES = 150
failures = []


def fail(*what):
    failures.append(" ".join(map(str, what)))


def prose(text):
    """The text without code, in which nothing is a link."""
    return re.sub(r"```.*?^```|`[^`\n]*`", "", text, flags=re.S | re.M)


def anchors(text):
    """The anchors that GitHub makes from headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h).lower()).replace(" ", "-") for h in headings}


def pages():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() if listed.returncode == 0 and listed.stdout else []
    return [ROOT / name for name in names] or [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def links():
    count = 0
    for page in pages():
        for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            path, _, anchor = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            if not to.exists():
                fail(f"{page.relative_to(ROOT)}: the link {target} leads nowhere")
            elif anchor and to.suffix == ".md" and anchor not in anchors(to.read_text(encoding="utf-8")):
                fail(f"{page.relative_to(ROOT)}: {to.name} has no heading #{anchor}")
    if count < 30:
        fail(f"only {count} links were found")


def form():
    """A page names another by a link, and no item of a list is indented below one that it does not belong to."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if page.parent.name == "docs":
            for name in re.findall(r"`docs/([a-z_-]+\.md)`", text):
                fail(f"{page.relative_to(ROOT)}: names `docs/{name}` without a link")
        for line in re.findall(r"^ {1,3}- .*$", re.sub(r"```.*?^```", "", text, flags=re.S | re.M), re.M):
            fail(f"{page.relative_to(ROOT)}: the site shows this item as text: {line[:60]}")


def landing():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    if len(text.splitlines()) > MOST_LINES:
        fail(f"README.md has {len(text.splitlines())} lines; {MOST_LINES} are the most")
    for page in sorted((ROOT / "docs").glob("*.md")):
        if f"(docs/{page.name})" not in text:
            fail(f"README.md has no link to docs/{page.name}")
        if page.name != "README.md" and f"({page.name})" not in index:
            fail(f"docs/README.md has no link to {page.name}")


def errors():
    """docs/errors.md lists every code of lamella/error.hpp with its description there."""
    text = (ROOT / "include/lamella/error.hpp").read_text(encoding="utf-8")
    codes = re.findall(r"^  (\w+),\s+///< (.*)$", text[text.index("enum class ErrorCode"):text.index("};")], re.M)
    if len(codes) < 10:
        fail(f"only {len(codes)} codes were found in lamella/error.hpp")
    lines = "".join(f"| `{name}` | `E_{name.upper()}` | {meaning} |\n" for name, meaning in codes)
    page = ROOT / "docs/errors.md"
    found = page.read_text(encoding="utf-8")
    fresh = re.sub(r"(<!-- errors -->\n).*?(<!-- end -->)", lambda m: f"{m.group(1)}| `ErrorCode::` | in messages | when |\n|---|---|---|\n{lines}{m.group(2)}",
                   found, flags=re.S)
    if WRITE:
        page.write_text(fresh, encoding="utf-8")
    elif fresh != found:
        fail("docs/errors.md is not what lamella/error.hpp says; tests/repository/docs_test.py --write puts it right")


def layers():
    """docs/layers.md is what the reader's tables say, and has the classes that the command has."""
    made = subprocess.run([sys.executable, ROOT / "docs/layers.py"], capture_output=True, text=True)
    if made.returncode != 0:
        fail(made.stderr.rstrip())
    text = (ROOT / "docs/layers.md").read_text(encoding="utf-8")
    if made.returncode == 0 and made.stdout != text:
        fail("docs/layers.md is not what src/keras says; docs/layers.py --write puts it right")
    if LAMELLA:
        told = json.loads(run("layers", "--json").stdout)["layers"]
        rows = re.findall(r"^\| (\w+) \|", text.split("## Operations")[0], re.M)
        if sorted(told) != sorted(set(rows) - {"class"}):
            fail("docs/layers.md and lamella layers differ in", set(told) ^ (set(rows) - {"class"}))
        if "docs/layers.md" not in run("layers").stdout:
            fail("lamella layers does not name docs/layers.md")


def steps():
    """The two commands of the README announce each of their steps, and how many there are."""
    for name in ("demo", "test"):
        told = re.findall(r'^step "(\d) of (\d): ', (ROOT / "scripts" / name).read_text(encoding="utf-8"), re.M)
        if len(told) < 2 or told != [(str(i + 1), str(len(told))) for i in range(len(told))]:
            fail(f"scripts/{name} announces the steps {told}")


def interface():
    """Names of the C++ interface in pages are declared by a public header: lamella::NAME outside any class, CLASS::MEMBER in that class' header."""
    headers = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "include/lamella").glob("*.h*"))]
    free = set(re.findall(r"\w+", "\n".join(re.findall(r"^(?!//|#)\S.*$", "\n".join(headers), re.M))))
    members = {}
    for text in headers:
        for name in re.findall(r"^(?:class|struct|enum class) (?:LAMELLA_API )?(\w+)", text, re.M):
            members.setdefault(name, set()).update(re.findall(r"\w+", text))
    count = 0
    for page in pages():
        if page.name == "CHANGELOG.md":  # it also mentions names that were removed
            continue
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"\blamella::(\w+)", text):
            count += 1
            if name not in free:
                fail(f"{page.relative_to(ROOT)}: no public header declares lamella::{name}")
        for name, member in re.findall(r"(?<!\w::)\b([A-Z]\w+)::(\w+)", text):
            count += name in members
            if name in members and member not in members[name]:
                fail(f"{page.relative_to(ROOT)}: {name} has no member {member}")
    if count < 20:
        fail(f"only {count} names of the interface were found")


def run(*words):
    return subprocess.run([LAMELLA, *words], capture_output=True, text=True)


def command():
    page = ROOT / "docs/command.md"
    text = page.read_text(encoding="utf-8")
    made = run("completion", "markdown").stdout
    fresh = BLOCK.sub(lambda m: m.group(1) + made.rstrip("\n") + "\n" + m.group(3), text)
    if WRITE:
        page.write_text(fresh, encoding="utf-8")
    elif fresh != text or not made:
        fail("docs/command.md is not what the command says; tests/repository/docs_test.py --write LAMELLA puts it right")
    help_text = run("--help").stdout
    codes = dict(re.findall(r"^  (\d)  (.*)$", help_text, re.M))
    told = dict(re.findall(r"^\| (\d) \| ([^|]*) \|$", text, re.M))
    if set(codes) != set("0123456") or any(not told.get(code, "").startswith(words) for code, words in codes.items()):
        fail("docs/command.md and --help have other exit codes:", codes, told)
    variables = set(re.findall(r"^  (LAMELLA_\w+)", help_text, re.M))
    if variables != set(re.findall(r"^\| `(LAMELLA_\w+)` \|", text, re.M)) or len(variables) < 3:
        fail("docs/command.md and --help have other variables")
    verbs = re.findall(r"^### lamella (\w+)$", made, re.M)
    for page in pages():
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"^ *lamella .*$", "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)), re.M)
        for verb, rest in re.findall(r"lamella (\w+)((?: [^`\n#]*)?)", "\n".join(lines + re.findall(r"`lamella [^`\n]*`", text))):
            if verb not in verbs and verb not in ("VERB", "help", "version"):
                fail(f"{page.relative_to(ROOT)}: the command has no verb '{verb}'")
                continue
            known = run(verb, "--help").stdout if verb in verbs else "--help"
            for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
                if option not in known:
                    fail(f"{page.relative_to(ROOT)}: lamella {verb} has no option {option}")


def main():
    links()
    form()
    landing()
    errors()
    layers()
    steps()
    interface()
    if LAMELLA:
        command()
    for failure in failures:
        print(failure)
    print(f"{0 if failures else 1} passed, {len(failures)} failed")
    return 1 if failures else 0


sys.exit(main())
