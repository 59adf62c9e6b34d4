#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The version is written once, in CMakeLists.txt: what is built from it, the pages and, on a release, the tag agree (CONTRIBUTING.md, Releases).

Usage: version_test.py [VERSION_HPP LAMELLA]     without them only the sources are compared; LAMELLA is the command
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NUMBER = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
SECTION = r"\A# Changelog\n\n## (?P<unreleased>Unreleased: )?(?P<value>[\d.]+)(?(unreleased)| \(\d{4}-\d\d-\d\d\))$"
failures = []


def found(where, pattern, text, what):
    """The version that `pattern` finds; None, and a failure, where it does not."""
    match = re.search(pattern, text, re.M)
    if match is None:
        failures.append(f"{where}: found no {what}")
        return None
    return match.group("value")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def git(*words):
    """The words that git prints; none without git, or without a repository."""
    if shutil.which("git") is None:
        return []
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


def python_package(name):
    """A pyproject.toml has an expression that finds the version; it must not have a version of its own, nor pin the other package to one."""
    text = read(name)
    if re.search(r"^version *=|lamella(-cuda13)?(\[\w+\])?==\d", text[text.index("[project]"):], re.M):
        failures.append(f"{name}: has a version of its own")
    part = text[text.index("[tool.scikit-build.metadata.version]"):]
    source = str((ROOT / name).parent / re.search(r'^input = "(.*)"$', part, re.M).group(1))
    expression = re.search(r"^regex = '(.*)'$", part, re.M).group(1)
    return found(f"{name}'s regex in {source}", expression, read(source), "version")


def names_of_packages(version):
    """The library's file and its Debian package have the major version in their names, which pages and Dockerfiles repeat."""
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("docker/*"), ROOT / "README.md"]
    for page in sorted(pages):
        for major in sorted(set(re.findall(r"\bliblamella(?:\.so\.)?(\d+)", page.read_text(encoding="utf-8")))):
            if major != version.split(".", maxsplit=1)[0]:
                failures.append(f"{page.relative_to(ROOT)}: names liblamella {major}; the version is {version}")
    page = "docs/embedding.md"
    wanted = found(page, r"find_package\(lamella (?P<value>[\d.]+) REQUIRED\)", read(page), "find_package with a version")
    if wanted is not None and not (version + ".").startswith(wanted + "."):
        failures.append(f"{page}: find_package asks for {wanted}; the version is {version}")


def tags(version, released):
    """A tagged commit has that version. A version that is tagged is never that of a later commit: the commit after a release raises it."""
    every = git("tag", "--list", "v*")
    failures.extend(f"the tag {tag} is not vX.Y.Z" for tag in every if not re.fullmatch("v" + NUMBER, tag))
    here = [tag for tag in git("tag", "--points-at", "HEAD") if tag.startswith("v")]
    failures.extend(f"the tag {tag} is on a commit of version {version}" for tag in here if tag != f"v{version}")
    if here and not released:
        failures.append(f"CHANGELOG.md: {version} is tagged, but its section says that it is unreleased")
    if f"v{version}" in every and f"v{version}" not in here:
        failures.append(f"CMakeLists.txt: {version} is released already (tag v{version}); raise the version")


def main():
    words = sys.argv[1:]
    version = found("CMakeLists.txt", r"^project\(lamella VERSION (?P<value>\S+)", read("CMakeLists.txt"), "version")
    if version is None or not re.fullmatch(NUMBER, version):
        sys.exit(f"CMakeLists.txt: the version is {version}, allowed is X.Y.Z")
    changes = read("CHANGELOG.md")
    told = {
        **{name: python_package(name) for name in ("pyproject.toml", "python/cuda13/pyproject.toml")},
        "CHANGELOG.md": found("CHANGELOG.md", SECTION, changes, "section '## Unreleased: X.Y.Z' or '## X.Y.Z (YYYY-MM-DD)' on top"),
        "README.md": found("README.md", r"^Version (?P<value>\d+\.\d+\.\d+)\.", read("README.md"), "'Version X.Y.Z.'"),
    }
    if words:
        header = pathlib.Path(words[0]).read_text(encoding="utf-8")
        told["version.hpp"] = found("version.hpp", r'return "(?P<value>.*)";', header, "version()")
        told["version.hpp's macros"] = ".".join(re.findall(r"^#define LAMELLA_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.M))
        told["lamella --version"] = subprocess.run([words[1], "--version"], capture_output=True, text=True, check=True).stdout.strip()
    failures.extend(f"{where}: {it}; CMakeLists.txt has {version}" for where, it in told.items() if it is not None and it != version)
    names_of_packages(version)
    tags(version, not changes.startswith("# Changelog\n\n## Unreleased"))
    for failure in failures:
        print(failure)
    print(f"version {version}: {len(told)} places compared, {len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
