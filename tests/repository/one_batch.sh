#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles each floor of src as one translation unit, without generating code. Finds names that two files of a floor define differently in an
# unnamed namespace, however the presets' unity builds divide the files.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake -G Ninja -S "$root" -B "$scratch" -DLAMELLA_CUDA=OFF -DLAMELLA_BUILD_TESTS=OFF -DLAMELLA_BUILD_BENCH=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
  -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=0 >/dev/null
python3 - "$scratch/compile_commands.json" <<'PYTHON'
import concurrent.futures
import json
import os
import re
import subprocess
import sys

entries = [entry for entry in json.load(open(sys.argv[1], encoding="utf-8")) if "/Unity/" in entry["file"]]


def well(entry):
    command = re.sub(r" -o \S+ -c ", " -fsyntax-only ", entry["command"])
    done = subprocess.run(["bash", "-c", command], cwd=entry["directory"], capture_output=True, text=True)
    if done.returncode:
        print(f"{entry['file'].split('/CMakeFiles/')[-1]}\n{done.stderr}")
    return done.returncode == 0


with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    results = list(pool.map(well, entries))
print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
sys.exit(0 if results and all(results) else 1)
PYTHON
