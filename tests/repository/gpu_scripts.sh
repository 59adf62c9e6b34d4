#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests scripts/gpu-harvest on a host without a GPU, with stand-ins for nvidia-smi and compute-sanitizer and the test double as device. Shows that
# each stage runs, counts and reports, and that an interrupted run keeps earlier results; nothing about a GPU. Usage: gpu_scripts.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
fail() { echo "FAILED: $*" >&2; cat "$work/log" "$work/out/gpu-harvest.json" >&2; exit 1; }

mkdir "$work/host" "$work/driver" "$work/tmp"
cat >"$work/host/nvidia-smi" <<'SMI'
#!/bin/sh
case "$*" in
  *compute_cap*) echo 9.0 ;;
  *) echo 'A "GPU" that is none, 1.2, 3 MiB, 4 MHz, 5 MHz, 6 MHz, 7 W' | tr -d '"' ;;
esac
SMI
# Finds every planted bug, and in real tests the findings in FINDS.
cat >"$work/host/compute-sanitizer" <<'TOOL'
#!/bin/sh
case "$*" in
  */planted\ *) exit "${BLIND:-9}" ;;
  *) echo "========= a finding"; exit "${FINDS:-0}" ;;
esac
TOOL
chmod +x "$work/host/nvidia-smi" "$work/host/compute-sanitizer"
double=$build/lib/liblamella_cuda_fake.so
ln -s "$double" "$work/driver/libcuda.so.1"
# The probe calls the CUDA runtime directly; with the double, the build's own probe replaces it.
mkdir -p "$work/tree"
ln -s "$build/lib" "$work/tree/lib"
mkdir "$work/tree/bin"
ln -s "$build"/bin/* "$work/tree/bin"
ln -sfn "$build/bin/probe_fake" "$work/tree/bin/probe"

harvest() {  # harvest STATUS VARIABLE=VALUE... -- ARGUMENT...: expects gpu-harvest to end with STATUS
  local wanted=$1 status=0 variables=()
  shift
  while [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift
  rm -rf "$work/out"
  env "PATH=$work/host:$PATH" "LAMELLA_GPU_BUILD=$work/tree" "LAMELLA_CUDA_PLUGIN=$double" "LD_LIBRARY_PATH=$work/driver" "TMPDIR=$work/tmp" "${variables[@]}" \
    scripts/gpu-harvest --tests 'CombineTest|CastTest' "$@" "$work/out" >"$work/log" 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || fail "gpu-harvest $* ended with $status, not with $wanted"
}
expect() {  # expect WHAT EXPRESSION: a Python expression of `d`, the report, and `stage`, a dict of its stages
  python3 - "$work/out/gpu-harvest.json" "$2" <<'CHECK' || fail "$1"
import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(0 if eval(sys.argv[2], {"d": d, "stage": {s["stage"]: s for s in d["stages"]}}) else 1)
CHECK
  passed=$((passed + 1))
}

printf '#!/bin/sh\necho "{}" >"$1"\n' >"$work/ceilings"
chmod +x "$work/ceilings"
harvest 0 -- --small --seconds 400 --ceilings "$work/ceilings"
expect "says where it ran" 'd["machine"]["lamella"]["devices"][0] == "cuda:0" and d["machine"]["gpu"].startswith("A GPU that is none")'
expect "asks the driver" 'len(stage["probe"]["answers"]) > 20 and all("answer" in a for a in stage["probe"]["answers"])'
count=$(ctest --test-dir "$build" -N -L gpu -R 'CombineTest|CastTest' | sed -n 's/^Total Tests: //p')
expect "runs each test once" "stage['tests']['passed'] == stage['tests']['tests'] == $count > 1 and stage['tests']['bad'] == []"
expect "runs the tools" 'stage["sanitizers"]["tools"] == {"memcheck": 0, "racecheck": 0, "initcheck": 0, "synccheck": 0}'
expect "leaves nothing out without a word" 'all(s.get("skipped") or "failed" not in s for s in d["stages"]) and len(d["stages"]) == 10'
for file in harvest.json goals.json accuracy.jsonl ceilings.jsonl host.json logs.tar.xz; do [ -s "$work/out/gpu-$file" ] || fail "writes gpu-$file"; done
[ "$(find "$work/out" -type f | wc -l)" -le 8 ] && [ -z "$(find "$work/out" -mindepth 1 -type d)" ] && [ -z "$(ls "$work/tmp")" ] || fail "at most eight files"
python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert len(d["goals"]) == 7 and all(g["cells"] > 0 for g in d["goals"])' "$work/out/gpu-goals.json" || fail goals
logs=$(tar -tJf "$work/out/gpu-logs.tar.xz")
grep -q 'logs/tests-gpu_ops_test-0.log' <<<"$logs" && ! grep -q environment <<<"$logs" || fail "keeps the logs, and nothing private: $logs"
passed=$((passed + 3))

# Files the results in a copy of the repository, where the tables must then match the files.
mkdir "$work/clone"
git ls-files -z | xargs -0 cp --parents -t "$work/clone"
# A made-up result of the grid, for which the double is too slow.
sed 's/"cpu"/"cuda:0"/g' bench/results/cpu.json >"$work/out/gpu-bench.json"
printf '{"activation": "ta' >>"$work/out/gpu-accuracy.jsonl"  # as after an interrupted run
printf '{"context": {' >"$work/out/gpu-peers.json"
"$work/clone/scripts/gpu-harvest" --apply "$work/out" >"$work/log" 2>&1 || fail "--apply"
grep -q "gpu-peers.json: not filed, it was cut short" "$work/log" || fail "--apply tells of what was cut short"
for file in harvest.json goals.json accuracy.jsonl host.json bench.json; do
  grep -q "^| .bench/results/gpu-$file. | [0-9]" "$work/clone/docs/performance.md" || fail "--apply tells of gpu-$file"
done
"$work/clone/bench/quote" --check >"$work/log" || fail "tables are what is filed"
cp "$work/clone/docs/performance.md" "$work/once.md"
"$work/clone/scripts/gpu-harvest" --apply "$work/out" >"$work/log" 2>&1 && cmp -s "$work/once.md" "$work/clone/docs/performance.md" || fail "--apply twice"
mkdir "$work/empty"
if "$work/clone/scripts/gpu-harvest" --apply "$work/empty" >"$work/log" 2>&1; then fail "--apply of nothing"; fi
grep -q "holds no result" "$work/log" || fail "in words"
passed=$((passed + 5))

harvest 1 FINDS=9 -- --only sanitizers
expect "a tool that finds something" 'stage["sanitizers"]["tools"]["memcheck"] == 9 and "failed" in stage["sanitizers"]'
found=$(tar -xJOf "$work/out/gpu-logs.tar.xz" logs/sanitizer-memcheck.log)
grep -q 'a finding' <<<"$found" || fail "keeps what a tool found"
harvest 0 BLIND=0 -- --only sanitizers
expect "a tool that does not look" 'set(stage["sanitizers"]["tools"].values()) == {"does not find its planted bug here"}'
harvest 0 BLIND=255 -- --only sanitizers
expect "a tool that does not start" 'set(stage["sanitizers"]["tools"].values()) == {"cannot run here, it ended with 255"}'
harvest 0 -- --only goals,accuracy --seconds 1
expect "no time left" 'stage["goals"]["skipped"] == stage["accuracy"]["skipped"] == "no time left"'

# A test that fails, one that crashes, and one that fails only when run with others.
rm "$work/tree/bin"/gpu_*
cat >"$work/tree/bin/gpu_made_up_test" <<'TEST'
#!/bin/sh
tests="Good Bad Dies After Shy"
case "$*" in
  *list_tests*) echo "CombineTest."; for t in $tests; do echo "  $t"; done; exit ;;
  *=CombineTest.Shy) echo "[       OK ] CombineTest.Shy (0 ms)"; exit ;;
  *=CombineTest.After) echo "[       OK ] CombineTest.After (0 ms)"; exit ;;
  *=CombineTest.Dies) kill -9 $$ ;;
  *=CombineTest.Bad) echo "[  FAILED  ] CombineTest.Bad (0 ms)"; exit 1 ;;
esac
[ "$GTEST_SHARD_INDEX" = 0 ] || exit 0
echo "[       OK ] CombineTest.Good (0 ms)"
echo "[  FAILED  ] CombineTest.Shy (0 ms)"
echo "[  FAILED  ] CombineTest.Bad, where GetParam() = 3 (0 ms)"
kill -9 $$
TEST
chmod +x "$work/tree/bin/gpu_made_up_test"
harvest 1 -- --only tests
expect "failures are told" 'stage["tests"]["bad"] == ["gpu_made_up_test CombineTest.Bad: FAILED", "gpu_made_up_test CombineTest.Dies: not run"]'
expect "what passes alone is told" '[t.split(".")[1] for t in stage["tests"]["passed_only_alone"]] == ["After", "Shy"] and stage["tests"]["passed"] == 3'
rm "$work/tree/bin/gpu_made_up_test"
harvest 1 -- --only tests
expect "no test at all is a failure" 'stage["tests"]["failed"] == "0 tests"'

harvest 3 LAMELLA_CUDA_PLUGIN=/nowhere.so -- --only tests
expect "says why the GPU cannot be used" '"failed" in stage["build"]'
grep -q 'nowhere.so' "$work/log" || fail "in words"
if ! command -v nvidia-smi >/dev/null; then
  status=0
  scripts/gpu-harvest "$work/none" >"$work/log" 2>&1 || status=$?
  [ "$status" -eq 3 ] && grep -q 'nvidia-smi finds no GPU' "$work/log" && [ ! -e "$work/none" ] || fail "a host without a GPU"
  passed=$((passed + 1))
fi
echo "$passed passed, 0 failed"
