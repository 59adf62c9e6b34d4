#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that tests call every function of lamella.h: those that return an error while memory runs out (tests/fault/c_api_fault_test.cpp),
# the others there or in tests/c.
set -euo pipefail
cd "$(dirname "$0")/../.."
faults=tests/fault/c_api_fault_test.cpp
functions=0 bad=0
while read -r function; do
  functions=$((functions + 1))
  if grep -qE "^LAMELLA_C_API lamella_error\* $function\(" include/lamella/lamella.h; then
    where=("$faults")
  else
    where=("$faults" tests/c/*.cpp)
  fi
  grep -qE "^[^/]*\<$function\(" "${where[@]}" || { echo "$function() is not called in ${where[*]}"; bad=1; }
done < <(sed -nE 's/^LAMELLA_C_API [^(]*\<(lamella_[a-z0-9_]+)\(.*/\1/p' include/lamella/lamella.h)
declared=$(grep -c '^LAMELLA_C_API ' include/lamella/lamella.h)
[ "$functions" -eq "$declared" ] || { echo "lamella.h declares $declared functions, $functions of them were found"; bad=1; }
exit "$bad"
