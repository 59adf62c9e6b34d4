#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a scratch prefix and builds a consumer with CMake and with pkg-config. Usage: run.sh [BUILD_FOLDER]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
libdir=$(dirname "$(find "$scratch/prefix" -name 'liblamella.so' | head -n 1)")
cmake -S "$root/examples" -B "$scratch/cmake" -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/cmake" >/dev/null
model=$root/examples/models
"$scratch/cmake/example_predict" "$model/mlp.keras" "$model/mlp_input.npy" | grep -q 'output of shape'
sed -i "s|^prefix=.*|prefix=$scratch/prefix|" "$libdir/pkgconfig/lamella.pc"
export PKG_CONFIG_PATH=$libdir/pkgconfig
# shellcheck disable=SC2046  # the flags are words
g++ "$root/examples/predict.cpp" -o "$scratch/predict" $(pkg-config --cflags --libs lamella)
LD_LIBRARY_PATH=$libdir "$scratch/predict" "$model/mlp.keras" "$model/mlp_input.npy" | grep -q 'output of shape'
"$scratch/prefix/bin/lamella" verify "$model/mlp.keras" --input "$model/mlp_input.npy" --expected "$model/mlp_expected.npy"
foreign=$(nm -DC --defined-only "$libdir/liblamella.so" | awk '$2 ~ /[TDBRV]/' | grep -v 'lamella::' | grep -vE ' V (typeinfo|typeinfo name|vtable) for std::' || true)
[ -z "$foreign" ] || { echo "exported symbols that are not lamella's:"; echo "$foreign" | head; exit 1; }
echo "5 passed, 0 failed"
