#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the lines of cmake in the Install blocks of README.md and docs/get-started.md as they are, except that they install into a scratch prefix:
# the command that they install runs, the packages are there, `uninstall` leaves nothing, and `source_archive` packs the sources. scripts/test-python
# covers `pip install .`, and package.sh installing the packages. Usage: from_pages.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CUDAARCHS=${CUDAARCHS:-90-real} CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
passed=0
good() { passed=$((passed + 1)); }
bad() { echo "from_pages.sh: $*"; echo "$passed passed, 1 failed"; exit 1; }

# The lines of cmake in a page's blocks of text.
lines() { awk '/^```text$/ {inside = 1; next} /^```$/ {inside = 0} inside && /^cmake /' "$1" | sed "s#/usr/local#$scratch/prefix#"; }
lines README.md >"$scratch/readme"
[ "$(wc -l <"$scratch/readme")" = 3 ] || bad "README.md has other lines of cmake: $(cat "$scratch/readme")"
lines docs/get-started.md | while read -r line; do grep -q "^$line *\(#.*\)\?$" "$scratch/readme" || { echo "only docs/get-started.md has: $line"; exit 1; }; done || bad "the pages differ"
good
# Images are built with the same commands.
sed -n 's/^\(scripts\/deps\) && apt-get install -y \(.*\)$/\1 \2/p' docs/get-started.md | while read -r first packages; do
  for file in docker/*.Dockerfile; do
    grep -qF "RUN $first && apt-get install -y --no-install-recommends $packages" "$file" || { echo "$file: no $first with $packages"; exit 1; }
    grep -q 'cmake --workflow --preset package$' "$file" || { echo "$file: no cmake --workflow --preset package"; exit 1; }
  done
done || bad "the images"
grep -q '^scripts/deps && apt-get install -y ' docs/get-started.md || bad "docs/get-started.md installs nothing"
good
rm -rf build/package
bash -euo pipefail "$scratch/readme" >"$scratch/log" 2>&1 || { tail -n 30 "$scratch/log"; bad "the lines of README.md"; }
good
model=examples/models/mlp
"$scratch/prefix/bin/lamella" verify $model.keras -i ${model}_input.npy --expected ${model}_expected.npy >/dev/null || bad "lamella verify"
good
for name in liblamella0 liblamella-dev lamella; do
  compgen -G "build/package/${name}_*.deb" >/dev/null || bad "no package $name in build/package"
done
good
cmake --build build/install-only --target uninstall >/dev/null
[ -z "$(find "$scratch/prefix" ! -type d)" ] || bad "uninstall left $(find "$scratch/prefix" ! -type d | head -n 3)"
good
cmake --build build/install-only --target source_archive >/dev/null
[ "$(tar -tzf build/install-only/lamella-*.tar.gz | grep -c '^[^/]*/README.md$')" = 1 ] || bad "the source archive has no README.md"
good
echo "$passed passed, 0 failed"
