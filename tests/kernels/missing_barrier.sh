#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernel without its barrier is reported as a race between the threads of a block, and the same kernel with it is not.
# Usage: missing_barrier.sh PROGRAM
set -uo pipefail
program=$1
said=$("$program" without 2>&1)
[ $? -ne 77 ] || { echo "$said"; exit 77; }
grep -q 'WARNING: ThreadSanitizer: data race' <<< "$said" || { echo "no race was reported:"; echo "$said"; exit 1; }
grep -q 'rotate_kernel' <<< "$said" || { echo "the race is not the kernel's:"; echo "$said"; exit 1; }
said=$("$program" with 2>&1) || { echo "with its barrier, the kernel is reported:"; echo "$said"; exit 1; }
