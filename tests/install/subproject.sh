#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lamella as part of another project, by FetchContent and by add_subdirectory: checks that it leaves its host's settings alone, then builds and
# uses it in one of the two ways, without optimisation, in build/subproject, which is kept for the compiler's cache.
# Usage: subproject.sh [--configure-only]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$root/build/subproject
rm -rf "$scratch"
mkdir -p "$scratch"
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
cached=()
! command -v ccache >/dev/null || cached=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
passed=0
for how in FetchContent add_subdirectory; do
  cmake -S "$root/tests/install/subproject" -B "$scratch/$how" -G Ninja -DHOW=$how -DLAMELLA_SOURCE="$root" -DCMAKE_UNITY_BUILD=ON "${cached[@]}" \
    >"$scratch/log" 2>&1 || { cat "$scratch/log"; echo "$passed passed, 1 failed"; exit 1; }
  passed=$((passed + 1))
done
installed=$(DESTDIR=$scratch/installed cmake --install "$scratch/FetchContent" | grep -c lamella || true)
[ "$installed" = 0 ] || { echo "the host's install takes files of lamella along"; echo "$passed passed, 1 failed"; exit 1; }
passed=$((passed + 1))
if [ "${1:-}" != --configure-only ]; then
  cmake --build "$scratch/FetchContent" >"$scratch/log" 2>&1 || { tail -n 30 "$scratch/log"; exit 1; }
  "$scratch/FetchContent/consumer" "$root/examples/models/mlp.keras" "$root/examples/models/mlp_input.npy" | grep -q 'output of shape'
  passed=$((passed + 1))
fi
echo "$passed passed, 0 failed"
