#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Debian packages of a build and uses them: the command runs, a program is built with the headers and runs, and dependencies are
# exactly what is needed. Without --system they are unpacked into a folder; with it (as root, with debootstrap and a mirror) apt installs them in
# a fresh system of this machine's distribution, the program runs there, and apt purges them without leaving anything.
# Usage: package.sh [--system] [BUILD_FOLDER]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/install/system.sh
. "$root/tests/install/system.sh"
system=0
[ "${1:-}" != --system ] || { system=1; shift; }
build=$(cd "${1:-$root/build/release}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
good() { passed=$((passed + 1)); }
bad() { echo "package.sh: $*"; echo "$passed passed, 1 failed"; exit 1; }

(cd "$scratch" && cpack --config "$build/CPackConfig.cmake" -G DEB -B "$scratch/packages" >"$scratch/log" 2>&1) || { cat "$scratch/log"; bad "cpack"; }
packages=("$scratch"/packages/*.deb)
version=$(dpkg-deb -f "${packages[0]}" Version)
package() { for p in "${packages[@]}"; do case ${p##*/} in "$1"_*) echo "$p" ;; esac; done; }
field() { dpkg-deb -f "$(package "$1")" "$2"; }
library=$(basename "$(ls "$scratch"/packages/liblamella[0-9]_*.deb)"); library=${library%%_*}
needs() {  # PACKAGE NAME...: the package depends on each name
  local package=$1 name
  shift
  for name in "$@"; do
    field "$package" Depends | tr ',' '\n' | grep -qE "^ *$name( |$)" || bad "$package does not depend on $name, but on: $(field "$package" Depends)"
  done
  good
}
needs "$library" libc6 'libdnnl[0-9.]*' libgomp1 'libstdc[+][+]6' zlib1g
needs liblamella-dev "$library \(= $version\)"
needs lamella "$library \(= $version\)" libc6
if [ -n "$(package "$library-cuda")" ]; then
  needs "$library-cuda" "$library \(= $version\)" libc6 libgcc-s1 'libstdc[+][+]6'
  # Each library that the plugin is linked with is in a package that it depends on or, NVIDIA's, recommends.
  dpkg-deb -x "$(package "$library-cuda")" "$scratch/cuda"
  plugin=$(find "$scratch/cuda" -name liblamella_cuda.so)
  readelf -d "$plugin" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r name; do
    case $name in
      "liblamella.so."* | libc.so.6 | ld-linux-*.so.* | libgcc_s.so.1 | libstdc++.so.6 | libm.so.6) ;;
      libcudart.so.* | libcublasLt.so.*)
        field "$library-cuda" Recommends | grep -qE "cuda-cudart-${name##*.}-.*libcublas-${name##*.}-" || { echo "$name is not recommended"; exit 1; } ;;
      *) echo "$library-cuda says nothing of $name"; exit 1 ;;
    esac
  done || bad "the CUDA package"
  good
fi

target=$scratch/system run=(env)
if [ $system = 1 ]; then
  fresh_system "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" "$target" >"$scratch/log" 2>&1 || { tail "$scratch/log"; bad "debootstrap"; }
  cp "${packages[@]}" "$target/tmp"
  run=(chroot "$target" env DEBIAN_FRONTEND=noninteractive)
  "${run[@]}" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends /tmp/*.deb' >"$scratch/log" 2>&1 || { tail "$scratch/log"; bad "apt"; }
  rm "$target"/tmp/*.deb
  at=/usr
else
  for p in "${packages[@]}"; do dpkg-deb -x "$p" "$target"; done
  at=$target/usr
fi
good
library_folder=$(dirname "$(find "$target/usr" -name "liblamella.so.*" | head -n 1)")
[ $system = 1 ] || run+=("LD_LIBRARY_PATH=$library_folder")
mkdir -p "$target/tmp"
cp "$root"/examples/models/mlp*.{keras,npy} "$target/tmp"
tmp=/tmp
[ $system = 1 ] || tmp=$target/tmp
"${run[@]}" "$at/bin/lamella" verify "$tmp/mlp.keras" -i "$tmp/mlp_input.npy" --expected "$tmp/mlp_expected.npy" || bad "lamella verify"
good
export PKG_CONFIG_PATH=$library_folder/pkgconfig
[ "$(pkg-config --modversion lamella)" = "$version" ] || bad "pkg-config finds version $(pkg-config --modversion lamella)"
# shellcheck disable=SC2046  # splits the flags into words
g++ -std=c++20 "$root/examples/predict.cpp" -o "$target/tmp/predict" $(pkg-config --cflags --libs lamella)
"${run[@]}" "$tmp/predict" "$tmp/mlp.keras" "$tmp/mlp_input.npy" | grep -q 'output of shape' || bad "the program"
good
for page in LICENSE README.md CHANGELOG.md docs/README.md docs/speed.svg; do
  [ -s "$target/usr/share/doc/lamella/$page" ] || bad "share/doc/lamella/$page is not installed"
done
good
if [ $system = 1 ]; then
  "${run[@]}" apt-get purge -y -qq '?name(lamella)' >"$scratch/log" 2>&1 || { cat "$scratch/log"; bad "apt purge"; }
  left=$(find "$target/usr" "$target/etc" -name '*lamella*')
  [ -z "$left" ] || bad "apt left $left"
  good
fi
echo "$passed passed, 0 failed"
