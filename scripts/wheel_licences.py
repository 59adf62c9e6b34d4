#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds the licence texts of what a wheel contains: lamella's own, and those of the libraries that auditwheel has copied into it, as their packages of
Debian or Ubuntu have them in /usr/share/doc. Fails if a library's is not found.

Usage: wheel_licences.py WHEEL     in an environment that has the package wheel
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu")


def package_of(library):
    """The package that a library comes from; auditwheel has added a hash to its name."""
    name = re.sub(r"-[0-9a-f]{8}(?=\.so)", "", library)
    for folder in FOLDERS:
        found = subprocess.run(["dpkg", "-S", f"{folder}/{name}"], capture_output=True, text=True).stdout
        if found:
            return found.split(":")[0]
    sys.exit(f"wheel_licences: no package has {name}, whose licence a wheel with {library} needs")


def add(wheel):
    with tempfile.TemporaryDirectory() as scratch:
        tool = [sys.executable, "-m", "wheel"]
        subprocess.run([*tool, "unpack", "--dest", scratch, wheel], check=True, stdout=subprocess.DEVNULL)
        [content] = pathlib.Path(scratch).iterdir()
        [info] = content.glob("*.dist-info")
        texts = info / "licenses"
        texts.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "LICENSE", texts / "LICENSE")
        for library in sorted(content.glob("*.libs/*.so*")):
            package = package_of(library.name)
            shutil.copyfile(f"/usr/share/doc/{package}/copyright", texts / f"{package}.txt")
        subprocess.run([*tool, "pack", "--dest-dir", wheel.parent, content], check=True, stdout=subprocess.DEVNULL)


add(pathlib.Path(sys.argv[1]).resolve())
