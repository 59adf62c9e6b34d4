#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that programs linked with the last release run with this library: abidiff (package abigail-tools) compares the functions that both
# export and the types in them, from debugging information. Additions are allowed; removals and changes are not.
# An intended change, such as an option that uses part of Options::reserved, is listed in abi.ini beside this file, as an abidiff
# suppression, until the next release.
# Usage: abi.sh [REF]     default: the last tag
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
ref=${1:-$(git -C "$root" describe --tags --match "v[0-9]*" --abbrev=0)}
command -v abidiff >/dev/null || { echo "abi.sh: abidiff is not installed (abigail-tools)"; exit 1; }
scratch=$(mktemp -d)
trap 'git -C "$root" worktree remove --force "$scratch/base" 2>/dev/null; rm -rf "$scratch"' EXIT
git -C "$root" worktree add --quiet --detach "$scratch/base" "$ref"
build() {  # SOURCES FOLDER
  CCACHE_BASEDIR=$1 cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-g -O0" -DLAMELLA_CUDA=OFF \
    -DLAMELLA_BUILD_TESTS=OFF -DLAMELLA_BUILD_BENCH=OFF -DLAMELLA_BUILD_CLI=OFF -DCMAKE_UNITY_BUILD=ON >/dev/null
  cmake --build "$2" --target lamella >/dev/null
}
build "$scratch/base" "$scratch/old"
build "$root" "$scratch/new"
allowed=()
[ ! -f "$root/tests/install/abi.ini" ] || allowed=(--suppressions "$root/tests/install/abi.ini")
library() { find "$1" -name liblamella.so; }
status=0
abidiff --no-added-syms --drop-private-types --headers-dir1 "$scratch/base/include" --headers-dir2 "$root/include" "${allowed[@]}" \
  "$(library "$scratch/old")" "$(library "$scratch/new")" || status=$?
[ "$status" = 0 ] || { echo "the interface is not that of $ref (abidiff: $status)"; echo "0 passed, 1 failed"; exit 1; }
echo "the interface is that of $ref, or has grown"
echo "1 passed, 0 failed"
