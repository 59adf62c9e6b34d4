#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that every kernel compiles without warnings, spills nothing, and stays within its number of registers; for sm_90 also its loads and
# stores, by sass_bounds.py. Needs nvcc, no device.
# Usage: registers.sh [--arch 90] [--include GENERATED_INCLUDES] [--nvcc NVCC] [FILE.cu...]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
arch=90 nvcc=nvcc generated='' files=()
while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=$2; shift 2 ;;
    --include) generated=$2; shift 2 ;;
    --nvcc) nvcc=$2; shift 2 ;;
    *) files+=("$1"); shift ;;
  esac
done
all=0
[ ${#files[@]} -gt 0 ] || { files=(kernels/*.cu); all=1; }
command -v "$nvcc" > /dev/null || { echo "no nvcc"; exit 77; }
readonly most=128       # registers per thread, as in kernels/launch.hpp; the stack of 16 bits has its own limit for wide layers
readonly frame_most=0    # bytes of local memory
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() {
  "$nvcc" -std=c++20 -O3 -fmad=false -gencode "arch=compute_$arch,code=sm_$arch" -Xptxas -v -Werror all-warnings -Xcompiler=-Wall,-Wextra \
    -I. -Isrc -Iinclude ${generated:+-I"$generated"} -cubin -o "$work/$(basename "$1").cubin" "$1" > "$work/$(basename "$1").log" 2>&1 ||
    echo "$1 does not compile for sm_$arch" >> "$work/failed"
}
for file in "${files[@]}"; do
  compile "$file" &
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
done
wait

awk -v most="$most" -v frame_most="$frame_most" '
  /Compiling entry function/ { name = $7; gsub("\047", "", name); kernels++ }
  /bytes stack frame/ {
    frame = $1 + 0
    if (frame > frame_most || !/ 0 bytes spill stores, 0 bytes spill loads/) { print name ": " $0; bad = 1 }
    if (frame > 0) framed++
  }
  /Used [0-9]+ registers/ {
    for (i = 1; i < NF; i++) if ($i == "Used") used = $(i + 1)
    if (used > highest) highest = used
    limit = name ~ /MmaStackTilingILi[0-9]+ELi128E/ ? 255 : most
    if (used > limit) { print name ": " used " registers, " limit " are allowed"; bad = 1 }
  }
  END {
    printf "%d kernels, at most %d registers, %d with a frame of at most %d bytes\n", kernels, highest, framed, frame_most
    exit bad || kernels == 0
  }' "$work"/*.log || bad=1
if [ -e "$work/failed" ]; then
  cat "$work/failed" "$work"/*.log | grep -E 'does not compile|error|warning'
  bad=1
fi
if [ "$all$arch" = 190 ] && [ ! -e "$work/failed" ]; then python3 -B tests/kernels/sass_bounds.py "$work"/*.cubin || bad=1; fi
exit "${bad:-0}"
