#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles the library, the command and a sample of the tests for 64-bit ARM on Debian 12 for x86-64, and runs them under QEMU. The cross compiler,
# QEMU and Debian's arm64 libraries are unpacked in build/aarch64/packages; nothing is installed, and no root is needed. Usage: aarch64.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/build/aarch64
packages=$folder/packages
build=$folder/build
passed=0
good() { passed=$((passed + 1)); }
bad() { echo "aarch64.sh: $*"; echo "$passed passed, 1 failed"; exit 1; }

# What scripts/deps installs, for arm64, and the compiler of the same release.
libraries=(libc6-dev libstdc++6 libgomp1 libdnnl-dev zlib1g-dev nlohmann-json3-dev libfmt-dev libcli11-dev libgtest-dev libgmock-dev)
tools=({binutils,gcc-12,cpp-12,g++-12}-aarch64-linux-gnu {libgcc-12-dev,libstdc++-12-dev,libgcc-s1,libgomp1,libstdc++6}-arm64-cross qemu-user-static)
tests=(activation_bits c_api dense fixtures hdf5 npy ops)

# apt with folders of its own. Its record of installed packages is empty, so a package is fetched with all that it needs.
fetch() {  # ARCHITECTURE PACKAGE...
  local architecture=$1
  shift
  rm -rf "$folder/apt" && mkdir -p "$folder/apt"/{lists,archives}/partial && : >"$folder/apt/status"
  local mirror
  mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" "Codename: bookworm" "Component: main" | head -n 1)
  echo "deb [arch=$architecture signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} bookworm main" \
    >"$folder/apt/list"
  local apt=(apt-get -qq)
  local option
  for option in "APT::Architecture=$architecture" "APT::Architectures::=$architecture" APT::Install-Recommends=0 APT::Sandbox::User= \
    "Dir::State=$folder/apt" "Dir::State::status=$folder/apt/status" "Dir::Cache=$folder/apt" \
    "Dir::Etc::sourcelist=$folder/apt/list" Dir::Etc::sourceparts=/dev/null Dir::Etc::preferencesparts=/dev/null; do
    apt+=(-o "$option")
  done
  "${apt[@]}" update
  case $architecture in
    arm64) "${apt[@]}" --download-only --yes install "$@" >/dev/null ;;
    *) (cd "$folder/apt/archives" && "${apt[@]}" download "$@" >/dev/null) ;;
  esac
}
unpack() {  # FOLDER: all that was fetched
  mkdir -p "$1"
  for package in "$folder"/apt/archives/*.deb; do dpkg-deb -x "$package" "$1"; done
}
if [ "$(cat "$packages/complete" 2>/dev/null)" != "${libraries[*]} ${tools[*]}" ]; then
  grep -q '^VERSION_CODENAME=bookworm' /etc/os-release || bad "needs Debian 12, in a container for example"
  rm -rf "$packages"
  fetch arm64 "${libraries[@]}" && unpack "$packages/root"
  fetch "$(dpkg --print-architecture)" "${tools[@]}" && unpack "$packages/tools"
  rm -rf "$folder/apt"
  find "$packages/root" -type l -lname '/*' | while read -r link; do ln -sfnr "$packages/root$(readlink "$link")" "$link"; done
  echo "${libraries[*]} ${tools[*]}" >"$packages/complete"
fi
LD_LIBRARY_PATH=$(dirname "$(find "$packages/tools" -name 'libopcodes-*-arm64.so')")  # the assembler's
export LD_LIBRARY_PATH PATH=$packages/tools/usr/bin:$PATH
good

# Whether the numbers are right does not depend on the optimisation, and -O1 compiles in half the time.
cached=()
! command -v ccache >/dev/null || cached=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake -S "$root" --preset cpu-only -B "$build" --toolchain "$root/cmake/aarch64.cmake" -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" \
  -DCMAKE_UNITY_BUILD_BATCH_SIZE=0 -DLAMELLA_BUILD_BENCH=OFF -DLAMELLA_BUILD_TRITON=OFF "${cached[@]}" >"$folder/log" 2>&1 \
  || { tail -n 30 "$folder/log"; bad "the configuration"; }
cmake --build "$build" -j "$(nproc)" --target lamella_cli example_predict_c "${tests[@]/%/_test}" >"$folder/log" 2>&1 \
  || { grep -E 'error|warning' "$folder/log" | head -n 20; bad "the build"; }
aarch64-linux-gnu-readelf -h "$build/lib/liblamella.so" | grep -q 'Machine: *AArch64' || bad "the library is not for ARM"
good

# The loops of products and activations, optimised as in a release, are vector instructions. In products every multiply-add of vectors is fused.
assembly() {  # SOURCE OBJECT: with the flags of that object
  ninja -C "$build" -t commands "$2" | tail -n 1 \
    | sed -E "s| -O1 | -O3 |; s| -MD .* -c .*| -S -o $folder/assembly.s $root/src/$1|" >"$folder/compile"
  (cd "$build" && bash "$folder/compile") || bad "$1 does not compile"
}
count() { grep -cE "^\s+$1" "$folder/assembly.s" || true; }
assembly cpu/dense/panels.cpp src/CMakeFiles/lamella_cpu.dir/cpu/dense/panels.cpp.o
fused=$(count 'fmla\s+v[0-9]+\.4s') apart=$(count 'fmul\s+v[0-9]+\.4s') single=$(count 'f(madd|mul)\s+s[0-9]+')
if [ "$fused" -lt 30 ] || [ "$apart" -gt 0 ] || [ "$single" -gt 0 ]; then
  bad "products: $fused fused multiply-adds of vectors, $apart products of vectors, $single of single numbers"
fi
good
assembly cpu/activation/epilogue.cpp "$(cd "$build" && ls src/CMakeFiles/lamella_cpu.dir/Unity/unity_0_cxx.cxx).o"
vectors=$(count 'fmla\s+v[0-9]+\.4s') single=$(count 'fmadd\s+s[0-9]+')
[ "$vectors" -ge 100 ] && [ "$single" = 0 ] || bad "activations: $vectors multiply-adds of vectors, $single of single numbers"
good

# Without SVE, as most processors, and with it, for which oneDNN has code.
model=$root/examples/models/mlp
for cpu in neoverse-n1 a64fx; do
  export QEMU_CPU=$cpu
  emulated() { qemu-aarch64-static -L "$packages/root" "$build/bin/$1" "${@:2}"; }
  emulated lamella verify "$model.keras" -i "${model}_input.npy" --expected "${model}_expected.npy" || bad "lamella verify on $cpu"
  emulated lamella predict "$model.keras" -i "${model}_input.npy" -o "$folder/output.npy" >/dev/null || bad "lamella predict on $cpu"
  good
  [ "$(emulated example_predict_c "$model.keras" 1 | grep -cE '^-?[0-9.e-]+$')" -gt 0 ] || bad "the C interface on $cpu"
  good
  for test in "${tests[@]}"; do
    emulated "${test}_test" --gtest_brief=1 >"$folder/log" 2>&1 \
      || { grep -vE '^\[ +(OK|RUN)' "$folder/log" | head -n 40; bad "${test}_test on $cpu"; }
    ran=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) tests?.*/\1/p' "$folder/log")
    [ "${ran:-0}" -gt 0 ] || bad "${test}_test ran nothing"
    passed=$((passed + ran))
  done
done
echo "$passed passed, 0 failed"
