# SPDX-License-Identifier: Apache-2.0
"""Runs the `lamella` command that the package contains: lamella --help, or python -m lamella --help."""
import os
import pathlib
import sys


def main() -> None:
    command = pathlib.Path(__file__).parent / "bin" / "lamella"
    os.execv(command, [str(command), *sys.argv[1:]])


if __name__ == "__main__":
    main()
