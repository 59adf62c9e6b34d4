#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lists the compiled kernels that no test has executed. Usage: launched.sh BUILD_FOLDER NAMES; NAMES is the file that tests run with
# LAMELLA_PTX_LAUNCHED=NAMES have written.
set -euo pipefail
objects=$1/tests/ptx
all=$(cat "$objects"/*.ptx.o | grep -aoE '\.entry [A-Za-z0-9_$]+' | sed 's/.*\.entry //' | grep -v 7nothing | sort -u)  # nothing() is never launched, only queried
never=$(comm -23 <(echo "$all") <(sort -u "$2"))
[ -n "$all" ]
[ -z "$never" ] || { echo "never executed:"; c++filt -n <<<"$never"; exit 1; }
echo "$(wc -l <<<"$all") kernels, all executed"
