#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/gpu-test and scripts/gpu-bench on a host without a GPU: nvidia-smi and compute-sanitizer are stand-ins, the device is the test
# double. Shows that the scripts run to their end, count and report; nothing about a GPU. Usage: gpu_scripts.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
only='gpu.CombineTest|gpu.CastTest'
passed=0
fail() { echo "FAILED: $*" >&2; cat "$work/log" >&2; exit 1; }
ok() { passed=$((passed + 1)); }

cat >"$work/nvidia-smi" <<'SMI'
#!/bin/sh
case "$*" in
  *compute_cap*) echo 9.0 ;;
  *) echo 'A "GPU" that is none, 1.2, 3 MiB, 4 MHz, 5 MHz, 6 MHz, 7 W' | tr -d '"' ;;
esac
SMI
# Finds every planted bug, and in real tests what FINDS says.
cat >"$work/compute-sanitizer" <<'TOOL'
#!/bin/sh
case "$5" in
  */planted) exit "${BLIND:-9}" ;;
  *) echo "========= a finding"; exit "${FINDS:-0}" ;;
esac
TOOL
chmod +x "$work/nvidia-smi" "$work/compute-sanitizer"
double=$build/lib/liblamella_cuda_fake.so
host=("PATH=$work:$PATH" "LAMELLA_GPU_BUILD=$build" "LAMELLA_CUDA_PLUGIN=$double")
value() { python3 -c 'import json, sys; print(eval(sys.argv[2], {"d": json.load(open(sys.argv[1]))}))' "$work/$1" "$2"; }
test_gpu() {  # test_gpu STATUS VARIABLE=VALUE...: scripts/gpu-test ends with STATUS
  local wanted=$1 status=0
  shift
  env "${host[@]}" "$@" scripts/gpu-test --only "$only" "$work/test.json" >"$work/log" 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || fail "gpu-test $* ended with $status, not with $wanted"
}

test_gpu 0
count=$(ctest --test-dir "$build" -N -L gpu -R "$only" | sed -n 's/^Total Tests: //p')
[ "$count" -gt 1 ] && [ "$(value test.json 'd["tests"]')" = "100% tests passed, 0 tests failed out of $count" ] || fail "counts the tests"
[ "$(value test.json 'd["sanitizers"]')" = "{'memcheck': 0, 'racecheck': 0, 'initcheck': 0, 'synccheck': 0}" ] || fail "runs the tools"
[ "$(value test.json 'd["skipped"] == [] and d["machine"]["lamella"]["devices"][0] == "cuda:0"')" = True ] || fail "says where it ran"
ok
test_gpu 1 FINDS=9
[ "$(value test.json 'd["sanitizers"]')" = "{'memcheck': 9, 'racecheck': 9, 'initcheck': 9, 'synccheck': 9}" ] || fail "a tool that finds something"
grep -q 'a finding' "$work/log" || fail "shows what a tool found"
ok
test_gpu 0 BLIND=0
[ "$(value test.json 'len(d["skipped"])')" = 4 ] && grep -q 'does not find its planted bug' "$work/log" || fail "a tool that does not look"
ok
test_gpu 0 LAMELLA_GPU_SECONDS=25
[ "$(value test.json 'len(d["skipped"])')" = 4 ] && grep -q 'no time left' "$work/log" || fail "no time for the tools"
ok
test_gpu 3 LAMELLA_CUDA_PLUGIN=/nowhere.so
grep -q '^scripts/gpu-test: .*nowhere.so' "$work/log" || fail "says why the GPU cannot be used"
ok
status=0
env "PATH=$(dirname "$work")/none:$PATH" scripts/gpu-test >"$work/log" 2>&1 || status=$?
if ! command -v nvidia-smi >/dev/null; then
  [ "$status" -eq 3 ] && grep -q 'nvidia-smi finds no GPU' "$work/log" || fail "a host without a GPU"
  ok
fi

# Times of the double mean nothing; that every part is asked for in its turn is what is tested.
mkdir "$work/driver"
ln -s "$double" "$work/driver/libcuda.so.1"
env "${host[@]}" "LD_LIBRARY_PATH=$work/driver" scripts/gpu-bench --small "$work/results" >"$work/log" 2>&1 || fail "gpu-bench ended with $?"
[ "$(value results/gpu-machine.json 'd["lamella"]["devices"][0]')" = cuda:0 ] || fail "gpu-bench says where it ran"
[ "$(value results/gpu-host.json 'd["host_to_host"]["rows"] > 0')" = True ] || fail "predictions from host memory"
[ "$(value results/gpu-goals.json '[g["cells"] > 0 for g in d["goals"]]')" = "[True, True, True, True]" ] || fail "goals"
[ -s "$work/results/gpu-peers.json" ] || grep -q '^skipped: peers: python3 has no numpy' "$work/log" || fail "peers"
ok
status=0
env "${host[@]}" LAMELLA_GPU_SECONDS=0 scripts/gpu-bench --small "$work/late" >"$work/log" 2>&1 || status=$?
[ "$status" -eq 0 ] && [ "$(grep -c 'no time left' "$work/log")" -ge 2 ] || fail "no time for anything"
[ "$(find "$work/late" -type f)" = "$work/late/gpu-machine.json" ] || fail "leaves halves behind"
ok
echo "$passed passed, 0 failed"
