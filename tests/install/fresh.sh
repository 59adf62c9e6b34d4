#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the README's commands in a fresh system and compares how they end with what the README says: a minimal system is made with debootstrap (as
# root), a clean clone is copied into it, and nothing else is installed. With --here this system is the fresh one, a container for example.
# Usage: fresh.sh [--all] (--here | [SUITE [MIRROR]])     --all: scripts/test too; SUITE: this machine's by default; MIRROR: of its packages
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/install/system.sh
. "$root/tests/install/system.sh"
scratch=$(mktemp -d)
trap 'rm -rf --one-file-system "$scratch"' EXIT
passed=0
good() { passed=$((passed + 1)); }
bad() { echo "fresh.sh: $*"; echo "$passed passed, 1 failed"; exit 1; }
commands=(scripts/demo)
[ "${1:-}" != --all ] || { commands+=(scripts/test); shift; }

if [ "${1:-}" = --here ]; then
  fresh() { (cd "$root" && "$@"); }
else
  suite=${1:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
  target=$scratch/system
  fresh_system "$suite" "$target" "${2:-}" >"$scratch/log" 2>&1 || { tail "$scratch/log"; bad "debootstrap"; }
  git clone -q --depth 1 "file://$root" "$target/lamella"
  fresh() {  # the mounts go when the command ends
    # shellcheck disable=SC2016  # the inner shell replaces them
    unshare --mount sh -euc '
      system=$1; shift
      mount -t proc proc "$system/proc"; mount -t devpts devpts "$system/dev/pts"; mkdir -p "$system/dev/shm"; mount -t tmpfs tmpfs "$system/dev/shm"
      exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot "$system" sh -euc "cd /lamella; exec \"\$@\"" sh "$@"' sh "$target" "$@"
  }
fi
# What the README says: the demo's first lines, and in words how the tests end.
said() { awk '/^digit: /, /^```$/' "$root/README.md" | grep -v '^```$'; }
ends=$(sed -n 's/.*The second ends with `\([^`]*\)`.*/\1/p' "$root/README.md")
[ -n "$ends" ] && [ "$(said | wc -l)" -gt 3 ] || bad "README.md no longer says how the commands end"
for command in "${commands[@]}"; do
  grep -q "^$command  *#" "$root/README.md" || bad "README.md has no command $command"
  echo "-- $command"
  fresh "$command" 2>&1 | tee "$scratch/$(basename "$command")" || bad "$command fails"
  ! grep -E 'warning:|CMake Warning' "$scratch/$(basename "$command")" || bad "$command warns"
  good
done
has() { grep -qF "$2" "$scratch/$1" || bad "scripts/$1 does not print: $2"; good; }
has demo "$(said | sed -n '1s/largest difference.*//p')"
has demo "$(said | sed -n '2s/steps, .*/steps/p')"
has demo "$(said | sed -n 3p)"
[[ $(grep . "$scratch/demo" | tail -n 1) = "== done"* ]] || bad "scripts/demo ends otherwise: $(tail -n 1 "$scratch/demo")"
good
[ ${#commands[@]} = 1 ] || has test "$ends"
for step in "1 of 6" "2 of 6" "3 of 6" "4 of 6" "5 of 6" "6 of 6"; do has demo "== $step: "; done
fresh build/release/bin/lamella --version >/dev/null || bad "no command in build/release/bin/lamella"
good
echo "$passed passed, 0 failed"
