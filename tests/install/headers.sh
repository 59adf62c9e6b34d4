#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks the public headers with clang: no two names differ only by case, and clang warns about views that outlive their memory.
# Usage: headers.sh [BUILD_FOLDER]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
command -v clang++ >/dev/null || { echo "headers.sh: clang++ is not installed"; exit 1; }
compile=(clang++ -std=c++20 -fsyntax-only "-I$root/include" "-I$build/include")
failed=0 passed=0
judge() {  # DESCRIPTION, 0 if right
  if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "failed: $1"; fi
}

echo '#include <lamella/lamella.hpp>' >"$scratch/all.cpp"
"${compile[@]}" -Xclang -ast-dump=json -Xclang -ast-dump-filter=lamella "$scratch/all.cpp" >"$scratch/ast"
python3 "$root/tests/install/names.py" "$scratch/ast" && judge names 0 || judge names 1

"${compile[@]}" -Wall -Werror -DCASE=0 "$root/tests/install/dangling.cpp" && judge "right uses" 0 || judge "right uses give warnings" 1
for ((i = 1; i <= $(grep -c '^#elif CASE == ' "$root/tests/install/dangling.cpp"); ++i)); do
  "${compile[@]}" -DCASE=$i "$root/tests/install/dangling.cpp" >"$scratch/out" 2>&1 || { cat "$scratch/out"; judge "case $i compiles" 1; continue; }
  grep -qE '\[-W(dangling|return-stack-address)' "$scratch/out" && judge "" 0 || judge "no warning of case $i" 1
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
