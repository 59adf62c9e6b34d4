#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a scratch prefix, builds consumers in C++, C, and where there are compilers Rust, Go and Fortran, uninstalls, and compares the library's exports with
# interface.txt: a removed function breaks programs that use it; a new one must be listed.
# Usage: run.sh [--write] [BUILD_FOLDER]     --write: writes interface.txt
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
write=0
[ "${1:-}" != --write ] || { write=1; shift; }
build=${1:-$root/build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
libdir=$(dirname "$(find "$scratch/prefix" -name 'liblamella.so' | head -n 1)")
cmake -S "$root/examples" -B "$scratch/cmake" -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/cmake" >/dev/null
model=$root/examples/models
"$scratch/cmake/example_predict" "$model/mlp.keras" "$model/mlp_input.npy" | grep -q 'output of shape'
export PKG_CONFIG_PATH=$libdir/pkgconfig
# shellcheck disable=SC2046  # splits the flags into words
g++ -std=c++20 "$root/examples/predict.cpp" -o "$scratch/predict" $(pkg-config --cflags --libs lamella)
LD_LIBRARY_PATH=$libdir "$scratch/predict" "$model/mlp.keras" "$model/mlp_input.npy" | grep -q 'output of shape'
# shellcheck disable=SC2046
cc -std=c99 -pedantic-errors -Wall -Wextra -Werror "$root/examples/predict.c" -o "$scratch/c_predict" $(pkg-config --cflags --libs lamella)
[ "$(LD_LIBRARY_PATH=$libdir "$scratch/c_predict" "$model/mlp.keras" 1 | grep -cE '^-?[0-9.e-]+$')" -gt 0 ]
# The same program as C++17, with the same numbers.
# shellcheck disable=SC2046
g++ -std=c++17 -pedantic-errors -Wall -Wextra -Werror -x c++ "$root/examples/predict.c" -x none -o "$scratch/cpp_predict" $(pkg-config --cflags --libs lamella)
cmp <(LD_LIBRARY_PATH=$libdir "$scratch/cpp_predict" "$model/mlp.keras" 3) <(LD_LIBRARY_PATH=$libdir "$scratch/c_predict" "$model/mlp.keras" 3)
skipped=0
not_run() { skipped=$((skipped + 1)); echo "not run: no $1 was found"; }
if rustc --version >/dev/null 2>&1; then  # Rust must give the expected answers
  rustc --edition 2021 -D warnings "$root/examples/rust/predict.rs" -o "$scratch/r_predict" -L "native=$libdir" -l lamella
  LD_LIBRARY_PATH=$libdir "$scratch/r_predict" "$model"/mlp.keras "$model"/mlp_{input,expected}.npy | grep -qx '640 values are as expected'
  if LD_LIBRARY_PATH=$libdir "$scratch/r_predict" "$model"/mlp.keras "$model"/mlp_{expected,input}.npy 2>"$scratch/r_error"; then exit 1; fi
  grep -q "E_SHAPE" "$scratch/r_error"
else
  not_run rustc
fi
if command -v go >/dev/null; then  # so must Go
  GOCACHE=$scratch/go CGO_ENABLED=1 CGO_CFLAGS="$(pkg-config --cflags lamella) -Wall -Werror" \
    CGO_LDFLAGS="$(pkg-config --libs lamella)" go build -o "$scratch/g_predict" "$root/examples/go/predict.go"
  # cgocheck=2: no memory of Go is given to C where C could keep it.
  GODEBUG=cgocheck=2 LD_LIBRARY_PATH=$libdir "$scratch/g_predict" "$model"/mlp.keras "$model"/mlp_{input,expected}.npy | grep -qx '640 values are as expected'
  if LD_LIBRARY_PATH=$libdir "$scratch/g_predict" "$model"/mlp.keras "$model"/mlp_{expected,input}.npy 2>"$scratch/g_error"; then exit 1; fi
  grep -q "E_SHAPE" "$scratch/g_error"
else
  not_run go
fi
if command -v gfortran >/dev/null; then  # Fortran must give the same numbers
  gfortran -std=f2008 -Wall -Wextra -Werror -fcheck=all -J "$scratch" "$root"/examples/fortran/{lamella,predict}.f90 -o "$scratch/f_predict" \
    -L"$libdir" -llamella
  paste <(LD_LIBRARY_PATH=$libdir "$scratch/f_predict" "$model/mlp.keras" 784 10 3) <(LD_LIBRARY_PATH=$libdir "$scratch/c_predict" "$model/mlp.keras" 3) \
    | awk '$1 + 0 != $2 + 0 {print "Fortran has " $1 ", C " $2; bad = 1} END {exit bad || NR != 30}'
  if LD_LIBRARY_PATH=$libdir "$scratch/f_predict" "$model/mlp.keras" 783 10 3 2>"$scratch/f_error"; then exit 1; fi
  grep -q "E_SHAPE" "$scratch/f_error"
else
  not_run gfortran
fi
"$scratch/prefix/bin/lamella" verify "$model/mlp.keras" --input "$model/mlp_input.npy" --expected "$model/mlp_expected.npy"
python3 "$root/tests/install/readme.py" "$scratch/prefix" "$libdir" >/dev/null
python3 "$root/tests/install/pages.py" "$scratch/prefix" "$libdir" >"$scratch/pages" || { cat "$scratch/pages"; exit 1; }
for page in bash-completion/completions/lamella zsh/site-functions/_lamella fish/vendor_completions.d/lamella.fish man/man1/lamella.1; do
  [ -s "$scratch/prefix/share/$page" ] || { echo "not installed: share/$page"; exit 1; }
done
for page in LICENSE README.md CHANGELOG.md docs/README.md docs/speed.svg; do
  [ -s "$scratch/prefix/share/doc/lamella/$page" ] || { echo "not installed: share/doc/lamella/$page"; exit 1; }
done
[ "$(pkg-config --variable=prefix lamella)" -ef "$scratch/prefix" ] || { echo "pkg-config looks in $(pkg-config --variable=prefix lamella)"; exit 1; }
flags=" $(pkg-config --cflags --libs --static lamella) "
[[ $flags != *" -std"* ]] || { echo "pkg-config gives a standard: $flags"; exit 1; }
foreign=$(nm -DC --defined-only "$libdir/liblamella.so" | awk '$2 ~ /[TDBRV]/' | grep -vE 'lamella::| T lamella_[a-z_]+$' | grep -vE ' V (typeinfo|typeinfo name|vtable) for std::' || true)
[ -z "$foreign" ] || { echo "exported symbols that are not lamella's:"; echo "$foreign" | head; exit 1; }
# Lists functions and the type information needed to catch our errors, without inline functions, Model's private constructors and what only the
# CUDA plugin uses.
list=$root/tests/install/interface.txt
nm -D --defined-only "$libdir/liblamella.so" | awk '$2 == "T" || $3 ~ /^_ZT[IV]N7lamella[0-9]+[A-Z][A-Za-z]*E$/ {print $3}' \
  | grep -vE '^_ZNK?7lamella(4core|3ops)|^_ZNK?7lamella5Model(4Impl|C[12]ESt10shared_ptr)' | LC_ALL=C sort >"$scratch/interface"
[ "$write" = 0 ] || cp "$scratch/interface" "$list"
cmake --build "$build" --target uninstall >/dev/null
left=$(find "$scratch/prefix" ! -type d)
[ -z "$left" ] || { echo "uninstall left:"; echo "$left" | head; exit 1; }
diff=$(LC_ALL=C comm -3 "$list" "$scratch/interface" | sed -E 's/^\t/new: /; t; s/^/gone: /' | c++filt)
[ -z "$diff" ] || { echo "the interface is not what $(basename "$list") says (tests/install/run.sh --write):"; echo "$diff" | head -n 20; exit 1; }
echo "$((16 - skipped)) passed, 0 failed, $skipped skipped"
