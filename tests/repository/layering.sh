#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that includes point down, no source file is over 400 lines, and each public header compiles alone.
# Usage: layering.sh CXX GENERATED_INCLUDES
set -euo pipefail
cd "$(dirname "$0")/../.."
cxx=$1
generated=$2
bad=0
fail() { echo "$*"; bad=1; }

allow() {  # allow FOLDER FLOOR...: every quoted include of the folder starts with one of the floors
  local folder=$1 floors found
  shift
  floors=$(IFS='|'; echo "$*")
  [ -d "src/$folder" ] || return 0
  found=$(grep -rnE '^#include "' "src/$folder" | grep -vE "#include \"($floors)/" || true)
  [ -z "$found" ] || fail "includes that src/$folder may not have:"$'\n'"$found"
}
allow core core
allow ops ops core
allow keras keras core
allow cpu cpu ops core
allow cuda cuda kernels ops core
allow model model keras ops core
allow c c core
allow cli cli core cuda/dense
# What the command uses of the library besides its interface: reading and writing files a few rows at a time, and facts of the machine.
found=$(grep -rnE '^#include "core/' src/cli | grep -vE '#include "core/(counted|isa|npy_head|npy_rows|output_file|processors).hpp"' || true)
[ -z "$found" ] || fail "the command uses the library's interface, and of core little:"$'\n'"$found"
found=$(grep -rnE '^#include "cuda/' src/cli | grep -v '#include "cuda/dense/engines.def"' || true)
[ -z "$found" ] || fail "the command needs only the names of CUDA's engines:"$'\n'"$found"
found=$(grep -rnE 'is_cpu|is_cuda|cpu_backend|cuda_backend|cudaStream' src/model || true)
[ -z "$found" ] || fail "src/model asks core::backend(), and names no device:"$'\n'"$found"
found=$(grep -rnE '^#include "' kernels | grep -vE '#include "(kernels|ops|core)/' || true)
[ -z "$found" ] || fail "includes that kernels may not have:"$'\n'"$found"
found=$(grep -rnE '^#include ("|<(oneapi|nlohmann|zlib|cuda|cublas|cudnn|CLI|fmt))' include || true)
[ -z "$found" ] || fail "includes that a public header may not have:"$'\n'"$found"

while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 400 ] || fail "$file has $lines lines; 400 is the most"
done < <(find src include kernels tests python examples bench serving -name '*.[ch]pp' -print0 2>/dev/null | xargs -0 wc -l)

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
