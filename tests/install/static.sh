#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The static library: installed, and linked into programs with CMake and with pkg-config, in C++ and in C. Neither they nor the command then need
# liblamella.so. It is compiled in build/static, as the release build is, so the compiler's cache has most of it. Usage: static.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/static
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
good() { passed=$((passed + 1)); }
bad() { echo "static.sh: $*"; echo "$passed passed, 1 failed"; exit 1; }
configure() {
  cmake -S "$root" --preset install-only -B "$build" -DLAMELLA_WERROR=ON -DBUILD_SHARED_LIBS=OFF "$@" >"$scratch/log" 2>&1
}

cached=()
! command -v ccache >/dev/null || cached=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
rm -f "$build/CMakeCache.txt"
for device in ON PLUGIN; do
  if configure -DLAMELLA_CUDA=$device; then bad "a static library with the CUDA device was configured"; fi
  grep -q "LAMELLA_CUDA=$device needs LAMELLA_SHARED=ON" "$scratch/log" || { cat "$scratch/log"; bad "LAMELLA_CUDA=$device"; }
done
good
configure -DLAMELLA_CUDA=AUTO "${cached[@]}" && cmake --build "$build" >>"$scratch/log" 2>&1 || { tail -n 30 "$scratch/log"; bad "the build"; }
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
libdir=$(dirname "$(find "$scratch/prefix" -name 'liblamella.a')")
[ -z "$(find "$scratch/prefix" -name 'liblamella*.so*')" ] || bad "a shared library is installed, too"
good

model=$root/examples/models/mlp
alone() { ! ldd "$1" | grep -q lamella || bad "$1 needs a shared library of lamella"; }
alone "$scratch/prefix/bin/lamella"
"$scratch/prefix/bin/lamella" verify "$model.keras" -i "${model}_input.npy" --expected "${model}_expected.npy" >/dev/null || bad "lamella verify"
good
cmake -S "$root/examples" -B "$scratch/cmake" -DCMAKE_PREFIX_PATH="$scratch/prefix" >"$scratch/log" 2>&1 && cmake --build "$scratch/cmake" \
  >>"$scratch/log" 2>&1 || { tail -n 30 "$scratch/log"; bad "a program with CMake"; }
alone "$scratch/cmake/example_predict"
"$scratch/cmake/example_predict" "$model.keras" "${model}_input.npy" | grep -q 'output of shape' || bad "a program with CMake"
good
export PKG_CONFIG_PATH=$libdir/pkgconfig
# shellcheck disable=SC2046  # the flags are words
g++ -std=c++20 "$root/examples/predict.cpp" -o "$scratch/predict" $(pkg-config --cflags --libs lamella)
alone "$scratch/predict"
"$scratch/predict" "$model.keras" "${model}_input.npy" | grep -q 'output of shape' || bad "a program with pkg-config"
good
# shellcheck disable=SC2046
cc -std=c99 "$root/examples/predict.c" -o "$scratch/c_predict" $(pkg-config --cflags --libs lamella)
alone "$scratch/c_predict"
[ "$("$scratch/c_predict" "$model.keras" 1 | grep -cE '^-?[0-9.e-]+$')" -gt 0 ] || bad "a program in C"
good
echo "$passed passed, 0 failed"
