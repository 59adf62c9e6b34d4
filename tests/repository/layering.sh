#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that includes point down, files and functions are not too long (lengths.py), and each public header compiles alone.
# Usage: layering.sh CXX GENERATED_INCLUDES
set -euo pipefail
cd "$(dirname "$0")/../.."
cxx=$1
generated=$2
bad=0
fail() { echo "$*"; bad=1; }

includes() { grep -rnE '^[[:space:]]*#[[:space:]]*include' "$@" --include='*.[ch]' --include='*.[ch]pp' --include='*.cu' --include='*.cuh' --include='*.def'; }
allow() {  # allow FOLDER FLOOR...: every quoted include of the folder starts with one of the floors
  local folder=$1 floors found
  shift
  floors=$(IFS='|'; echo "$*")
  found=$(includes "$folder" | grep '"' | grep -vE "include \"($floors)" || true)
  [ -z "$found" ] || fail "includes that $folder may not have:"$'\n'"$found"
}
own='[a-z_]+\.hpp"'  # a header of the same folder
allow src/core core/
allow src/ops ops/ core/
allow src/keras keras/ core/
allow src/cpu cpu/ ops/ core/
allow src/cuda cuda/ kernels/ ops/ core/
allow src/model model/ keras/ ops/ core/
allow src/c c/ core/
# What the command uses of the library besides its interface: text, reading and writing files a few rows at a time, facts of the machine, and the names of
# CUDA's engines.
allow src/cli cli/ 'core/(counted|format|isa|npy_head|npy_rows|output_file|processors).hpp"' 'cuda/dense/engines.def"'
allow kernels kernels/ ops/ core/
allow bench cli/ "$own"
allow python/src "$own"
allow serving "$own"
allow include nothing
allow examples nothing
# Tests include the library, each other and what they test outside of it; of a program's source only the example that they run.
floors=$(cd src && ls -d */ | paste -sd '|' -)
folders=$(cd tests && ls -d */ | paste -sd '|' -)
allow tests "(kernels/|bench/|$floors|(tests/)?($folders))([a-z0-9_]+/)*[a-z0-9_]+\.(hpp|def)\"" "$own" '../../examples/cuda_stream.cpp"'
for folder in src/*/; do
  grep -q "^allow ${folder%/} " tests/repository/layering.sh || fail "tests/repository/layering.sh does not say what $folder may include"
done
found=$(includes src include kernels python/src serving examples bench tests | grep -E "<(tests|src|kernels|$(paste -sd '|' <<<"${floors//\//}"))/" || true)
[ -z "$found" ] || fail "our own files are included with quotes:"$'\n'"$found"
found=$(grep -rniE 'is_cpu|cpu_backend|cuda|gpu|nvidia' src/model || true)
[ -z "$found" ] || fail "src/model asks core::backend(), and names no device:"$'\n'"$found"
found=$(grep -rn 'std::to_string' src include kernels || true)
[ -z "$found" ] || fail "numbers are written by core::format():"$'\n'"$found"
found=$(includes include | grep -E '<(oneapi|nlohmann|zlib|cuda|cublas|cudnn|CLI|fmt)' || true)
[ -z "$found" ] || fail "includes that a public header may not have:"$'\n'"$found"

python3 tests/repository/lengths.py || bad=1

for header in include/lamella/*.hpp; do
  "$cxx" -std=c++20 -Iinclude "-I$generated" -fsyntax-only -w -x c++ "$header" || fail "$header does not compile alone"
done
"$cxx" -std=c++17 -pedantic-errors -Iinclude -fsyntax-only -x c++ include/lamella/lamella.h || fail "lamella.h is not C++17"
if command -v cc >/dev/null; then
  cc -std=c99 -pedantic-errors -Wall -Wextra -Werror -Iinclude -fsyntax-only examples/predict.c || fail "lamella.h is not C99"
fi
# The marks of exported symbols and the test for C++20, as MSVC reads them: its __cplusplus is that of C++98.
as_msvc() {  # as_msvc EXPECTED OPTION...
  local expected=$1 found
  shift
  found=$(printf '#include <lamella/%s>\n(LAMELLA_API)(LAMELLA_C_API)\n' export.hpp lamella.h | "$cxx" -x c++ -std=c++98 -E -P -D_WIN32 -D_MSC_VER=1939 "$@" -Iinclude - 2>&1 || true)
  [[ "$found" == *"$expected"* ]] || fail "export.hpp or lamella.h as MSVC reads it, $*: no $expected"
}
as_msvc '(__declspec(dllimport))(__declspec(dllimport))' -D_MSVC_LANG=202002L
as_msvc '(__declspec(dllexport))(__declspec(dllexport))' -D_MSVC_LANG=202002L -DLAMELLA_EXPORTS
as_msvc '()()' -D_MSVC_LANG=202002L -DLAMELLA_STATIC
as_msvc 'lamella needs C++20: compile with /std:c++20' -D_MSVC_LANG=201703L
exit $bad
